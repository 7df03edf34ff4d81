"""What Mayu's templates see, as Jinja expressions: values, their fields, and the scope they are looked up in.

Mayu gives its templates a struct; here they see `host`, `network`, `server` and `values`. A value's `kind` is what struct its
fields are looked up in.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Methods of mappings, which an attribute of that name would be.
_METHODS = frozenset({"get", "items", "keys", "values"})

HOST: Mapping[str, str] = {
    "Serial": "host.serial",
    "Hostname": "host.name",
    "Name": "host.name",
    "InternalAddr": "host.address",
    "Profile": "host.profile",
    "ProviderId": "host.provider_id",
    "Cabinet": "host.cabinet",
    "EtcdClusterToken": "host.etcd_token",
    "MachineID": "values.MachineID",
}
ROOT: Mapping[str, str] = {
    "EtcdDiscoveryUrl": "etcd_discovery_url",
    "MayuHost": "server.address",
    "MayuURL": "server.url",
    "PostBootURL": '(report_url ~ "/boot_complete")',
}
PRIMARY: Mapping[str, str] = {
    "SubnetSize": "network.prefix",
    "SubnetGateway": "network.gateway",
    "DNS": "network.dns",
}


class Untranslatable(Exception):
    """Says the same in no Jinja expression that is made here."""


@dataclass(frozen=True, slots=True)
class Value:
    """A Jinja expression. `may_miss`: Go makes nothing of it when it is not there, Jinja an error."""

    text: str
    kind: str = "plain"
    may_miss: bool = False

    @property
    def condition(self) -> str:
        """As a test: what is not there is false."""
        return f"{self.text} | default(false)" if self.may_miss else self.text

    @property
    def argument(self) -> str:
        """Within an operator."""
        return self.text if re.fullmatch(r'[\w.\[\]"]+', self.text) else f"({self.text})"


@dataclass(frozen=True, slots=True)
class Scope:
    """What `.` is, and the variables. `port` is mayu's own."""

    dot: Value = Value("", "root")
    variables: Mapping[str, Value] = field(default_factory=dict)
    port: str = "4081"

    def with_dot(self, dot: Value, **variables: Value) -> "Scope":
        """Within a `range`, `with` or `template`."""
        return Scope(dot, {**self.variables, **variables}, self.port)


def field_of(of: Value, name: str, port: str) -> Value:
    """A field of a struct, or the member of a mapping. Raises Untranslatable."""
    match of.kind, name:
        case "root", "Host":
            return Value("host", "host")
        case "root", "TemplatesEnv":
            return Value("values", "env")
        case "root", "ClusterNetwork":
            return Value("values.ClusterNetwork", "cluster")
        case "root", "Files":
            return Value("", "files")
        case "root", "MayuPort":
            return Value(json.dumps(port), "literal")
        case "root", "NoTLS":
            return Value("true", "literal")
        case "host", "Overrides":
            return Value("values", "env")
        case "host", "AdditionalAddrs":
            return Value("host.addresses", "env")
        case "host", "MacAddresses":
            return Value("host.mac", "macs")
        case "cluster", "PrimaryNIC":
            return Value("values.ClusterNetwork.PrimaryNIC", "primary")
        case "cluster", "NTP":
            return Value("network.ntp")
    for kind, names in (("host", HOST), ("root", ROOT), ("primary", PRIMARY)):
        if of.kind == kind and name in names:
            return Value(names[name])
        if of.kind == kind and kind != "primary":
            raise Untranslatable(f"there is nothing here like `.{name}` of {'Host' if kind == 'host' else 'the template'}")
    if of.kind in ("files", "macs", "literal"):
        raise Untranslatable(f"`.{name}` of what has no fields")
    return member(of, name)


def member(of: Value, name: str) -> Value:
    """The member of a mapping that may lack it."""
    is_name = _NAME.fullmatch(name) and name not in _METHODS
    return Value(f"{of.text}.{name}" if is_name else f"{of.text}[{json.dumps(name)}]", "plain", may_miss=True)
