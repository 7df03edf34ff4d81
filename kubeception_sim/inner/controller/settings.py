"""What the controller is told: one file (YAML, so JSON too), and beside it the files that it names.

    openbao: {url: "https://10.77.0.1:8200", ca: openbao-ca.crt, token: openbao-token}
    network: {address: 10.97.0.11, ca: network-ca.crt, password: network-password}
    guests:
      v1.20.2:
        testbed-1: {url: "http://10.77.0.1:4081/images/node", kernel: SHA256, initrd: SHA256, rootfs: SHA256}
    vm_image: kubeception.local/vm:1
    addons_image: kubeception.local/base:1
    etcd_image: kubeception.local/etcd:3.4.23
    accelerator: tcg
    domain: k8s.example

Names of files are relative to the file's own folder: a Secret that is mounted has all of it. `network.url`, `entrance`,
`admin_keys` and `renew_at` (after how many per cent of their life certificates are renewed, 66) may be missing. `network` is the
store's Service (`inner.store`), `addons_image` is of agents inside a cluster, so it and `etcd_image` are among the images in what
guests boot.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from kubeception_sim.errors import BadInput
from kubeception_sim.inner import schema
from kubeception_sim.inner.doors import Giantnetes, GuestImage

FILE = "settings.json"
"""As the key of a Secret."""
RENEW_AT = 66
_TEXT: schema.Schema = {"type": "string"}
_SHA256: schema.Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def _object(required: Mapping[str, schema.Schema], optional: Mapping[str, schema.Schema] | None = None) -> schema.Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


_SCHEMA = _object(
    {
        "openbao": _object({"url": {"type": "string", "pattern": "^https://"}, "ca": _TEXT, "token": _TEXT}),
        "network": _object({"address": _TEXT, "ca": _TEXT, "password": _TEXT}, {"url": _TEXT}),
        "guests": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": _object({"url": _TEXT, "kernel": _SHA256, "initrd": _SHA256, "rootfs": _SHA256}),
            },
        },
        "vm_image": _TEXT,
        "addons_image": _TEXT,
        "etcd_image": _TEXT,
        "accelerator": {"type": "string", "enum": ["kvm", "tcg"]},
        "domain": _TEXT,
    },
    {
        "entrance": {"type": "object", "additionalProperties": _TEXT},
        "admin_keys": {"type": "array", "items": _TEXT},
        "renew_at": {"type": "integer", "minimum": 0, "maximum": 100},
    },
)


@dataclass(frozen=True)
class OpenBao:
    """Where it is and, as files, who certifies it (PEM) and the token of `pki.tenants.admit_controller`."""

    url: str
    ca: Path
    token: Path

    def read_token(self) -> str:
        """The token. Raises OSError."""
        return self.token.read_text().strip()


@dataclass(frozen=True)
class Network:
    """The store of networks: `address` is its Service's, as pods reach it; `ca` (PEM) and `password` (root's) are files.

    `url` is where the controller itself finds it, if that is elsewhere.
    """

    address: IPv4Address
    ca: Path
    password: Path
    url: str = ""

    def read_password(self) -> str:
        """The password. Raises OSError."""
        return self.password.read_text().strip()


@dataclass(frozen=True)
class Settings:
    """All of it. `guests` by the version of Kubernetes and the name of the image; `renew_at` in per cent; `entrance` are labels
    of the pods that may come in."""

    openbao: OpenBao
    network: Network
    guests: Mapping[str, Mapping[str, GuestImage]]
    vm_image: str
    addons_image: str
    etcd_image: str
    accelerator: str
    domain: str
    entrance: Mapping[str, str] = field(default_factory=dict)
    admin_keys: tuple[str, ...] = ()
    renew_at: int = RENEW_AT

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """From a file. Raises BadInput with all that is wrong with it, a line each."""
        try:
            raw = yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise BadInput(f"{path}: {error}", hint="python -m kubeception_sim.inner.controller --help") from error
        found = list(schema.problems(_SCHEMA, raw, "settings"))
        settings = None if found else cls._of(raw, path.parent, found)
        if settings is None or found:
            raise BadInput("\n".join(f"{path}: {each}" for each in found), hint="the format is in inner/controller/settings.py")
        return settings

    @classmethod
    def _of(cls, raw: Mapping[str, Any], folder: Path, problems: list[str]) -> "Settings | None":
        bao, network = raw["openbao"], raw["network"]
        try:
            address = IPv4Address(network["address"])
        except ValueError as error:
            problems.append(f"network.address: {error}")
            return None
        files = [folder / name for name in (bao["ca"], bao["token"], network["ca"], network["password"])]
        problems += (f"{each} is not there" for each in files if not each.is_file())
        plain = {key: raw[key] for key in ("vm_image", "addons_image", "etcd_image", "accelerator", "domain")}
        return cls(
            OpenBao(bao["url"], files[0], files[1]),
            Network(address, files[2], files[3], network.get("url", "")),
            {version: {name: GuestImage(**each) for name, each in found.items()} for version, found in raw["guests"].items()},
            **plain,
            entrance=raw.get("entrance", {}),
            admin_keys=tuple(raw.get("admin_keys", ())),
            renew_at=raw.get("renew_at", RENEW_AT),
        )

    def document(self) -> dict[str, Any]:
        """As the file has it, with the files' names only: they are to be in its own folder."""
        bao, network = self.openbao, self.network
        found: dict[str, Any] = {
            "openbao": {"url": bao.url, "ca": bao.ca.name, "token": bao.token.name},
            "network": {"address": str(network.address), "ca": network.ca.name, "password": network.password.name},
            "guests": {version: {name: asdict(each) for name, each in found.items()} for version, found in self.guests.items()},
        }
        found["network"] |= {"url": network.url} if network.url else {}
        plain = ("vm_image", "addons_image", "etcd_image", "accelerator", "domain")
        return found | {key: getattr(self, key) for key in plain} | dict(self._optional())

    def _optional(self) -> Iterator[tuple[str, Any]]:
        if self.entrance:
            yield "entrance", dict(self.entrance)
        if self.admin_keys:
            yield "admin_keys", list(self.admin_keys)
        if self.renew_at != RENEW_AT:
            yield "renew_at", self.renew_at

    def giantnetes(self) -> Giantnetes:
        """The outer cluster, as objects are made of it."""
        known = Giantnetes(self.vm_image, self.guests, self.accelerator, self.domain)
        return Giantnetes(self.vm_image, self.guests, self.accelerator, self.domain, self.entrance) if self.entrance else known
