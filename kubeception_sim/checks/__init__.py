"""Measure and judge. No bring-up code here: everything is handed in."""
