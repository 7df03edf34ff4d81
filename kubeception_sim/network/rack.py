"""A rack: a switch of its own behind the fabric's router. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from kubeception_sim.errors import BadInput

_LINK_NAME_MAX = 15  # IFNAMSIZ - 1


@dataclass(frozen=True)
class Rack:
    """`gateway` is the router's address in the rack, with the rack's prefix length: 10.77.1.1/24.

    Raises BadInput for a name that no bridge can have.
    """

    name: str
    gateway: IPv4Interface

    def __post_init__(self) -> None:
        bridge_of(self.name)

    @property
    def subnet(self) -> IPv4Network:
        """The addresses of the rack's machines."""
        return self.gateway.network

    @property
    def bridge(self) -> str:
        """The rack's switch."""
        return bridge_of(self.name)


def bridge_of(rack: str) -> str:
    """The bridge of the rack with that name. Raises BadInput when the kernel would not take it: at most 12 characters."""
    bridge = f"br-{rack}"
    if not rack or len(bridge) > _LINK_NAME_MAX or not rack.isprintable() or set(rack) & set(' "/'):
        raise BadInput(f"{rack!r} cannot be the name of a rack: its bridge {bridge!r} has to be a link name")
    return bridge
