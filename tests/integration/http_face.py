"""Both HTTP faces as Flask applications over a real store, without a server in front."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from mayu_py import config
from mayu_py.core.access import Credentials
from mayu_py.core.enrolment import Newcomer
from mayu_py.core.hosts import Host, Identity, Mac
from mayu_py.services.desk import Desk
from mayu_py.services.http import admin, pages
from mayu_py.services.http.admin import CREDENTIALS
from mayu_py.store.sqlite import SqliteStore

CONFIG = """\
networks:
  - {name: rack, interface: lo, address: 127.0.0.1, subnet: 127.0.0.0/8, range: {start: 127.0.1.1, end: 127.0.1.9}}
tftp: {root: tftp}
images:
  os: {directory: image, args: ["url={{ ignition_url }}"]}
  new: {directory: image}
profiles:
  - {name: node, image: os, ignition: node.bu, values: {word: plain}, tags: [compute]}
  - {name: disk, image: os, ignition: node.bu, values: {word: plain}, install: once}
hosts:
  - {name: node-1, serial: KC-1, macs: ["52:54:00:00:00:01"], address: 127.0.0.11, profile: node}
  - {name: node-2, serial: KC-2, macs: ["52:54:00:00:00:02"], address: 127.0.0.12, profile: disk}
unknown_hosts: enrol
default_profile: node
"""
BUTANE = """\
variant: fcos
version: 1.4.0
storage: {files: [{path: /etc/word, contents: {inline: "{{ values.word }}"}}]}
"""
TOKENS = {"reader": "read", "worker": "operate", "boss": "admin"}


def digest(name: str) -> str:
    return hashlib.sha256(f"token-of-{name}".encode()).hexdigest()


def tokens(**more: Any) -> str:
    """The config's section for the admin face, with a token for each role."""
    rows = [{"name": name, "role": role, "sha256": digest(name)} for name, role in TOKENS.items()]
    return f"admin: {json.dumps({'tokens': rows, **more})}\n"


def folder(path: Path, more: str = "") -> Path:
    """A config file with everything that it names; returns its path."""
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (path / file).parent.mkdir(exist_ok=True)
        (path / file).write_bytes(b"x")
    (path / "node.bu").write_text(BUTANE)
    (path / "mayu.yaml").write_text(CONFIG + more)
    return path / "mayu.yaml"


@dataclass(frozen=True)
class Faces:
    """The two applications, and the desk that both sit at."""

    desk: Desk
    admin: Flask
    boot: Flask

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, local: bool = True, **more: Any) -> Any:
        """A request to the admin face, as the server would hand it on; returns werkzeug's TestResponse."""
        authorization = f"Bearer token-of-{token}" if token else None
        environ = {CREDENTIALS: Credentials(local, authorization, more.pop("common_name", None))}
        if body is not None:
            more["json"] = body
        return self.admin.test_client().open(path, method=method, environ_overrides=environ, **more)

    def tell(self, method: str, path: str, source: str = "127.0.0.1", *, local: bool = True, **more: Any) -> Any:
        """A request to the boot face from an address."""
        environ = {CREDENTIALS: Credentials(local), "REMOTE_ADDR": source}
        return self.boot.test_client().open(path, method=method, environ_overrides=environ, **more)

    def get(self, path: str) -> Any:
        """What the admin face says, which must be 200."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json

    def enrol(self) -> Host:
        """A host that the config does not name."""
        newcomer = Newcomer(Identity(mac=Mac("52:54:00:00:00:09"), serial="KC-9"), self.desk.settings.networks[0])
        (host,) = self.desk.enrol([newcomer])
        assert isinstance(host, Host)
        return host

    def notes(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The history: kind and detail."""
        return [(event["kind"], event["detail"]) for event in self.get("/v1/events")]


@contextmanager
def faces(path: Path, more: str = "") -> Iterator[Faces]:
    """Faces over a config in that folder."""
    read = config.read(folder(path, more))
    with Desk("admin-1", read.settings, lambda: SqliteStore(read.settings.state)) as desk:
        yield Faces(desk, admin.application(desk, read), pages.application(desk, read.renderer))
