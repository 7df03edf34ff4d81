"""Hosts for the tests of the fabric: namespaces with a cable to a rack, as a machine of the namespace driver has one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric
from kubeception_sim.run import run


@dataclass(frozen=True)
class Host:
    """A namespace with eth0 in a rack, and a default route to the rack's gateway."""

    name: str
    namespace: str
    cable: str
    address: IPv4Address

    def reaches(self, target: IPv4Address | str, source: IPv4Address | str | None = None) -> bool:
        """Whether one ping is answered within a second."""
        origin = ("-I", str(source)) if source else ()
        return run(["ping", "-c1", "-W1", *origin, str(target)], namespace=self.namespace, timeout=10, check=False).code == 0

    def ip(self, *words: str) -> str:
        """What `ip` says inside."""
        return run(["ip", "-netns", self.namespace, *words], timeout=10).stdout


@contextmanager
def host_in(lab: Lab, fabric: Fabric, name: str, rack: str, number: int) -> Iterator[Host]:
    """A host with the rack's address number `number`."""
    place = next(each for each in fabric.racks if each.name == rack)
    port, address = fabric.port(name, rack), place.subnet[number]
    host = Host(name, lab.namespace(name), f"c{name}", address)
    run(["ip", "netns", "add", host.namespace], timeout=10)
    try:
        plug = ["link", "add", host.cable, "master", port.bridge, "up", "type", "veth", "peer", "name", "eth0"]
        run(["ip", "-netns", port.namespace, *plug, "netns", host.namespace], timeout=10)
        host.ip("link", "set", "lo", "up")
        host.ip("address", "add", f"{address}/{place.subnet.prefixlen}", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "via", str(place.gateway.ip))
        yield host
    finally:
        run(["ip", "netns", "delete", host.namespace], timeout=10)
