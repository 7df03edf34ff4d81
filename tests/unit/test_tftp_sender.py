"""The sender against a receiver that follows RFC 1350 and 7440, over a channel that drops, doubles and reorders."""

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.wire.tftp import Terms
from mayu_py.wire.tftp_sender import Send, Sender, Signal


class Fate(Enum):
    """What happens to one packet, in either direction."""

    ARRIVES = auto()
    IS_LOST = auto()
    ARRIVES_TWICE = auto()
    IS_OVERTAKEN = auto()


FAULTS = [Fate.IS_LOST, Fate.ARRIVES_TWICE, Fate.IS_OVERTAKEN]


class Channel:
    """One direction of a network. `fates` says what happens to each packet; when it has run out, packets arrive."""

    def __init__(self, fates: Iterator[Fate]) -> None:
        self._fates = fates
        self._late: list[int] = []
        self.queue: deque[int] = deque()

    def send(self, packet: int) -> None:
        fate = next(self._fates, Fate.ARRIVES)
        if fate is Fate.IS_OVERTAKEN:
            self._late.append(packet)
            return
        self.queue.extend([packet] * {Fate.ARRIVES: 1, Fate.IS_LOST: 0, Fate.ARRIVES_TWICE: 2}[fate])
        self.queue.extend(self._late)
        self._late.clear()

    def flush(self) -> None:
        self.queue.extend(self._late)
        self._late.clear()


class Receiver:
    """Acknowledges a full window, the last block, and the last block in order when one is out of order.

    A chatty one does the latter for each such block, another only for the first of a burst.
    """

    def __init__(self, blocks: int, window: int, chatty: bool) -> None:
        self._blocks = blocks
        self._window = window
        self._chatty = chatty
        self._complained = False
        self._since_ack = 0
        self.received = 0

    def rest(self) -> None:
        """A burst is over."""
        self._complained = False

    def take(self, number: int) -> int | None:
        """A block has come; the number of the ACK to send, if any. All are 16-bit."""
        if number != (self.received + 1) % 65536:
            quiet = self._complained and not self._chatty
            self._complained = True
            self._since_ack = 0
            return None if quiet else self.received % 65536
        self._complained = False
        self.received += 1
        self._since_ack += 1
        if self.received < self._blocks and self._since_ack < self._window:
            return None
        self._since_ack = 0
        return self.received % 65536


class Exchange:
    """A whole transfer of `blocks` blocks. `sent` counts the DATA packets, `timeouts` those of the sender."""

    def __init__(self, blocks: int, window: int, data_fates: Iterator[Fate], ack_fates: Iterator[Fate], chatty: bool) -> None:
        # Blocks of 8 bytes, of which the last is empty.
        self.sender = Sender((blocks - 1) * 8, Terms(8, window), max_retries=10_000)
        self.receiver = Receiver(blocks, window, chatty)
        self.data = Channel(data_fates)
        self.acks = Channel(ack_fates)
        self.sent = 0
        self.timeouts = 0

    def run(self) -> None:
        action = self.sender.start()
        while action is not Signal.DONE:
            assert action is Signal.IGNORE or isinstance(action, Send), action
            if isinstance(action, Send):
                for block in range(action.first, action.last + 1):
                    self.sent += 1
                    self.data.send(block % 65536)
            action = self._wait()

    def _wait(self) -> Send | Signal:
        """Whatever happens to the sender next: an ACK, or a timeout when nothing is under way any more."""
        for _ in range(2):
            while self.data.queue:
                answer = self.receiver.take(self.data.queue.popleft())
                if answer is not None:
                    self.acks.send(answer)
            if self.acks.queue:
                return self.sender.ack(self.acks.queue.popleft())
            self.data.flush()
            self.acks.flush()
        self.timeouts += 1
        self.receiver.rest()
        return self.sender.timeout()


def exchange(
    blocks: int, window: int, data: list[Fate] | None = None, acks: list[Fate] | None = None, chatty: bool = True
) -> Exchange:
    finished = Exchange(blocks, window, iter(data or []), iter(acks or []), chatty)
    finished.run()
    return finished


fates = st.lists(st.sampled_from(Fate), max_size=60)


@given(st.integers(1, 100), st.integers(1, 20), fates, fates, st.booleans())
def test_the_whole_file_arrives_whatever_the_network_does_and_packets_stay_bounded(
    blocks: int, window: int, data: list[Fate], acks: list[Fate], chatty: bool
) -> None:
    faults = sum(fate in FAULTS for fate in data + acks)
    done = exchange(blocks, window, data, acks, chatty)
    assert done.receiver.received == blocks
    assert done.sent <= blocks + window * faults


