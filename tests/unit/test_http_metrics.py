"""The exposition, whole."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from mayu_py.core.hosts import Host, State
from mayu_py.core.networks import AddressRange, Network
from mayu_py.core.settings import Profile, Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.http.metrics import exposition
from mayu_py.store import Status, WorkerStatus

SETTINGS = Settings(
    networks=(
        Network(
            "rack",
            IPv4Network("10.1.0.0/24"),
            interface="br0",
            address=IPv4Address("10.1.0.1"),
            range=AddressRange(IPv4Address("10.1.0.1"), IPv4Address("10.1.0.4")),
        ),
    ),
    images={},
    profiles=(Profile("node", "os", Path("n.bu")),),
)
HOSTS = (Host("a", IPv4Address("10.1.0.2"), profile="node"), Host("b", IPv4Address("10.1.0.3"), profile="node"), Host("c", None))


def test_everything_is_exposed() -> None:
    found = exposition(
        "1.0",
        Snapshot.of(SETTINGS, HOSTS),
        {"a": Status(State.RUNNING, None, "")},
        [("dhcp", "dhcp.drop", 'a "quoted"\\\nreason', 3)],
        [WorkerStatus("dhcp", 7, True, 2)],
    )
    samples = [line for line in "".join(found).splitlines() if not line.startswith("#")]
    assert samples == [
        'mayu_info{version="1.0"} 1',
        'mayu_counted_total{worker="dhcp",name="dhcp.drop",reason="a \\"quoted\\"\\\\\\nreason"} 3',
        'mayu_hosts{state="configured",profile="node"} 1',
        'mayu_hosts{state="discovered",profile=""} 1',
        'mayu_hosts{state="running",profile="node"} 1',
        'mayu_network_addresses{network="rack",use="used"} 2',
        'mayu_network_addresses{network="rack",use="free"} 1',
        'mayu_worker_up{worker="dhcp"} 1',
        'mayu_worker_restarts_total{worker="dhcp"} 2',
    ]
