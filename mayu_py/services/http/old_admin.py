"""The API of both Mayu generations, under its old paths and with its old bodies, carried out by the verbs of this one.

The bodies are parts of Mayu's `Host` record: `{"ProviderId": "x"}`. Unknown hosts are 400, as they were.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request

from mayu_py.core.access import Role
from mayu_py.core.hosts import Host, State
from mayu_py.core.verbs import Fact, Label, MarkFresh, MarkInstalled, Override, SetFact, SetState, Together, Verb
from mayu_py.services.http import files, views
from mayu_py.services.http.problems import HttpProblem
from mayu_py.services.http.rest_hosts import carry_out, rehearse, view
from mayu_py.services.http.routes import Call, Endpoint, Result
from mayu_py.services.http.schemas import array, mapping

# Mayu had four states, five in its first generation; what it did not know was `unknown`.
_TO_OLD = {State.CONFIGURED: "configured", State.INSTALLING: "installing", State.RUNNING: "running"}
_FROM_OLD = {"unknown": State.DISCOVERED, **{old: state for state, old in _TO_OLD.items()}}

RELOAD = "mayu.reload"

Reading = Callable[[Mapping[str, Any]], Verb]


def _wrong(message: str, hint: str = "") -> HttpProblem:
    return HttpProblem(HTTPStatus.BAD_REQUEST, message, hint=hint)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str | int) or len(str(value)) > 1000:
        raise _wrong(f"{key} is no short text")
    return str(value)


def _fact(fact: Fact, key: str) -> Reading:
    return lambda body: SetFact(fact, _text(body, key))


def _state(body: Mapping[str, Any]) -> Verb:
    state = _text(body, "State")
    if state == "installed":
        return MarkInstalled()
    if state not in _FROM_OLD:
        raise _wrong(f"State is {state!r}", f"one of {', '.join(_FROM_OLD)}, installed")
    return SetState(_FROM_OLD[state])


def _metadata(body: Mapping[str, Any]) -> Verb:
    entries = body.get("FleetMetadata")
    if not isinstance(entries, list) or not all(isinstance(entry, str) and len(entry) <= 1000 for entry in entries):
        raise _wrong("FleetMetadata is no list of texts", 'as in {"FleetMetadata": ["rack=a", "role-worker=true"]}')
    parts = (entry.partition("=") for entry in entries)
    return Together(tuple(Label(key, value or "true") for key, _, value in parts if key))


def _override(body: Mapping[str, Any]) -> Verb:
    overrides = body.get("Overrides")
    if not isinstance(overrides, dict) or not overrides:
        raise _wrong("nothing to override", 'as in {"Overrides": {"docker_version": "24.0"}}')
    return Together(tuple(Override(key, value) for key, value in overrides.items()))


def _booted(body: Mapping[str, Any]) -> Verb:
    version = _text(body, "FlatcarVersion") or _text(body, "CoreOSVersion")
    return SetState(State.RUNNING, os_version=version[:100])


def _verb(reading: Reading, doc: str) -> Callable[..., Result | Response]:
    def handler(call: Call, serial: str) -> Response:
        host, verb = _host(call, serial), reading(call.body)
        rehearse(call, verb, host)
        carry_out(call, verb, host)
        return Response("accepted\n", HTTPStatus.ACCEPTED, content_type="text/plain")

    handler.__doc__ = doc
    return handler


def _host(call: Call, serial: str) -> Host:
    """By serial, in any case: Mayu wrote them small."""
    snapshot = call.desk.snapshot()
    found = snapshot.by_ident.get(serial) or snapshot.hosts.get(serial)
    found = found or next((host for host in snapshot.hosts.values() if host.ident.lower() == serial.lower()), None)
    if found is None:
        raise _wrong("host doesn't exist", "/v1/hosts lists them")
    return found


def list_hosts(call: Call) -> Result:
    """Every host, as Mayu's clients read it."""
    snapshot, statuses = view(call)
    return Result([_old(call, host, views.state_of(host, statuses.get(host.name))) for host in snapshot.hosts.values()])


def _old(call: Call, host: Host, state: State) -> dict[str, Any]:
    facts = host.facts
    shown: dict[str, Any] = {
        "ProviderId": facts.provider_id,
        "Enabled": True,
        "Name": host.name,
        "Serial": host.ident,
        "MacAddresses": list(host.macs),
        "InternalAddr": str(host.address or ""),
        "AdditionalAddrs": {network: str(address) for network, address in host.addresses.items()},
        "IPMIAddr": facts.ipmi_address,
        "Hostname": host.name,
        "Profile": host.profile or "",
        "FleetMetadata": [f"{key}={value}" for key, value in facts.metadata.items()],
        "FlatcarVersion": facts.os_version,
        "State": _TO_OLD.get(state, "unknown"),
    }
    if facts.cabinet.isdecimal():
        shown["Cabinet"] = int(facts.cabinet)
    if call.sees_secrets:
        shown |= {"EtcdClusterToken": facts.etcd_token, "Overrides": dict(host.values)}
    # As Go's `omitempty` did: an empty address would not be one for its clients.
    return {key: value for key, value in shown.items() if value not in ("", [], {})}