@pytest.mark.parametrize("window", [1, 4, 16])
def test_without_faults_every_block_is_sent_once(window: int) -> None:
    done = exchange(100, window)
    assert (done.sent, done.timeouts) == (100, 0)


def test_one_doubled_ack_does_not_double_the_rest_of_a_lockstep_transfer() -> None:
    assert exchange(100, 1, acks=[Fate.ARRIVES_TWICE]).sent == 100


def test_one_doubled_ack_costs_one_window_of_a_windowed_transfer() -> None:
    assert exchange(160, 16, acks=[Fate.ARRIVES_TWICE]).sent == 160 + 16


def test_every_ack_doubled_costs_nothing_in_lockstep_and_a_bounded_share_with_windows() -> None:
    assert exchange(100, 1, acks=[Fate.ARRIVES_TWICE] * 200).sent == 100
    assert exchange(160, 16, acks=[Fate.ARRIVES_TWICE] * 200).sent <= 160 * 3 // 2


def test_one_doubled_block_costs_one_window_and_does_not_echo_through_the_rest() -> None:
    assert exchange(1600, 16, data=[Fate.ARRIVES, Fate.ARRIVES_TWICE]).sent <= 1600 + 16


def test_a_block_lost_inside_a_window_is_sent_again_without_a_timeout() -> None:
    done = exchange(32, 16, data=[Fate.ARRIVES] * 7 + [Fate.IS_LOST])
    assert (done.sent, done.timeouts) == (32 + 9, 0)


def test_the_first_block_of_a_window_lost_is_sent_again_without_a_timeout() -> None:
    done = exchange(32, 16, data=[Fate.ARRIVES] * 16 + [Fate.IS_LOST])
    assert (done.sent, done.timeouts) == (32 + 16, 0)


@pytest.mark.parametrize("window", [1, 64])
def test_block_numbers_roll_over_with_losses_on_both_sides_of_the_border(window: int) -> None:
    around = [Fate.ARRIVES] * 65_500 + [Fate.IS_LOST, *[Fate.ARRIVES] * 6] * 10
    done = exchange(140_000, window, data=around)
    assert done.receiver.received == 140_000
    assert done.timeouts <= 10


def test_a_negotiated_transfer_begins_when_the_oack_is_acknowledged() -> None:
    sender = Sender(1000, Terms(512, 4, None, {"windowsize": "4"}))
    assert sender.awaiting_oack
    steps = [sender.start(), sender.ack(1), sender.timeout(), sender.ack(0), sender.ack(2)]
    assert steps == [Signal.SEND_OACK, Signal.IGNORE, Signal.SEND_OACK, Send(1, 2), Signal.DONE]


def test_without_options_the_first_block_is_sent_at_once() -> None:
    sender = Sender(1000, Terms())
    assert [sender.start(), sender.ack(1), sender.ack(2)] == [Send(1, 1), Send(2, 2), Signal.DONE]


@pytest.mark.parametrize(("size", "blocks"), [(0, 1), (511, 1), (512, 2), (1024, 3)])
def test_a_full_last_block_is_followed_by_an_empty_one(size: int, blocks: int) -> None:
    assert Sender(size, Terms(512, 64)).start() == Send(1, blocks)


def test_acks_of_blocks_never_sent_or_long_acknowledged_are_ignored() -> None:
    sender = Sender(512 * 10, Terms(512, 4))
    assert [sender.start(), sender.ack(5), sender.ack(65535)] == [Send(1, 4), Signal.IGNORE, Signal.IGNORE]
    assert [sender.ack(4), sender.ack(3)] == [Send(5, 8), Signal.IGNORE]


def test_timeouts_back_off_and_then_the_transfer_is_given_up() -> None:
    sender = Sender(10, Terms())
    sender.start()
    waits = [sender.interval]
    while sender.timeout() == Send(1, 1):
        waits.append(sender.interval)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


def test_progress_takes_the_wait_back_to_its_start() -> None:
    sender = Sender(5000, Terms())
    sender.start()
    sender.timeout()
    sender.ack(1)
    assert sender.interval == 0.5


def test_a_negotiated_timeout_is_what_the_first_wait_lasts() -> None:
    sender = Sender(10, Terms(timeout=30))
    sender.start()
    assert sender.interval == 30.0
