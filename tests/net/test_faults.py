"""What faults do to packets: counted on both sides, before, meanwhile and after."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface

import pytest

from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.faults import Delay, Fault, Loss, Partition, Rate, Wire
from kubeception_sim.lab import Lab
from kubeception_sim.model.faults import Rate as Bits
from kubeception_sim.model.faults import Share
from kubeception_sim.network import Fabric, Rack, socket_in
from kubeception_sim.run import require, run
from tests.net.hosts import Host, host_in

RACKS = (Rack("a", IPv4Interface("10.77.1.1/24")), Rack("b", IPv4Interface("10.77.2.1/24")))
PORT = 9000
PAYLOAD = 1400
HEADERS = 42  # Ethernet, IPv4 and UDP: what a queue counts beside the payload


@dataclass(frozen=True)
class Ground:
    """Two hosts in rack a, one in rack b. The first has a pod: an address that is in no rack."""

    fabric: Fabric
    a1: Host
    a2: Host
    b1: Host
    pod: str = "10.60.1.2"

    def wire(self, host: Host) -> Wire:
        number = int(host.address)
        return Wire(self.fabric.namespace, host.cable, "52:54:00:" + number.to_bytes(4, "big")[1:].hex(":"))

    def state(self) -> tuple[object, str, str]:
        """All that a fault may change in the fabric."""
        links = json.loads(run(["ip", "-json", "link"], namespace=self.fabric.namespace, timeout=10).stdout)
        kept = [{key: link.get(key) for key in ("ifname", "flags", "mtu", "qdisc", "operstate", "master")} for link in links]
        queues = run(["tc", "qdisc", "show"], namespace=self.fabric.namespace, timeout=10).stdout
        return kept, queues, run(["nft", "list", "ruleset"], namespace=self.fabric.namespace, timeout=10).stdout


@pytest.fixture
def ground(lab: Lab) -> Iterator[Ground]:
    try:
        for tool, package in (("nft", "nftables"), ("tc", "iproute2"), ("ping", "iputils-ping")):
            require(tool, package)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    with ExitStack() as stack:
        fabric = stack.enter_context(Fabric.create(lab, racks=RACKS))
        a1, a2 = (stack.enter_context(host_in(lab, fabric, f"a{number}", "a", 10 + number)) for number in (1, 2))
        made = Ground(fabric, a1, a2, stack.enter_context(host_in(lab, fabric, "b1", "b", 11)))
        made.a1.ip("address", "add", f"{made.pod}/32", "dev", "lo")
        run(["ip", "route", "add", made.pod, "via", str(made.a1.address)], namespace=fabric.namespace, timeout=10)
        for one, two in ((made.a1, made.a2), (made.a1, made.b1), (made.a2, made.b1)):
            assert one.reaches(two.address)  # who is where is known from now on
        yield made


@contextmanager
def nothing_left(ground: Ground, fault: Fault) -> Iterator[None]:
    """The fault, for the length of the block; afterwards all is as before, and ending it twice does no harm."""
    before = ground.state()
    with fault:
        assert ground.state() != before
        yield
    fault.end()
    assert ground.state() == before


def pings(source: Host, target: object, count: int = 20, origin: str = "") -> int:
    """How many of `count` are answered."""
    by = ("-I", origin) if origin else ()
    argv = ["ping", "-q", "-n", "-i", "0.01", "-W", "0.3", "-c", str(count), *by, str(target)]
    told = run(argv, namespace=source.namespace, timeout=60, check=False).stdout
    found = re.search(rf"{count} packets transmitted, (\d+) received", told)
    assert found, told
    return int(found[1])


def datagrams(source: Host, target: Host, count: int, pause: float = 0.0) -> int:
    """How many of `count` arrive."""
    with socket_in(target.namespace, kind=socket.SOCK_DGRAM) as ear, socket_in(source.namespace, kind=socket.SOCK_DGRAM) as mouth:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        ear.bind((str(target.address), PORT))
        for number in range(count):
            mouth.sendto(b"%06d" % number, (str(target.address), PORT))
            time.sleep(pause)
        ear.settimeout(0.5)
        arrived = 0
        try:
            while ear.recv(100):
                arrived += 1
        except TimeoutError:
            return arrived
        return arrived


def bits_a_second(source: Host, target: Host, offered: int, seconds: float = 2.0) -> float:
    """What arrives of so many bits a second of datagrams, after the first half second in which a bucket empties."""
    stop = threading.Event()

    def send() -> None:
        with socket_in(source.namespace, kind=socket.SOCK_DGRAM) as mouth:
            began, sent = time.monotonic(), 0
            while not stop.is_set():
                while not stop.is_set() and sent < (time.monotonic() - began) * offered / 8:
                    sent += mouth.sendto(bytes(PAYLOAD), (str(target.address), PORT)) + HEADERS
                time.sleep(0.001)

    with socket_in(target.namespace, kind=socket.SOCK_DGRAM) as ear:
        ear.bind((str(target.address), PORT))
        ear.settimeout(5)
        sender = threading.Thread(target=send)
        sender.start()
        try:
            begin = time.monotonic() + 0.5
            while time.monotonic() < begin:
                ear.recv(2000)
            total, began = 0, time.monotonic()
            while time.monotonic() < began + seconds:
                total += len(ear.recv(2000)) + HEADERS
            return total * 8 / (time.monotonic() - began)
        finally:
            stop.set()
            sender.join()


def bulk(source: Host, target: Host, seconds: float = 3.0) -> float:
    """The bits a second that one TCP connection carries."""
    with socket_in(target.namespace) as listener, socket_in(source.namespace) as mouth:
        listener.bind((str(target.address), PORT))
        listener.listen()
        mouth.connect((str(target.address), PORT))
        ear, _ = listener.accept()
        with ear:
            ear.settimeout(5)
            sender = threading.Thread(target=_pour, args=(mouth, time.monotonic() + seconds + 1))
            sender.start()
            begin = time.monotonic() + 1
            while time.monotonic() < begin:
                ear.recv(1 << 16)
            total, began = 0, time.monotonic()
            while time.monotonic() < began + seconds - 0.5:
                total += len(ear.recv(1 << 16))
            rate = total * 8 / (time.monotonic() - began)
        sender.join()
        return rate


def _pour(mouth: socket.socket, until: float) -> None:
    mouth.settimeout(1)
    try:
        while time.monotonic() < until:
            mouth.send(bytes(1 << 14))
    except OSError:
        return


def test_a_partition_within_a_rack_cuts_both_ways_and_nothing_else(ground: Ground) -> None:
    a1, a2, b1 = ground.a1, ground.a2, ground.b1
    with nothing_left(ground, Partition("split", [ground.wire(a1)], [ground.wire(a2)])):
        assert (pings(a1, a2.address), pings(a2, a1.address)) == (0, 0)
        assert (datagrams(a1, a2, 50), datagrams(a2, a1, 50)) == (0, 0)
        assert (pings(a1, b1.address), pings(b1, a2.address)) == (20, 20)
        assert (pings(a1, "10.77.1.1"), pings(a2, "10.77.0.1")) == (20, 20)
    assert (pings(a1, a2.address), pings(a2, a1.address)) == (20, 20)


def test_a_partition_between_racks_is_of_pods_too(ground: Ground) -> None:
    a1, a2, b1 = ground.a1, ground.a2, ground.b1
    assert pings(a1, b1.address, origin=ground.pod) == 20
    with nothing_left(ground, Partition("split", [ground.wire(b1)], [ground.wire(a1), ground.wire(a2)])):
        assert pings(a1, b1.address, origin=ground.pod) == 0
        assert (pings(b1, ground.pod), pings(b1, a1.address), pings(a2, b1.address)) == (0, 0, 0)
        assert (pings(a1, a2.address), pings(a2, ground.pod), pings(b1, "10.77.1.1")) == (20, 20, 20)
    assert pings(b1, ground.pod) == 20


def test_two_partitions_do_not_mind_each_other(ground: Ground) -> None:
    a1, a2, b1 = ground.a1, ground.a2, ground.b1
    one = Partition("one", [ground.wire(a1)], [ground.wire(a2)])
    with nothing_left(ground, Partition("two", [ground.wire(a1)], [ground.wire(b1)])):
        with one:
            assert (pings(a1, a2.address), pings(a1, b1.address), pings(a2, b1.address)) == (0, 0, 20)
        assert (pings(a1, a2.address), pings(a1, b1.address)) == (20, 0)


def test_of_a_share_that_is_lost_the_rest_arrives(ground: Ground) -> None:
    count = 3000
    with nothing_left(ground, Loss("lossy", [ground.wire(ground.a1)], Share.parse("30%"))):
        for source, target in ((ground.a1, ground.a2), (ground.a2, ground.a1), (ground.b1, ground.a1)):
            # Five standard deviations of a binomial distribution are sqrt(0.3 * 0.7 / 3000) * 5 = 4.2 %.
            assert datagrams(source, target, count, 0.0001) / count == pytest.approx(0.7, abs=0.042)
        assert datagrams(ground.a2, ground.b1, count) == count
    assert datagrams(ground.a1, ground.a2, count) == count


def test_a_rate_is_kept_each_way_and_by_others_not(ground: Ground) -> None:
    rate = 4_000_000
    with nothing_left(ground, Rate([ground.wire(ground.a1)], Bits.parse("4Mbit"))):
        assert bits_a_second(ground.a1, ground.a2, 3 * rate) == pytest.approx(rate, rel=0.2)
        assert bits_a_second(ground.b1, ground.a1, 3 * rate) == pytest.approx(rate, rel=0.2)
        assert bits_a_second(ground.a2, ground.b1, 3 * rate) == pytest.approx(3 * rate, rel=0.2)
    assert bits_a_second(ground.a1, ground.a2, 3 * rate) == pytest.approx(3 * rate, rel=0.2)


def test_a_connection_makes_use_of_a_narrow_cable(ground: Ground) -> None:
    """Large segments, which only a network card would cut, go through the queue as well."""
    with Rate([ground.wire(ground.a1)], Bits.parse("4Mbit")):
        assert bulk(ground.a1, ground.a2) == pytest.approx(4_000_000 * 1448 / 1514, rel=0.2)
        assert bulk(ground.a2, ground.a1) == pytest.approx(4_000_000 * 1448 / 1514, rel=0.2)


def has_netem(ground: Ground) -> bool:
    """Tried, not looked up."""
    run(["ip", "link", "add", "probe", "type", "veth"], namespace=ground.fabric.namespace, timeout=10)
    argv = ["tc", "qdisc", "add", "dev", "probe", "root", "netem", "delay", "1ms"]
    code = run(argv, namespace=ground.fabric.namespace, timeout=10, check=False).code
    run(["ip", "link", "delete", "probe"], namespace=ground.fabric.namespace, timeout=10)
    return code == 0


def test_a_delay_is_there_each_way_or_refused_by_a_kernel_that_has_none(ground: Ground) -> None:
    fault, before = Delay([ground.wire(ground.a1)], 0.05), ground.state()
    if not has_netem(ground):
        with pytest.raises(HarnessError, match="this kernel has no netem") as refused:
            fault.begin()
        assert "CONFIG_NET_SCH_NETEM" in refused.value.hint
        assert not fault.active
        assert ground.state() == before
        return
    with nothing_left(ground, fault):
        began = time.monotonic()
        assert ground.a1.reaches(ground.a2.address)
        assert 0.1 <= time.monotonic() - began < 0.5


def test_a_queue_of_somebody_else_is_left_alone(ground: Ground) -> None:
    tc = ["tc", "qdisc", "add", "dev", ground.a1.cable, "root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms"]
    run(tc, namespace=ground.fabric.namespace, timeout=10)
    before = ground.state()
    with pytest.raises(HarnessError, match="somebody else has a queueing discipline there"):
        Rate([ground.wire(ground.a2), ground.wire(ground.a1)], Bits.parse("4Mbit")).begin()
    assert ground.state() == before


def test_a_fault_begins_once_and_may_begin_again_after_its_end(ground: Ground) -> None:
    fault = Loss("lossy", [ground.wire(ground.a1)], Share.parse("100%"))
    with nothing_left(ground, fault), pytest.raises(HarnessError, match="active already"):
        fault.begin()
    with nothing_left(ground, fault):
        assert pings(ground.a2, ground.a1.address, 5) == 0


def test_a_fault_ends_when_the_cable_or_the_whole_fabric_is_no_more(lab: Lab) -> None:
    with Fabric.create(lab, racks=RACKS) as fabric:
        with host_in(lab, fabric, "a1", "a", 11) as host:
            wire = Wire(fabric.namespace, host.cable, "52:54:00:4d:01:0b")
            faults: list[Fault] = [Rate([wire], Bits.parse("4Mbit")), Loss("lossy", [wire], Share.parse("5%"))]
            for fault in faults:
                fault.begin()
        run(["ip", "link", "delete", host.cable], namespace=fabric.namespace, timeout=10, check=False)
        faults[0].end()
        assert "ifb" not in run(["ip", "-d", "link"], namespace=fabric.namespace, timeout=10).stdout
        faults[0].begin()  # there is nothing to break, yet
    for fault in faults:
        fault.end()
        assert not fault.active


def test_a_cable_that_is_made_anew_is_as_slow_as_the_one_before(ground: Ground) -> None:
    host, wire = ground.a1, ground.wire(ground.a1)
    fabric = ground.fabric.namespace
    with Rate([wire], Bits.parse("4Mbit")) as fault:
        run(["ip", "link", "delete", host.cable], namespace=fabric, timeout=10)
        plug = ["link", "add", host.cable, "master", "br-a", "up", "type", "veth", "peer", "name", "eth0"]
        run(["ip", "-netns", fabric, *plug, "netns", host.namespace], timeout=10)
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        fault.renew(ground.a2.cable)
        assert bits_a_second(host, ground.a2, 12_000_000) == pytest.approx(12_000_000, rel=0.2)
        fault.renew(host.cable)
        assert bits_a_second(host, ground.a2, 12_000_000) == pytest.approx(4_000_000, rel=0.2)
        fault.renew(host.cable)
        assert bits_a_second(ground.a2, host, 12_000_000) == pytest.approx(4_000_000, rel=0.2)