def show_config(call: Call) -> Response:
    """The config file, secrets and all."""
    path = Path(call.desk.settings.origin.mark.file)
    try:
        return Response(path.read_bytes(), content_type="application/yaml")
    except OSError as error:
        raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"{path} cannot be read: {error.strerror}") from error


def change_config(call: Call) -> Response:
    """Take a new config file, and run it."""
    reload = current_app.extensions.get(RELOAD)
    if reload is None:
        hint = "change the file, and start mayu again"
        raise HttpProblem(HTTPStatus.NOT_IMPLEMENTED, "this server reads its config when it starts", hint=hint)
    reload(call.body, call.caller.name)
    return Response("accepted\n", HTTPStatus.ACCEPTED, content_type="text/plain")


def fileserver(call: Call, file: str) -> Response:
    """A file below `admin.files`."""
    folder = call.desk.settings.admin.files
    found = files.below(folder, file) if folder else None
    if found is None:
        hint = "" if folder else "`admin.files` in the config names the folder"
        raise HttpProblem(HTTPStatus.NOT_FOUND, f"there is no file {file!r}", hint=hint)
    return Response(content_type="application/octet-stream", headers={files.SEND: files.named(found)})


def elsewhere(call: Call, rest: str = "") -> Response:
    """etcd's discovery is for machines, which have no credentials: it is under the same path on the boot face."""
    query = f"?{quote(request.query_string, safe='=&%+')}" if request.query_string else ""
    # Quoted anew: what came decoded may hold what a header cannot.
    place = f"{call.desk.settings.url()}{quote(request.path)}{query}"
    return Response(f"{place}\n", HTTPStatus.TEMPORARY_REDIRECT, {"Location": place}, content_type="text/plain")


def _gone(instead: str) -> Callable[..., Result | Response]:
    def handler(call: Call, **path: str) -> Response:
        raise HttpProblem(HTTPStatus.GONE, "this is gone", hint=instead)

    handler.__doc__ = f"Gone: {instead}"
    return handler


_VERBS: Mapping[str, tuple[Reading, str]] = {
    "boot_complete": (_booted, "The host is up."),
    "set_provider_id": (_fact(Fact.PROVIDER_ID, "ProviderId"), "Note who the provider says it is."),
    "set_ipmi_addr": (_fact(Fact.IPMI_ADDRESS, "IPMIAddr"), "Note the address of its BMC."),
    "set_etcd_cluster_token": (_fact(Fact.ETCD_TOKEN, "EtcdClusterToken"), "Note its etcd cluster token."),
    "set_cabinet": (_fact(Fact.CABINET, "Cabinet"), "Note the cabinet it stands in."),
    "set_metadata": (_metadata, "Set metadata entries."),
    "set_state": (_state, "Move it to a state; an illegal move is a conflict."),
    "set_installed": (lambda body: MarkInstalled(), "It boots from its disk from now on."),
    "mark_fresh": (lambda body: MarkFresh(), "Its next boot installs it, as if it were new."),
    "override": (_override, "Lay values over those of the config."),
}
_PLAIN = "text/plain"

ENDPOINTS = (
    *(
        Endpoint(
            *("PUT", f"/admin/host/<serial>/{name}", Role.OPERATE, meaning, _verb(reading, meaning)),
            {202: _PLAIN},
            body=mapping(),
            problems=(400, 409, 422),
            strict=False,
            tag="Mayu",
        )
        for name, (reading, meaning) in _VERBS.items()
    ),
    Endpoint("GET", "/admin/hosts", Role.READ, "List hosts", list_hosts, {200: array(mapping())}, tag="Mayu", strict=False),
    Endpoint(
        *("GET", "/admin/mayu_config", Role.ADMIN, "The config file", show_config),
        {200: "application/yaml"},
        problems=(503,),
        tag="Mayu",
        strict=False,
    ),
    Endpoint(
        *("PUT", "/admin/mayu_config", Role.ADMIN, "Run another config", change_config),
        {202: _PLAIN},
        body={"type": "string"},
        takes="application/yaml",
        problems=(400, 501),
        tag="Mayu",
        strict=False,
    ),
    Endpoint(
        *("GET", "/fileserver/<path:file>", Role.READ, "A file below admin.files", fileserver),
        {200: "application/octet-stream"},
        problems=(404,),
        tag="Mayu",
        strict=False,
    ),
    *(
        Endpoint(method, path, None, "etcd's discovery is on the boot face", elsewhere, {307: _PLAIN}, tag="Mayu", strict=False)
        for method, path in (
            ("PUT", "/etcd/new"),
            ("GET", "/etcd"),
            ("GET", "/etcd/<path:rest>"),
            ("PUT", "/etcd/<path:rest>"),
            ("DELETE", "/etcd/<path:rest>"),
        )
    ),
    Endpoint(
        *("POST", "/reconfigure", None, "Gone", _gone("PUT /admin/mayu_config"), {}),
        problems=(410,),
        tag="Mayu",
        strict=False,
    ),
)
