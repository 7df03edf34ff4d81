"""Pure decisions: values in, values out. No clock, no socket, no file, no randomness, no logging."""
