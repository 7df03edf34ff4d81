"""The sending side of a TFTP transfer as a state machine without a clock or a socket.

The owner reports what happened (`ack`, `timeout`) and does what is returned: send a range of blocks, send the OACK, or
stop. Blocks are counted from 1 without rolling over; only `ack` takes the 16-bit number of the wire, which rolls over
from 65535 to 0, so a file may be of any size.

Packets stay bounded, because nothing that was sent twice makes anything else be sent twice:

* Lockstep (window 1): a repeated ACK is never answered, or every later block would be sent twice (the Sorcerer's
  Apprentice, RFC 1123 section 4.2.3.1).
* Windows (RFC 7440): an ACK that does not cover the whole window says that the block after it was lost, and sending
  goes back to there. But it may also be an echo, made by a receiver that finds a block of the last retransmission old.
  Going back for that too would retransmit part of every window to come. So an ACK of a block that was already in flight
  at the last retransmission is in doubt: it only lets new blocks through, and shortens the wait for the timer.
* Timeouts back off, and after `max_retries` of them without progress the transfer is given up.
"""

from enum import Enum, auto
from typing import Final, NamedTuple

from mayu_py.wire.tftp import Terms, count_blocks

DEFAULT_TIMEOUT: Final = 0.5
LONGEST_TIMEOUT: Final = 8.0
DOUBT_TIMEOUT: Final = 0.02
"""Seconds for the echoes of a retransmission to pass: several round trips of a data centre."""
MAX_RETRIES: Final = 7


class Send(NamedTuple):
    """Send the blocks `first` to `last`, both included, counted from 1."""

    first: int
    last: int


class Signal(Enum):
    """The actions that need no numbers."""

    SEND_OACK = auto()
    DONE = auto()
    IGNORE = auto()
    GIVE_UP = auto()


Action = Send | Signal


class Sender:
    """One file on its way to one peer. `size` is the file's, in bytes."""

    __slots__ = (
        "_acked",
        "_base",
        "_blocks",
        "_doubt",
        "_max_retries",
        "_retries",
        "_sent",
        "_window",
        "awaiting_oack",
        "in_doubt",
    )

    def __init__(self, size: int, terms: Terms, *, max_retries: int = MAX_RETRIES) -> None:
        self._blocks = count_blocks(size, terms.block_size)
        self._window = terms.window
        self._base = float(terms.timeout or DEFAULT_TIMEOUT)
        self._max_retries = max_retries
        self._acked = 0
        self._sent = 0
        self._doubt = -1  # the last block that was in flight when something was sent again
        self._retries = 0
        self.awaiting_oack = bool(terms.accepted)
        self.in_doubt = False

    @property
    def interval(self) -> float:
        """Seconds to wait for an ACK before reporting a timeout. Changes with every timeout and with `in_doubt`."""
        if self.in_doubt:
            return DOUBT_TIMEOUT
        return min(self._base * (1 << self._retries), max(self._base, LONGEST_TIMEOUT))

    @property
    def unanswered(self) -> bool:
        """Whether something was sent again and nothing new has come since."""
        return self._retries > 0

    @property
    def progress(self) -> int:
        """The number of the last block that is known to have arrived."""
        return self._acked

    def start(self) -> Action:
        """The first thing to send: the OACK if anything was negotiated, or the first window."""
        return Signal.SEND_OACK if self.awaiting_oack else self._next_window()

    def ack(self, number: int) -> Action:
        """An ACK with this number (0..65535) has come from the peer."""
        if self.awaiting_oack:
            return self._oack_confirmed() if number == 0 else Signal.IGNORE
        gained = (number - self._acked) & 0xFFFF
        in_flight = self._sent - self._acked
        if gained < in_flight:
            return self._incomplete(gained)
        if gained > in_flight:
            return Signal.IGNORE  # of a block long acknowledged, or never sent
        self._acked = self._sent
        self._retries = 0
        self.in_doubt = False
        return Signal.DONE if self._acked == self._blocks else self._next_window()

    def timeout(self) -> Action:
        """Nothing has come for `interval` seconds."""
        self._retries += 1
        self.in_doubt = False
        if self._retries > self._max_retries:
            return Signal.GIVE_UP
        return Signal.SEND_OACK if self.awaiting_oack else self._go_back()

    def _oack_confirmed(self) -> Action:
        self.awaiting_oack = False
        self._retries = 0
        return self._next_window()

    def _incomplete(self, gained: int) -> Action:
        """An ACK that leaves `in_flight - gained` blocks of the window unacknowledged."""
        if self._window == 1:
            return Signal.IGNORE
        self._acked += gained
        if gained:
            self._retries = 0
        if self._acked > self._doubt:
            return self._go_back()
        self.in_doubt = True
        unsent = self._sent + 1
        self._sent = min(self._acked + self._window, self._blocks)
        return Send(unsent, self._sent) if unsent <= self._sent else Signal.IGNORE

    def _go_back(self) -> Send:
        self._doubt = self._sent
        return self._next_window()

    def _next_window(self) -> Send:
        last = self._acked + self._window
        if last > self._blocks:
            last = self._blocks
        self._sent = last
        return Send(self._acked + 1, last)
