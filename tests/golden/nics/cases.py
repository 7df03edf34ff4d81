"""One host in networks of each kind, and the files of its NICs beside this module: NAME/networkd and NAME/keyfiles.

`python -m tests.golden.nics.cases` writes them anew.
"""

import shutil
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from mayu_py.core.hosts import Host, Mac
from mayu_py.core.networks import Network, Route
from mayu_py.core.nics import Addressing, Bond, BondMode, LacpRate, Nic
from mayu_py.core.rendering.files import File
from mayu_py.core.rendering.interfaces import interfaces
from mayu_py.core.rendering.keyfiles import keyfiles
from mayu_py.core.rendering.networkd import networkd

HERE = Path(__file__).parent


def address(text: str) -> IPv4Address:
    return IPv4Address(text)


HOST = Host(
    "node-1", address("10.77.0.11"), (Mac("52:54:00:00:00:01"),), addresses={"storage": address("10.79.0.11")}, profile="node"
)


def rack(nic: Nic | None) -> Network:
    return Network("rack", IPv4Network("10.77.0.0/24"), interface="br0", address=address("10.77.0.1"), nic=nic)


def furnished(nic: Nic | None) -> Network:
    return Network(
        "rack",
        IPv4Network("10.77.0.0/24"),
        interface="br0",
        address=address("10.77.0.1"),
        gateway=address("10.77.0.254"),
        routes=(
            Route(IPv4Network("10.99.0.0/16"), address("10.77.0.253")),
            Route(IPv4Network("10.98.0.0/16"), address("10.77.0.252")),
        ),
        dns=(address("10.77.0.1"), address("10.77.0.2")),
        ntp=(address("10.77.0.1"),),
        domain="rack.example",
        search=("rack.example", "example"),
        nic=nic,
    )


def storage(nic: Nic) -> Network:
    # Its gateway is none of the host's: the default route is that of the rack.
    return Network(
        "storage",
        IPv4Network("10.79.0.0/24"),
        extra=True,
        gateway=address("10.79.0.254"),
        routes=(Route(IPv4Network("10.80.0.0/16"), address("10.79.0.254")),),
        nic=nic,
    )


LACP = Bond(("eth*",), lacp_rate=LacpRate.FAST)
BACKUP = Bond(("eth0", "eth1"), "team0", BondMode.ACTIVE_BACKUP, miimon=50)

CASES: Mapping[str, tuple[Network, ...]] = {
    "plain": (rack(None),),
    "dhcp": (furnished(Nic("eth0", addressing=Addressing.DHCP)),),
    "static": (furnished(Nic("eth0", mtu=9000)),),
    "vlan": (furnished(Nic("eth0", vlan=3)),),
    "vlan-by-mac": (rack(None), storage(Nic(vlan=4, mtu=1400))),
    "bond": (furnished(Nic(bond=LACP)),),
    "bond-backup": (rack(Nic(bond=BACKUP)),),
    "vlan-on-bond": (furnished(Nic(bond=LACP, vlan=3)), storage(Nic("bond0", vlan=4, mtu=9000))),
    "extra": (furnished(None), storage(Nic("eth1", mtu=9000))),
}


def files(case: str) -> dict[str, tuple[File, ...]]:
    """The files of the case by the folder that they are in here."""
    boot, *extra = CASES[case]
    found = interfaces(HOST, boot, extra)
    return {"networkd": networkd(found), "keyfiles": keyfiles(HOST.name, found)}


def _write() -> None:
    for case in CASES:
        shutil.rmtree(HERE / case, ignore_errors=True)
        for folder, written in files(case).items():
            for file in written:
                path = HERE / case / folder / Path(file.path).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.text)


if __name__ == "__main__":
    _write()
