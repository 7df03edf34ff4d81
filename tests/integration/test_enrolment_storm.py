"""A thousand machines at once, through several workers with a desk each on one store, in any interleaving."""

import multiprocessing
import shutil
import tempfile
from collections import Counter
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mayu_py.core.enrolment import Newcomer
from mayu_py.core.hosts import Host, Identity, Mac
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import Profile, Settings, UnknownHosts
from mayu_py.core.verbs import Delete
from mayu_py.errors import RangeExhausted
from mayu_py.services.desk import Desk
from mayu_py.store import audit
from mayu_py.store.sqlite import SqliteStore

WORKERS = 4
BATCH = 16


def rack(first: str, last: str, *, masters: int, workers: int, spare: int = 10) -> Settings:
    network = Network(
        "rack",
        IPv4Network("127.0.0.0/8"),
        interface="lo",
        address=IPv4Address("127.0.0.1"),
        range=AddressRange(IPv4Address(first), IPv4Address(last)),
    )
    storage = Network(
        "storage",
        IPv4Network("10.0.0.0/8"),
        extra=True,
        range=AddressRange(IPv4Address("10.1.0.1"), IPv4Address("10.1.4.200")),
    )
    profiles = (
        Profile("master", "testbed", Path("m.bu"), quantity=masters),
        Profile("worker", "testbed", Path("w.bu"), quantity=workers),
        Profile("rest", "testbed", Path("r.bu")),
    )
    return Settings(
        networks=(network, storage),
        images={},
        profiles=profiles,
        unknown_hosts=UnknownHosts.ENROL,
        default_profile="rest",
    )


def machine(number: int, settings: Settings) -> Newcomer:
    return Newcomer(Identity(mac=Mac(f"52:54:00:01:{number // 256:02x}:{number % 256:02x}")), settings.networks[0])


def enrol_some(path: Path, settings: Settings, numbers: list[int], done: "multiprocessing.Queue[tuple[int, str | None]]") -> None:
    """What a worker does: batches of strangers, each of whom may have asked another worker as well."""
    with Desk("dhcp", settings, lambda: SqliteStore(path)) as desk:
        for at in range(0, len(numbers), BATCH):
            batch = numbers[at : at + BATCH]
            for number, result in zip(batch, desk.enrol([machine(number, settings) for number in batch]), strict=True):
                done.put((number, result.name if isinstance(result, Host) else None))


def storm(path: Path, settings: Settings, share: list[list[int]]) -> list[tuple[int, str | None]]:
    """Every worker at once; what each machine was told."""
    fork = multiprocessing.get_context("fork")
    done: multiprocessing.Queue[tuple[int, str | None]] = fork.Queue()
    workers = [fork.Process(target=enrol_some, args=(path, settings, numbers, done)) for numbers in share]
    for worker in workers:
        worker.start()
    told = [done.get(timeout=60) for numbers in share for _ in numbers]
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    return told


@pytest.mark.timeout(120)
def test_a_thousand_machines_enrol_once_each_with_no_address_twice_and_no_quota_passed(tmp_path: Path) -> None:
    settings = rack("127.1.0.1", "127.1.3.255", masters=3, workers=400)
    # Every fourth machine asks two workers.
    share = [
        [n for n in range(1000) if n % WORKERS == worker or (n % 4 == 0 and n % 3 == worker % 3)] for worker in range(WORKERS)
    ]
    told = storm(tmp_path / "mayu.db", settings, share)
    names = {number: {name for asked, name in told if asked == number} for number in range(1000)}
    assert all(len(found) == 1 for found in names.values())
    with closing(SqliteStore(tmp_path / "mayu.db")) as store:
        enrolled = store.inventory().enrolled
        assert audit.check(store) == []
    assert len(enrolled) == 1000
    assert {host.name for host in enrolled} == {name for found in names.values() for name in found}
    assert len({address for host in enrolled for address in (host.address, *host.addresses.values())}) == 2000
    assert Counter(host.profile for host in enrolled) == {"master": 3, "worker": 400, "rest": 597}


@pytest.mark.timeout(120)
def test_a_range_too_small_refuses_those_it_has_no_address_for_by_its_name_and_keeps_the_others(tmp_path: Path) -> None:
    settings = rack("127.1.0.1", "127.1.0.100", masters=3, workers=50)
    told = storm(tmp_path / "mayu.db", settings, [list(range(worker, 240, WORKERS)) for worker in range(WORKERS)])
    assert Counter(name is not None for _, name in told) == {True: 100, False: 140}
    with Desk("dhcp", settings, lambda: SqliteStore(tmp_path / "mayu.db")) as desk:
        (refused,) = desk.enrol([machine(999, settings)])
        assert isinstance(refused, RangeExhausted)
        assert refused.message.startswith("the range of network rack at")
        # One leaves: its address is the next one's.
        gone = next(iter(desk.snapshot().hosts.values()))
        desk.carry_out(Delete(), gone.name, "ann")
        (taken,) = desk.enrol([machine(999, settings)])
        assert isinstance(taken, Host)
        assert taken.address == gone.address


SMALL = rack("127.1.0.1", "127.1.0.6", masters=2, workers=2)


class Interleavings(RuleBasedStateMachine):
    """Three desks on one store take turns: enrolling in batches, deleting, starting anew."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.desks = [self.desk() for _ in range(3)]

    def desk(self) -> Desk:
        desk = Desk("dhcp", SMALL, lambda: SqliteStore(self.folder / "mayu.db"))
        desk.open()
        return desk

    @rule(who=st.integers(0, 2), numbers=st.lists(st.integers(0, 9), min_size=1, max_size=4))
    def enrol(self, who: int, numbers: list[int]) -> None:
        before = self.desks[who].snapshot().hosts
        free = 6 - len(before)
        results = self.desks[who].enrol([machine(number, SMALL) for number in numbers])
        refused = {number for number, result in zip(numbers, results, strict=True) if isinstance(result, RangeExhausted)}
        known = {mac for host in before.values() for mac in host.macs}
        strangers = {number for number in numbers if machine(number, SMALL).identity.mac not in known}
        assert len(refused) == max(0, len(strangers) - free)

    @rule(who=st.integers(0, 2), index=st.integers(0, 5))
    def delete(self, who: int, index: int) -> None:
        names = sorted(self.desks[who].snapshot().hosts)
        if index < len(names):
            self.desks[who].carry_out(Delete(), names[index], "ann")

    @rule(who=st.integers(0, 2))
    def restart(self, who: int) -> None:
        self.desks[who].close()
        self.desks[who] = self.desk()

    @invariant()
    def all_see_the_same_and_nothing_is_shared(self) -> None:
        if not hasattr(self, "desks"):
            return
        views = [dict(desk.snapshot().hosts) for desk in self.desks]
        assert views[0] == views[1] == views[2]
        hosts = views[0].values()
        addresses = [address for host in hosts for address in (host.address, *host.addresses.values())]
        assert len(addresses) == len(set(addresses)) == 2 * len(hosts)
        assert len({mac for host in hosts for mac in host.macs}) == len(hosts)
        members = Counter(host.profile for host in hosts)
        assert members["master"] <= 2
        assert members["worker"] <= 2

    def teardown(self) -> None:
        for desk in getattr(self, "desks", []):
            desk.close()
        if hasattr(self, "folder"):
            with closing(SqliteStore(self.folder / "mayu.db")) as store:
                assert audit.check(store) == []
            shutil.rmtree(self.folder)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
