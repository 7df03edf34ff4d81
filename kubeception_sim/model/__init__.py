"""Scenarios, plans and results as values. Pure: no clock, no sockets, no files, no processes."""
