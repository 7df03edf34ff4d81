"""Where a machine is in its cluster's network. Pure.

The i-th machine, from 1, has the i-th /30 of the subnet: its bridge has the first address of it, the machine the second. All
machines are on one link nevertheless, so the netmask is that of the whole subnet.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

VNI_LIMIT = 1 << 24
"""VXLAN's network identifier has 24 bits (RFC 7348, section 5)."""


def count(subnet: IPv4Network) -> int:
    """How many machines there may be. The first /30 goes to nobody: its first address would be the network's own."""
    return max(0, subnet.num_addresses // 4 - 1)


def address(subnet: IPv4Network, index: int) -> IPv4Interface:
    """The machine's own, with the netmask of the subnet. Raises ValueError when there is no such machine."""
    return IPv4Interface(f"{_first(subnet, index) + 2}/{subnet.prefixlen}")


def gateway(subnet: IPv4Network, index: int) -> IPv4Address:
    """The address of the machine's bridge. Raises ValueError when there is no such machine."""
    return _first(subnet, index) + 1


def mac(vni: int, index: int) -> str:
    """A locally administered address that no other machine of any cluster has: the network in three bytes, the machine in two.

    Raises ValueError when one of them does not fit.
    """
    if not 0 < vni < VNI_LIMIT or not 0 < index < 1 << 16:
        raise ValueError(f"no machine {index} in a network {vni}")
    return ":".join(f"{byte:02x}" for byte in (0x06, *vni.to_bytes(3), *index.to_bytes(2)))


def _first(subnet: IPv4Network, index: int) -> IPv4Address:
    if not 1 <= index <= count(subnet):
        raise ValueError(f"no machine {index} in {subnet}: it has room for {count(subnet)}")
    return subnet.network_address + 4 * index
