"""Bytes to values and back, for the protocols a booting machine speaks.

Nothing in here opens a socket, reads a clock, draws a random number or logs: values in, values out. A decoder raises
`Malformed` for anything its RFC does not allow and never any other exception, whatever bytes it is given.
"""


class Malformed(Exception):
    """Raised when a packet is not what its RFC says.

    `reason` is a short slug from a small fixed set per protocol ("truncated", "opcode"); it labels a counter, so it
    never holds data from the packet.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
