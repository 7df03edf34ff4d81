"""Everything a decision may look at, in one immutable value."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Self

from mayu_py.core.growing import Growing
from mayu_py.core.hosts import Host, Identity
from mayu_py.core.settings import Settings


@dataclass(frozen=True)
class Snapshot:
    """Settings and inventory, indexed. A change makes a new one; `revision` tells which is newer."""

    settings: Settings
    hosts: Growing[str, Host] = field(default_factory=Growing)
    revision: int = 0
    by_serial: Growing[str, Host] = field(default_factory=Growing)
    by_uuid: Growing[str, Host] = field(default_factory=Growing)
    by_mac: Growing[str, Host] = field(default_factory=Growing)
    by_address: Growing[IPv4Address, Host] = field(default_factory=Growing)
    by_ident: Growing[str, Host] = field(default_factory=Growing)

    @classmethod
    def of(cls, settings: Settings, hosts: Iterable[Host], revision: int = 0) -> Self:
        """Index the hosts."""
        return cls(settings=settings).adding(hosts, revision)

    def adding(self, hosts: Iterable[Host], revision: int) -> Self:
        """The same and these."""
        more = tuple(hosts)
        return replace(
            self,
            hosts=self.hosts.adding({host.name: host for host in more}),
            revision=revision,
            by_serial=self.by_serial.adding({host.serial: host for host in more if host.serial}),
            by_uuid=self.by_uuid.adding({host.uuid: host for host in more if host.uuid}),
            by_mac=self.by_mac.adding({mac: host for host in more for mac in host.macs}),
            by_address=self.by_address.adding({a: host for host in more for a in host.all_addresses}),
            by_ident=self.by_ident.adding({host.ident: host for host in more}),
        )

    def find(self, identity: Identity) -> tuple[Host | None, str]:
        """The host and the rule that found it. Serial before uuid, uuid before MAC: a board outlives its NIC."""
        serial, uuid, mac = identity.serial, identity.uuid, identity.mac
        if serial is not None and (host := self.by_serial.get(serial)):
            return host, f"serial {serial} is {host.name} ({host.origin})"
        if uuid is not None and (host := self.by_uuid.get(uuid)):
            return host, f"uuid {uuid} is {host.name} ({host.origin})"
        if mac is not None and (host := self.by_mac.get(mac)):
            return host, f"mac {mac} is {host.name} ({host.origin})"
        return None, f"{identity} is not in the inventory"
