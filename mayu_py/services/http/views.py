"""What the admin face shows of hosts, networks and profiles, as JSON and as its schemas."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mayu_py.core.hosts import Host, Stage, State
from mayu_py.core.networks import Network
from mayu_py.core.settings import Profile
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.http.schemas import INTEGER, STRING, Schema, array, mapping, obj, or_null
from mayu_py.store import Status, StoredEvent

_FACTS = {"provider_id": STRING, "ipmi_address": STRING, "cabinet": STRING, "os_version": STRING, "metadata": mapping(STRING)}
_STATES: Schema = {"type": "string", "enum": [state.value for state in State]}

HOST = obj(
    {
        "name": STRING,
        "serial": or_null("string"),
        "uuid": or_null("string"),
        "macs": array(STRING),
        "address": or_null("string"),
        "addresses": mapping(STRING),
        "profile": or_null("string"),
        "image": or_null("string"),
        "installed": {"type": "boolean"},
        "state": _STATES,
        "stage": {"type": ["string", "null"], "enum": [*(stage.value for stage in Stage), None]},
        "since": or_null("string"),
        "origin": STRING,
        "facts": obj({**_FACTS, "etcd_token": STRING}, required=tuple(_FACTS)),
        "values": mapping(),
    },
    required=(
        *("name", "serial", "uuid", "macs", "address", "addresses", "profile", "image", "installed"),
        *("state", "stage", "since", "origin", "facts"),
    ),
)
EVENT = obj(
    {
        "id": INTEGER,
        "at": STRING,
        "monotonic_ns": INTEGER,
        "serial": or_null("string"),
        "host": or_null("string"),
        "kind": STRING,
        "detail": mapping(),
    }
)
PROFILE = obj(
    {
        "name": STRING,
        "image": STRING,
        "install": STRING,
        "quantity": or_null("integer"),
        "tags": array(STRING),
        "hosts": INTEGER,
        "origin": STRING,
    }
)
NETWORK = obj(
    {
        "name": STRING,
        "subnet": STRING,
        "interface": or_null("string"),
        "address": or_null("string"),
        "extra": {"type": "boolean"},
        "range": {"type": ["object", "null"], "properties": {"start": STRING, "end": STRING}},
        "used": mapping(STRING),
        "free": INTEGER,
    }
)


def state_of(host: Host, status: Status | None) -> State:
    """Where a host stands; one to which nothing happened yet stands where its profile puts it."""
    if status is None or (status.state is State.DISCOVERED and host.profile):
        return State.CONFIGURED if host.profile else State.DISCOVERED
    return status.state


def host(host: Host, status: Status | None, *, secrets: bool = False) -> dict[str, Any]:
    """A host. `secrets` adds its template values and its etcd token."""
    facts = host.facts
    noted: dict[str, Any] = {
        "provider_id": facts.provider_id,
        "ipmi_address": facts.ipmi_address,
        "cabinet": facts.cabinet,
        "os_version": facts.os_version,
        "metadata": dict(facts.metadata),
        **({"etcd_token": facts.etcd_token} if secrets else {}),
    }
    return {
        "name": host.name,
        "serial": host.serial,
        "uuid": host.uuid,
        "macs": list(host.macs),
        "address": str(host.address) if host.address else None,
        "addresses": {network: str(address) for network, address in host.addresses.items()},
        "profile": host.profile,
        "image": host.image,
        "installed": host.installed,
        "state": state_of(host, status),
        "stage": status.stage if status else None,
        "since": status.since if status else None,
        "origin": host.origin,
        "facts": noted,
        **({"values": dict(host.values)} if secrets else {}),
    }


def etag(host: Host) -> str:
    """A strong entity tag of what operators can change of a host."""
    return f'"{hashlib.sha256(repr(host).encode("utf-8", "surrogatepass")).hexdigest()[:16]}"'


def event(event: StoredEvent) -> dict[str, Any]:
    """A line of the history."""
    return {name: getattr(event, name) for name in ("id", "at", "monotonic_ns", "serial", "host", "kind", "detail")}


def profiles(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The profiles, with how many hosts each has."""
    members = Counter(host.profile for host in snapshot.hosts.values())
    return [_profile(profile, members[profile.name]) for profile in snapshot.settings.profiles]


def _profile(profile: Profile, hosts: int) -> dict[str, Any]:
    return {
        "name": profile.name,
        "image": profile.image,
        "install": profile.install,
        "quantity": profile.quantity,
        "tags": list(profile.tags),
        "hosts": hosts,
        "origin": str(profile.origin.mark),
    }


def networks(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """The networks: which host has which address, and how many are free in the range."""
    for network in snapshot.settings.networks:
        used = {str(address): name for address, name in sorted(_used(network, snapshot).items())}
        yield {
            "name": network.name,
            "subnet": str(network.subnet),
            "interface": network.interface,
            "address": str(network.address) if network.address else None,
            "extra": network.extra,
            "range": {"start": str(network.range.start), "end": str(network.range.end)} if network.range else None,
            "used": used,
            "free": _free(network, snapshot),
        }


def _used(network: Network, snapshot: Snapshot) -> Mapping[Any, str]:
    return {address: host.name for address, host in snapshot.by_address.items() if address in network.subnet}


def _free(network: Network, snapshot: Snapshot) -> int:
    if network.range is None:
        return 0
    range_ = network.range.of(network.name)
    own = {address for each in snapshot.settings.networks for address in (each.address, each.gateway) if address is not None}
    return len(range_) - sum(address in range_ for address in {*snapshot.by_address, *own})
