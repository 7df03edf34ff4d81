"""The step: a token, the certificates that it is good for, the guest's config. Ended at any point, it can be begun again.

The token comes wrapped, and its wrapper opens once. So the first thing that is done with it is to keep it, in the pod's memory
beside the config, for a container that starts again; it ends with the step. Who finds the wrapper open already, or one that was
made elsewhere, is not the first who had it: that is told as an alarm and not mended, since whoever was first has the certificates
of this machine.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeception_sim.agents.issue.openbao import Away, OpenBao, Refused
from kubeception_sim.agents.issue.wanted import Wanted

_log = logging.getLogger(__name__)

CONFIG, KEPT = "config.ign", "token"
_BAD_REQUEST, _FORBIDDEN = 400, 403

Pairs = Mapping[str, Mapping[str, str]]
Render = Callable[[str, Mapping[str, Any], Pairs], bytes]
"""A role, the values of its template, and the certificates {name: {cert, key}} to an Ignition config."""


class Stolen(Exception):
    """Somebody else has had the token."""


class Spent(Exception):
    """The token that was kept opens nothing any more."""


@dataclass(frozen=True)
class Place:
    """Where things are: the wrapped token, the values without secrets, and the folder for what is made, in memory."""

    wrapped: Path
    values: Path
    made: Path

    @property
    def config(self) -> Path:
        """The guest's config."""
        return self.made / CONFIG

    @property
    def kept(self) -> Path:
        """The token, out of its wrapper."""
        return self.made / KEPT


def issue(place: Place, wanted: Wanted, bao: OpenBao, render: Render) -> None:
    """Leave the config in its place, and no token. Nothing is asked for when it is there already.

    Raises Stolen, Spent, Refused and Away; ValueError and OSError for files that are not as they should be.
    """
    if place.config.exists():
        _log.info("%s is there", place.config)
    else:
        values = json.loads(place.values.read_text())
        token = _token(place, wanted, bao)
        try:
            secrets = [_secret(bao, token, path) for path in wanted.secrets]
            pairs = {each.name: _pair(bao, token, each.path, each.body) for each in wanted.certificates}
        except Refused as error:
            raise _about_token(place, bao, token, error) from error
        write(place.config, render(wanted.role, with_secrets(values, secrets), pairs))
        _log.info("%s is written", place.config)
    _end_token(place, bao)


def with_secrets(values: Mapping[str, Any], secrets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The values, each secret a part of `values.kubernetes`. Pure."""
    inner = values["values"]
    kubernetes: dict[str, Any] = dict(inner.get("kubernetes", {}))
    for secret in secrets:
        kubernetes |= secret
    return {**values, "values": {**inner, "kubernetes": kubernetes}}


def write(path: Path, content: bytes) -> None:
    """For its owner to read, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
        file.write(content)
    draft.rename(path)


def _token(place: Place, wanted: Wanted, bao: OpenBao) -> str:
    if place.kept.exists():
        _log.info("going on with the token of an earlier start")
        return place.kept.read_text()
    wrapped = place.wrapped.read_text().strip()
    try:
        made_by = bao.ask("POST", "sys/wrapping/lookup", wrapped, {"token": wrapped})["data"]["creation_path"]
        if made_by != wanted.creation_path:
            raise Stolen(f"the token was wrapped by {made_by}, not by {wanted.creation_path}: somebody else has had it")
        token: str = bao.ask("POST", "sys/wrapping/unwrap", wrapped)["auth"]["client_token"]
    except Refused as error:
        # OpenBao says the same of a wrapper that was opened, that was never there, and that has waited for too long.
        raise Stolen(f"the token was used by somebody else, unless it has waited for longer than it may: {error}") from error
    write(place.kept, token.encode())
    _log.info("the token was in its wrapper")
    return token


def _secret(bao: OpenBao, token: str, path: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = bao.ask("GET", path, token)["data"]
    _log.info("read %s", path)
    return found


def _pair(bao: OpenBao, token: str, path: str, body: Mapping[str, str]) -> Mapping[str, str]:
    data = bao.ask("POST", path, token, body)["data"]
    _log.info("issued %s, serial %s", path, data["serial_number"])
    return {"cert": f"{data['certificate'].rstrip()}\n", "key": f"{data['private_key'].rstrip()}\n"}


def _about_token(place: Place, bao: OpenBao, token: str, error: Refused) -> Exception:
    """A token that ended is not a token that may not. Only the former is forgotten: there may be a new one at the next start."""
    try:
        bao.ask("GET", "auth/token/lookup-self", token)
    except Refused as refused:
        if refused.status == _FORBIDDEN:
            place.kept.unlink(missing_ok=True)
            return Spent(f"the token of an earlier start has ended: {error}")
    return error


def _end_token(place: Place, bao: OpenBao) -> None:
    if not place.kept.exists():
        return
    try:
        bao.ask("POST", "auth/token/revoke-self", place.kept.read_text())
    except (Refused, Away) as error:
        # The guest starts nevertheless: within minutes the token ends by itself.
        _log.warning("the token could not be revoked: %s", error)
    place.kept.unlink()
