"""`/v1/hosts`: looking at hosts, and carrying out what operators ask for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from flask import Response, request

from mayu_py.core import verbs
from mayu_py.core.access import Role
from mayu_py.core.hosts import Host, State
from mayu_py.core.inventory import compose
from mayu_py.core.snapshot import Snapshot
from mayu_py.core.verbs import Delete, Fact, Label, Override, Pin, Reinstall, SetFact, SetState, Together, UseImage, Verb
from mayu_py.errors import Outdated
from mayu_py.services.http import stream, views
from mayu_py.services.http.problems import HttpProblem
from mayu_py.services.http.routes import Call, Endpoint, Query, Result
from mayu_py.services.http.schemas import array, mapping, obj, or_null, text
from mayu_py.store import Status

EVENTS_AT_ONCE = 1000
AFTER = Query("after", {"type": "integer", "minimum": 0, "maximum": 2**53}, "the id of the last event that is known already")
LIMIT = Query(
    "limit", {"type": "integer", "minimum": 1, "maximum": EVENTS_AT_ONCE}, f"at most so many; by default {EVENTS_AT_ONCE}"
)

_FACT = or_null("string", maxLength=200)
PATCH = obj(
    {
        "facts": obj({fact.value: _FACT for fact in Fact}, required=()),
        "metadata": mapping(or_null("string", maxLength=1000)),
        "values": mapping(),
        "profile": or_null("string", maxLength=63),
        "image": or_null("string", maxLength=63),
    },
    required=(),
)
MOVE = obj(
    {"state": {"type": "string", "enum": [state.value for state in State]}, "text": text(10_000), "os_version": text(100)},
    required=("state",),
)


def known(call: Call, ident: str) -> Host:
    """The host with that serial, uuid or name. Raises HttpProblem."""
    snapshot = call.desk.snapshot()
    ways = (snapshot.by_ident, snapshot.hosts, snapshot.by_serial, snapshot.by_uuid)
    found = next((way[ident] for way in ways if ident in way), None)
    if found is None:
        raise _unknown(ident)
    return found


def _unknown(ident: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.NOT_FOUND, f"there is no host {ident!r}", hint="a serial, a uuid or a name, as in /v1/hosts")


def view(call: Call) -> tuple[Snapshot, Mapping[str, Status]]:
    """The hosts, and where each stands, at one time."""
    with call.desk.locked:
        return call.desk.snapshot(), call.desk.store.statuses()


def carry_out(call: Call, verb: Verb, host: Host) -> Host:
    """Do it, and return the host as it is then. Raises what `Desk.carry_out` raises; HttpProblem when it is gone."""
    try:
        after = call.desk.carry_out(verb, host.name, call.caller.name)
    except LookupError as error:
        raise _unknown(host.name) from error
    return after or host


def rehearse(call: Call, verb: Verb, host: Host) -> None:
    """Raise DocumentError if the host's config would not be valid after the verb: an invalid one is never served."""
    settings = call.desk.settings
    with call.desk.locked:
        inventory = call.desk.store.inventory()
    changes = verbs.carry_out(verb, host, call.caller.name, inventory, settings)
    hosts = compose(settings, replace(inventory, edits={**inventory.edits, **changes.edits}))
    after = next((each for each in hosts if each.name == host.name), None)
    if after is not None and after.profile is not None:
        call.renderer.config(after)
        call.renderer.arguments(after)


def amendments(body: Mapping[str, Any]) -> Iterator[Verb]:
    """The verbs of a merge patch (RFC 7396): null takes away."""
    for name, value in body.get("facts", {}).items():
        yield SetFact(Fact(name), value or "")
    for key, value in body.get("metadata", {}).items():
        yield Label(key, value)
    for key, value in body.get("values", {}).items():
        yield Override(key, value, remove=value is None)
    if "profile" in body:
        yield Pin(body["profile"])
    if "image" in body:
        yield UseImage(body["image"])


def _shown(call: Call, host: Host) -> Result:
    with call.desk.locked:
        status = call.desk.store.statuses().get(host.name)
    return Result(views.host(host, status, secrets=call.sees_secrets), headers={"ETag": views.etag(host)})


def list_hosts(call: Call) -> Result:
    """Every host, or those that fit all that is asked for."""
    snapshot, statuses = view(call)
    found = [host for host in snapshot.hosts.values() if all(fits(host) for fits in _filters(call, snapshot, statuses))]
    return Result([views.host(host, statuses.get(host.name), secrets=call.sees_secrets) for host in found])


def _filters(call: Call, snapshot: Snapshot, statuses: Mapping[str, Status]) -> Iterator[Callable[[Host], bool]]:
    query, profile_of = call.query, snapshot.settings.profile
    if "state" in query:
        yield lambda host: views.state_of(host, statuses.get(host.name)) == query["state"]
    if "profile" in query:
        yield lambda host: host.profile == query["profile"]
    if "tag" in query:
        yield lambda host: (profile := profile_of(host.profile or "")) is not None and query["tag"] in profile.tags


