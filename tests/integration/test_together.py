"""Durable answers over HTTP: many in one commit, none before it is on the disk, and a repeat not before what it repeats."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.exchange import Answer, Reached
from mayu_py.core.hosts import Host, Stage
from mayu_py.core.networks import Network
from mayu_py.core.settings import Profile, Settings
from mayu_py.errors import IllegalTransition, StoreError
from mayu_py.services.desk import Desk
from mayu_py.services.http.together import Together
from mayu_py.store import NO_CONFIGS, NO_COUNTS, Counts, Entry, Served
from mayu_py.store.sqlite import MemoryStore

SETTINGS = Settings(
    (Network("rack", IPv4Network("10.0.0.0/16"), "eth0", IPv4Address("10.0.0.1")),), {}, (Profile("node", "os", Path("n.bu")),)
)
HOSTS = [Host(f"n{number}", IPv4Address("10.0.1.0") + number, profile="node") for number in range(50)]


class Commits(MemoryStore):
    """A store that says how many events each commit had, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.is_full = False

    def record(
        self, entries: Sequence[Entry], served: Served = NO_CONFIGS, counts: Counts = NO_COUNTS
    ) -> list[IllegalTransition]:
        if self.is_full:
            raise StoreError("no room")
        self.sizes.append(len(entries))
        return super().record(entries, served, counts)


@pytest.fixture
def store() -> Commits:
    return Commits()


@pytest.fixture
def together(store: Commits) -> Together:
    # Not opened: nobody carries a tray away.
    return Together(Desk("http-1", SETTINGS, lambda: store))


def reached(host: Host) -> Answer:
    return Answer(None, (Reached(host, Stage.IPXE),))


def test_what_is_asked_in_one_moment_is_one_commit(store: Commits, together: Together) -> None:
    async def ask() -> None:
        await asyncio.gather(*(together.settle(reached(host), (host.name, b"config")) for host in HOSTS))

    asyncio.run(ask())
    assert store.sizes == [50]
    assert {status.stage for status in store.statuses().values()} == {Stage.IPXE}
    assert store.last_served("n49") == b"config"


def test_an_answer_without_news_waits_for_nobody(store: Commits, together: Together) -> None:
    async def ask() -> None:
        await together.settle(Answer(None))
        await together.settle(reached(HOSTS[0]))
        await together.settle(reached(HOSTS[0]))

    asyncio.run(ask())
    assert store.sizes == [1]


def test_a_repeat_waits_for_what_it_repeats(store: Commits, together: Together) -> None:
    async def ask() -> None:
        first = asyncio.create_task(together.settle(reached(HOSTS[0])))
        await asyncio.sleep(0)  # The first has begun; the loop's next turn will write.
        await together.settle(reached(HOSTS[0]))
        assert store.statuses()["n0"].stage is Stage.IPXE
        await first

    asyncio.run(ask())
    assert store.sizes == [1]


def test_a_full_disk_is_told_to_all_who_wait_and_the_next_are_tried_again(store: Commits, together: Together) -> None:
    async def ask() -> list[BaseException | bool]:
        store.is_full = True
        failed = await asyncio.gather(*(together.settle(reached(host)) for host in HOSTS[:3]), return_exceptions=True)
        store.is_full = False
        await together.settle(reached(HOSTS[0]))
        return failed

    assert [type(error) for error in asyncio.run(ask())] == [StoreError] * 3
    assert store.sizes == [1]
    assert list(store.statuses()) == ["n0"]


def test_a_config_that_cannot_be_kept_is_no_reason_to_withhold_it(store: Commits, together: Together) -> None:
    async def ask() -> bool:
        await together.settle(reached(HOSTS[0]))
        store.is_full = True
        return await together.settle(reached(HOSTS[0]), ("n0", b"config"))

    assert asyncio.run(ask()) is False
