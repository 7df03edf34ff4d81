"""The engine without sockets: what machines would be answered, and why.

`mayu explain` and `mayu replay` ask the code that answers machines, over a copy of the state in memory. What is missing is only
what touches the world: no packet is sent, no file is written, and nobody asks the wire whether an address is in use.
"""