def show_host(call: Call, ident: str) -> Result:
    """One host, by serial, uuid or name."""
    return _shown(call, known(call, ident))


def change_host(call: Call, ident: str) -> Result:
    """Change what operators may: all of it, or nothing."""
    host = known(call, ident)
    if call.if_match not in (None, "*", views.etag(host)):
        raise Outdated(f"{host.name} has changed meanwhile", hint="read it again, and decide again")
    verb = Together(tuple(amendments(call.body)), seen=None if call.if_match in (None, "*") else host)
    rehearse(call, verb, host)
    return _shown(call, carry_out(call, verb, host))


def delete_host(call: Call, ident: str) -> Result:
    """Forget an enrolled host; its address is free again."""
    carry_out(call, Delete(), known(call, ident))
    return Result(status=HTTPStatus.NO_CONTENT)


def reinstall(call: Call, ident: str) -> Result:
    """Have the host be installed anew at its next boot."""
    return _shown(call, carry_out(call, Reinstall(), known(call, ident)))


def set_state(call: Call, ident: str) -> Result:
    """Move the host in the state machine; an illegal move is a conflict."""
    body = call.body
    verb = SetState(State(body["state"]), body.get("text", ""), body.get("os_version", ""))
    return _shown(call, carry_out(call, verb, known(call, ident)))


def history(call: Call, ident: str) -> Result:
    """What happened to the host, oldest first."""
    return events_of(call, known(call, ident).name)


def events(call: Call) -> Result | Response:
    """What happened, oldest first; as text/event-stream, also what happens from now on. `Last-Event-ID` says where to go on."""
    if request.accept_mimetypes.best_match(("application/json", stream.MEDIA_TYPE)) != stream.MEDIA_TYPE:
        return events_of(call, None)
    last = request.headers.get("Last-Event-ID", "")
    after = last if last.isascii() and last.isdecimal() and len(last) <= 18 else str(call.query.get("after", 0))
    return Response(content_type=stream.MEDIA_TYPE, headers={stream.FOLLOW: after})


def events_of(call: Call, name: str | None) -> Result:
    """The history, of one host if it is named."""
    with call.desk.locked:
        found = call.desk.store.events(call.query.get("after", 0), call.query.get("limit", EVENTS_AT_ONCE), name)
    return Result([views.event(event) for event in found])


def preview(call: Call, ident: str) -> Response:
    """The Ignition config that the host would be served now. Nothing is noted, nothing moves."""
    host = known(call, ident)
    if host.profile is None:
        raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"{host.name} has no profile yet", hint='PATCH it: {"profile": "..."}')
    rendered = call.renderer.config(host)
    return Response(rendered.config, content_type="application/json", headers={"ETag": f'"{rendered.sha256}"'})


_ONE = "/v1/hosts/<ident>"
_TEXT = {"type": "string", "maxLength": 200}

ENDPOINTS = (
    Endpoint(
        *("GET", "/v1/hosts", Role.READ, "List hosts", list_hosts),
        {200: array(views.HOST)},
        query=(
            Query("state", MOVE["properties"]["state"], "only hosts in this state"),
            Query("profile", _TEXT, "only hosts with this profile"),
            Query("tag", _TEXT, "only hosts whose profile has this tag"),
        ),
    ),
    Endpoint("GET", _ONE, Role.READ, "Show a host", show_host, {200: views.HOST}, problems=(404,)),
    Endpoint(
        *("PATCH", _ONE, Role.OPERATE, "Change a host's facts, metadata, values, profile or image", change_host),
        {200: views.HOST},
        body=PATCH,
        problems=(404, 409, 412, 422),
    ),
    Endpoint("DELETE", _ONE, Role.OPERATE, "Forget an enrolled host", delete_host, {204: None}, problems=(404, 409)),
    Endpoint("POST", f"{_ONE}/reinstall", Role.OPERATE, "Install a host anew", reinstall, {200: views.HOST}, problems=(404, 409)),
    Endpoint(
        *("POST", f"{_ONE}/state", Role.OPERATE, "Move a host to a state", set_state),
        {200: views.HOST},
        body=MOVE,
        problems=(404, 409),
    ),
    Endpoint(
        *("GET", f"{_ONE}/history", Role.READ, "What happened to a host", history),
        {200: array(views.EVENT)},
        query=(AFTER, LIMIT),
        problems=(404,),
    ),
    Endpoint(
        *("GET", f"{_ONE}/ignition", Role.OPERATE, "The config that a host would be served", preview),
        {200: mapping()},
        problems=(404, 422, 503),
    ),
    Endpoint(
        *("GET", "/v1/events", Role.READ, "What happened", events),
        {200: array(views.EVENT)},
        query=(AFTER, LIMIT),
        streams=True,
    ),
)
