"""Rules for the hosts' NICs: what each network says of its own, and what the networks of one host say of each other."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from ignition.document import Problem
from mayu_py.core.networks import Network
from mayu_py.core.nics import LONGEST_NAME, Bond, Nic, is_interface_name, is_pattern
from mayu_py.core.settings import NetworkFiles, Settings

VLANS = range(1, 4095)  # IEEE 802.1Q: 0 is no VLAN, 4095 is reserved
MTUS = range(68, 65536)  # RFC 791
MIIMON = range(1, 10_001)
_LIKE_A_BOND = re.compile(r"bond[0-9]*")
_LIKE_A_VLAN = re.compile(r"(.+)\.([0-9]+)")


def _nics(settings: Settings) -> Iterator[Problem]:
    for network in settings.networks:
        if network.nic is not None:
            yield from _which(network, network.nic)
            yield from _tag(network.nic)
            yield from _mtu(network.nic)
            if network.nic.bond is not None:
                yield from _bond(network.nic.bond, network.nic)


def _which(network: Network, nic: Nic) -> Iterator[Problem]:
    name, origin = nic.name, nic.origin
    if name is not None and nic.bond is not None:
        yield origin.error("a NIC has a `name`, or is a `bond` with a name of its own", "name", hint="leave out `name`")
    elif not nic.base and nic.vlan is None and network.extra:
        hint = "nic: {name: eth1}; only the network a host boots from knows its NIC by the MAC"
        yield origin.error(f"nothing says which NIC hosts have in {network.name}", hint=hint)
    elif name is not None and is_pattern(name):
        hint = f'bond: {{members: ["{name}"]}} makes one of several'
        yield origin.error(f"several NICs may be called {name!r}, and one address is for one of them", "name", hint=hint)
    elif name is not None and (found := _LIKE_A_VLAN.fullmatch(name)):
        yield origin.error(f"{name!r} is the name of a VLAN", "name", hint=f"name: {found[1]}, vlan: {found[2]}")
    elif name is not None and not is_interface_name(name):
        yield origin.error(f"{name!r} cannot name a NIC", "name", hint=f"{LONGEST_NAME} letters, digits, '-' and '_' at most")


def _tag(nic: Nic) -> Iterator[Problem]:
    if nic.vlan is None:
        return
    if nic.vlan not in VLANS:
        yield nic.origin.error(f"{nic.vlan} is no VLAN", "vlan", hint=f"{VLANS.start} to {VLANS.stop - 1}")
    elif len(nic.device) > LONGEST_NAME:
        hint = f"a name has {LONGEST_NAME} characters at most"
        yield nic.origin.error(f"the VLAN would be called {nic.device!r}, which is too long", "vlan", hint=hint)


def _mtu(nic: Nic) -> Iterator[Problem]:
    if nic.mtu is not None and nic.mtu not in MTUS:
        yield nic.origin.error(
            f"{nic.mtu} is no MTU", "mtu", hint=f"{MTUS.start} to {MTUS.stop - 1} bytes; 9000 for jumbo frames"
        )


def _bond(bond: Bond, nic: Nic) -> Iterator[Problem]:
    origin = bond.origin
    if not is_interface_name(bond.name) or "." in bond.name:
        hint = f"{LONGEST_NAME} letters, digits, '-' and '_' at most"
        yield origin.error(f"{bond.name!r} cannot name a bond", "name", hint=hint)
    if not bond.members:
        yield origin.error(f"the bond {bond.name} has no members", "members", hint='members: ["eth*"], or [eth0, eth1]')
    for n, member in enumerate(bond.members):
        if not is_interface_name(member, pattern=True):
            yield origin.error(f"{member!r} cannot name a NIC", "members", n, hint='as in "eth*" or eth0')
        elif Bond((member,)).takes(bond.name) or Bond((member,)).takes(nic.device):
            yield origin.error(f"{member!r} fits {bond.name} itself", "members", n, hint='name its members, as in "eth*"')
    if bond.miimon not in MIIMON:
        yield origin.error(f"{bond.miimon} ms", "miimon", hint=f"{MIIMON.start} to {MIIMON.stop - 1}; 100 is usual")


def _together(settings: Settings) -> Iterator[Problem]:
    """What one host has together: a network that it boots from, and all extra ones."""
    extra = [network for network in settings.networks if network.extra]
    for boot in settings.boot_networks:
        nics = [(network, network.nic or Nic()) for network in (boot, *extra) if network.nic is not None or not network.extra]
        bonds = {nic.bond.name: nic.bond for _, nic in nics if nic.bond is not None}
        for one, other in combinations(nics, 2):
            # The one that stands later in the file is the one to look at.
            (first, known), (second, nic) = sorted((one, other), key=lambda pair: pair[0].origin.mark)
            for rule in _PAIRS:
                yield from rule(first, known, second, nic)
        for network, nic in nics:
            if nic.bond is None and nic.base not in bonds and _LIKE_A_BOND.fullmatch(nic.base):
                hint = f"bonds of its hosts: {', '.join(sorted(bonds)) or 'none'}"
                yield _at(network, f"there is no bond {nic.base}", "name", hint=hint)


def _same_device(first: Network, known: Nic, second: Network, nic: Nic) -> Iterator[Problem]:
    if (known.base, known.vlan) != (nic.base, nic.vlan):
        return
    what = known.base or "the NIC that hosts boot from"
    hint = f"{first.name} has it at {first.origin.at('nic')}; give one of them another NIC, or a `vlan`"
    if nic.vlan is None:
        yield _at(second, f"{second.name} and {first.name} are both untagged on {what}", hint=hint)
    else:
        yield _at(second, f"{second.name} and {first.name} are both VLAN {nic.vlan} on {what}", "vlan", hint=hint)


def _same_bond(first: Network, known: Nic, second: Network, nic: Nic) -> Iterator[Problem]:
    if known.bond is not None and nic.bond is not None and known.base == nic.base and known.bond != nic.bond:
        hint = f"it is described at {known.bond.origin.mark}; refer to it with `name: {nic.base}`"
        yield nic.bond.origin.error(f"{nic.base} is another bond in {first.name}", hint=hint)


def _shared_member(first: Network, known: Nic, second: Network, nic: Nic) -> Iterator[Problem]:
    for holder, bond, user, other in ((first, known.bond, second, nic), (second, nic.bond, first, known)):
        if bond is None or other.base == bond.name:
            continue
        if other.bond is None and other.base and bond.takes(other.base):
            why = f"{other.base} is a member of {bond.name}, which is the NIC of {holder.name}"
            yield _at(user, why, "name", hint=f"the bond is at {bond.origin.mark}")
    if known.bond is not None and nic.bond is not None and known.base != nic.base:
        for member in nic.bond.members:
            if known.bond.takes(member):
                hint = f"{known.bond.name} is at {known.bond.origin.mark}"
                why = f"{member!r} is a member of {known.bond.name}, too"
                yield nic.bond.origin.error(why, "members", hint=hint)


def _fitting_mtu(first: Network, known: Nic, second: Network, nic: Nic) -> Iterator[Problem]:
    for below, upon, user in ((known, nic, second), (nic, known, first)):
        is_stack = below.base == upon.base and below.vlan is None and upon.vlan is not None
        if is_stack and below.mtu is not None and upon.mtu is not None and upon.mtu > below.mtu:
            why = f"frames of {upon.mtu} bytes do not fit on {upon.base or 'its NIC'}, which has an MTU of {below.mtu}"
            yield _at(user, why, "mtu", hint=f"see {below.origin.at('mtu')}")


def _at(network: Network, message: str, *steps: str, hint: str = "") -> Problem:
    """An error about a network's `nic`, or about the network, if it says nothing of it."""
    if network.nic is None:
        return network.origin.error(message, hint=hint)
    return network.nic.origin.error(message, *steps, hint=hint)


def _wanted(settings: Settings) -> Iterator[Problem]:
    """Files for a host's NICs need to know all of them."""
    wanting = [profile for profile in settings.profiles if profile.network_files is not NetworkFiles.NONE]
    for network in settings.networks:
        if network.extra and network.nic is None and wanting:
            hint = (
                f"nic: {{name: eth1}}; profile {wanting[0].name} wants `network_files` ({wanting[0].origin.at('network_files')})"
            )
            yield network.origin.error(f"nothing says which NIC hosts have in {network.name}", hint=hint)


_PAIRS: tuple[Callable[[Network, Nic, Network, Nic], Iterable[Problem]], ...] = (
    _same_device,
    _same_bond,
    _shared_member,
    _fitting_mtu,
)
RULES = (_nics, _together, _wanted)
