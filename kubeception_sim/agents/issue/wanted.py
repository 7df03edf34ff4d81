"""What a machine asks for: wanted.json, as `kubeception_sim.inner.certificates.wanted` writes it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Certificate:
    """A certificate by the name that the role template has for it: `role` of the authority `mount`, asked with `body`."""

    name: str
    mount: str
    role: str
    body: Mapping[str, str]

    @property
    def path(self) -> str:
        """Where it is asked for ("PKI secrets engine, generate certificate and key")."""
        return f"{self.mount}/issue/{self.role}"


@dataclass(frozen=True)
class Wanted:
    """All of it. `role` is the template's: master or worker. `secrets` are paths whose content is a part of the template's value
    `kubernetes`. `creation_path` is where the token must have been made."""

    namespace: str
    creation_path: str
    role: str
    secrets: tuple[str, ...]
    certificates: tuple[Certificate, ...]

    @classmethod
    def read(cls, text: str) -> "Wanted":
        """From JSON. Raises ValueError for anything else."""
        try:
            found: Any = json.loads(text)
            certificates = tuple(Certificate(**each) for each in found["certificates"])
            return cls(found["namespace"], found["creation_path"], found["role"], tuple(found["secrets"]), certificates)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not what a machine asks for: {error}") from error
