"""The step: a token, the certificates that it is good for, the guest's config. Ended at any point, it can be begun again.

The token comes wrapped, and its wrapper opens once. So the first thing that is done with it is to keep it, in the pod's memory
beside the config, for a container that starts again; it ends with the step. Who finds the wrapper open already, or one that was
made elsewhere, is not the first who had it: that is told as an alarm and not mended, since whoever was first has the certificates
of this machine.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeception_sim.agents.issue.openbao import Away, OpenBao, Refused
from kubeception_sim.agents.issue.record import RECORD, Record, fingerprint
from kubeception_sim.agents.issue.wanted import Wanted

_log = logging.getLogger(__name__)

CONFIG, KEPT, ROTATION = "config.ign", "token", "rotation"
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

    @property
    def record(self) -> Path:
        """What is said of the config's certificates."""
        return self.made / RECORD

    def given(self) -> tuple[str, str]:
        """The wrapped token and the rotation that it is for, each empty where there is none."""
        # The kubelet replaces the folder as a whole: both are of the same one.
        wrapped = self.wrapped.resolve()
        found = (each.read_text().strip() if each.exists() else "" for each in (wrapped, wrapped.with_name(ROTATION)))
        return next(found), next(found)


def issue(place: Place, wanted: Wanted, bao: OpenBao, render: Render) -> None:
    """Leave the config in its place, and no token. Nothing is asked for when it is there already.

    Raises Stolen, Spent, Refused and Away; ValueError and OSError for files that are not as they should be.
    """
    if place.config.exists() and place.record.exists():
        _log.info("%s is there", place.config)
    else:
        certify(place, wanted, bao, render)
    _end_token(place, bao)


def renew(place: Place, wanted: Wanted, bao: OpenBao, render: Render) -> bool:
    """Have the config of a machine that has one made anew, if there is a wrapper that was not opened here yet, or a token is
    kept. Whether there was. A wrapper that somebody else has opened is told in the record. Raises as `issue` does, but Stolen."""
    before, (wrapped, _) = Record.read(place.record) or Record(), place.given()
    mark = fingerprint(wrapped)
    if not place.kept.exists() and (not wrapped or mark == before.wrapper):
        return False
    try:
        certify(place, wanted, bao, render)
    except Stolen as error:
        _log.error("ALARM: %s", error)
        told = Record(before.rotation, before.made, before.until, mark, int(time.time()), str(error))
        write(place.record, told.text())
    _end_token(place, bao)
    return True


def certify(place: Place, wanted: Wanted, bao: OpenBao, render: Render) -> None:
    """A token, the certificates that it is good for, the config and its record. Raises as `issue` does."""
    values, made = json.loads(place.values.read_text()), int(time.time())
    wrapped, rotation = place.given()
    token = _token(place, wrapped, wanted, bao)
    try:
        secrets = [_secret(bao, token, path) for path in wanted.secrets]
        issued = {each.name: _issued(bao, token, each.path, each.body) for each in wanted.certificates}
    except Refused as error:
        raise _about_token(place, bao, token, error) from error
    pairs = {name: _pair(each) for name, each in issued.items()}
    write(place.config, render(wanted.role, with_secrets(values, secrets), pairs))
    until = min((int(each["expiration"]) for each in issued.values()), default=0)
    write(place.record, Record(rotation, made, until, fingerprint(wrapped)).text())
    _log.info("%s is written", place.config)


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


def _token(place: Place, wrapped: str, wanted: Wanted, bao: OpenBao) -> str:
    if place.kept.exists():
        _log.info("going on with the token of an earlier start")
        return place.kept.read_text()
    if not wrapped:
        raise FileNotFoundError(f"there is no token in {place.wrapped}")
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


def _issued(bao: OpenBao, token: str, path: str, body: Mapping[str, str]) -> Mapping[str, Any]:
    data: Mapping[str, Any] = bao.ask("POST", path, token, body)["data"]
    _log.info("issued %s, serial %s", path, data["serial_number"])
    return data


def _pair(data: Mapping[str, Any]) -> Mapping[str, str]:
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
