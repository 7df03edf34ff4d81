"""etcd's discovery (`/etcd/`): requests in, `core.discovery` decides, the store keeps what comes of it.

It is for the machines of the rack and for the server's own: whoever knows a token may join its cluster.
"""

import json
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Response, current_app, redirect, request

from mayu_py.core import discovery
from mayu_py.core.access import Credentials
from mayu_py.core.discovery import MEMBER, SIZE, TOKEN, Answer, Cluster, Code, Conditions, Watch
from mayu_py.errors import DiscoveryFull
from mayu_py.services.desk import Desk
from mayu_py.services.http import admin, watches
from mayu_py.services.http.replies import client_address

blueprint = Blueprint("etcd", __name__, url_prefix="/etcd")

Step = Callable[[Cluster], tuple[Cluster, Answer]]
_EXISTS = {"true": True, "false": False}


class BadField(Exception):
    """A parameter is not what etcd takes."""

    def __init__(self, code: Code, cause: str) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause


@blueprint.before_request
def only_the_rack() -> Response | None:
    """Tokens take room, and members are believed: strangers have no business here."""
    desk = _desk()
    source = client_address(f"{request.remote_addr}:0")
    if source is not None and desk.settings.network_of(source) is not None:
        return None
    if request.environ.get(admin.CREDENTIALS, Credentials()).local:
        return None
    desk.count("etcd.refused", "stranger")
    why = f"etcd's discovery is for the machines of the rack; {request.remote_addr} is none of them\n"
    return _text(HTTPStatus.FORBIDDEN, why)


@blueprint.errorhandler(BadField)
def bad_field(error: BadField) -> Response:
    """The refusal that etcd's clients read."""
    return _response(Answer(error.code.status, discovery.error_body(error.code, error.cause, 0), 0))


@blueprint.errorhandler(DiscoveryFull)
def full(error: DiscoveryFull) -> Response:
    """No more room."""
    _desk().count("etcd.refused", "full")
    return _text(HTTPStatus.INSUFFICIENT_STORAGE, f"{error.message}; {error.hint}\n")


@blueprint.get("")
@blueprint.get("/")
def index() -> Response:
    """A person looked: this makes a token."""
    response = redirect("/etcd/new", HTTPStatus.TEMPORARY_REDIRECT)
    assert isinstance(response, Response)
    return response


@blueprint.route("/new", methods=["GET", "PUT"], provide_automatic_options=False)
def new() -> Response:
    """Make a token; the body is its URL, as `etcd --discovery` takes it."""
    desk = _desk()
    text = request.values.get("size", str(desk.settings.etcd_discovery.size))
    size = discovery.read_size(text)
    if size is None:
        raise BadField(Code.INVALID_FIELD, f"size: {text[:20]!r} is no number from 1 to {discovery.LARGEST}")
    token = secrets.token_hex(16)
    if request.method != "HEAD":
        with desk.locked:
            desk.store.change_discovery(token, lambda _: Cluster(token, size))
        desk.count("etcd.tokens", "made")
    source = client_address(f"{request.remote_addr}:0")
    url = desk.settings.url(desk.settings.network_of(source) if source else None)
    return _text(HTTPStatus.OK, f"{url}/etcd/{token}")


@blueprint.get(f"/<token>/{SIZE}")
def size(token: str) -> Response:
    """How many members the cluster is to have."""
    return _response(_read(token, lambda cluster, _: cluster.get_size()))


@blueprint.put(f"/<token>/{SIZE}")
def set_size(token: str) -> Response:
    """Set that; a token that was thought of elsewhere is made by it."""
    text = request.values.get("value", "")
    return _response(_write(token, lambda cluster: cluster.put_size(text), makes=True))


@blueprint.get("/<token>")
def members(token: str) -> Response:
    """All members; or the next change below the token, with `?wait=true`."""
    if watch := _watch(token, None):
        return watch
    is_sorted = _flag("sorted")
    return _response(_read(token, lambda cluster, now: cluster.list(is_sorted=is_sorted, now=now)))


@blueprint.get("/<token>/<member>")
def member(token: str, member: str) -> Response:
    """One member; or its next change, with `?wait=true`."""
    if watch := _watch(token, _named(member)):
        return watch
    return _response(_read(token, lambda cluster, now: cluster.get(member, now)))


@blueprint.put("/<token>/<member>")
def join(token: str, member: str) -> Response:
    """Write a member."""
    value, conditions, ttl = request.values.get("value", ""), _conditions(), _number("ttl", Code.TTL_NAN)
    name, now = _named(member), time.time()
    answer = _write(token, lambda cluster: cluster.put(name, value, now, conditions, ttl))
    if answer.status < HTTPStatus.BAD_REQUEST:
        desk = _desk()
        source = client_address(f"{request.remote_addr}:0")
        # Without the token: who knows it may join.
        desk.happened("etcd", desk.snapshot().by_address.get(source) if source else None, member=name, value=value)
    return _response(answer)


@blueprint.delete("/<token>/<member>")
def leave(token: str, member: str) -> Response:
    """Remove a member."""
    conditions, name, now = _conditions(), _named(member), time.time()
    return _response(_write(token, lambda cluster: cluster.delete(name, now, conditions)))


def _desk() -> Desk:
    desk = current_app.extensions["mayu.desk"]
    assert isinstance(desk, Desk)
    return desk


def _of_config(token: str) -> Cluster | None:
    """The token of the config needs not be made."""
    known = _desk().settings.etcd_discovery
    return Cluster(token, known.size) if token == known.token else None


def _read(token: str, look: Callable[[Cluster, float], Answer]) -> Answer:
    desk, now = _desk(), time.time()
    with desk.locked:
        found = desk.store.discovery(token) or _of_config(token)
    if found is None:
        return discovery.unknown(token)
    if found.expired(now) is not found:
        return _write(token, lambda cluster: (cluster, look(cluster, now)))
    return look(found, now)


def _write(token: str, step: Step, *, makes: bool = False) -> Answer:
    if not TOKEN.fullmatch(token):
        return discovery.unknown(token)
    desk, now = _desk(), time.time()
    answer = discovery.unknown(token)

    def write(found: Cluster | None) -> Cluster | None:
        nonlocal answer
        known = found or _of_config(token) or (Cluster(token, desk.settings.etcd_discovery.size) if makes else None)
        if known is None:
            return None
        after, answer = step(known.expired(now))
        # A token that is only thought of is not written for a request that was refused.
        return None if found is None and answer.status >= HTTPStatus.BAD_REQUEST else after

    with desk.locked:
        desk.store.change_discovery(token, write)
    return answer


def _watch(token: str, key: str | None) -> Response | None:
    """The answer that is a watch: what carries requests to here waits in our place, on no thread."""
    if not _flag("wait") or request.method == "HEAD":
        return None
    if _flag("stream"):
        raise BadField(Code.INVALID_FIELD, "stream: one change for each request")
    since = _number("waitIndex", Code.INDEX_NAN)
    desk = _desk()
    with desk.locked:
        found = desk.store.discovery(token) or _of_config(token)
    if found is None:
        return _response(discovery.unknown(token))
    response = Response(status=HTTPStatus.OK)
    watch = Watch(token, key, since or found.index + 1, _flag("recursive"))
    response.headers[watches.FOLLOW] = watches.written(watch)
    return response


def _named(member: str) -> str:
    if not MEMBER.fullmatch(member):
        raise BadField(Code.INVALID_FIELD, f"{member[:80]!r} is no name for a member")
    return member


def _conditions() -> Conditions:
    text = request.values.get("prevExist")
    if text is not None and text not in _EXISTS:
        raise BadField(Code.INVALID_FIELD, f"prevExist: {text[:20]!r} is neither true nor false")
    exists = _EXISTS[text] if text is not None else None
    return Conditions(exists, request.values.get("prevValue"), _number("prevIndex", Code.INDEX_NAN))


def _flag(name: str) -> bool:
    text = request.values.get(name, "false")
    if text not in _EXISTS:
        raise BadField(Code.INVALID_FIELD, f"{name}: {text[:20]!r} is neither true nor false")
    return _EXISTS[text]


def _number(name: str, code: Code) -> int | None:
    """A parameter from 1 on; None when it is empty or 0, which etcd takes for none."""
    text = request.values.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadField(code, f"{name}: {text[:20]!r}")
    return int(text) or None


def _response(answer: Answer) -> Response:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        _desk().count("etcd.refused", str(answer.body["errorCode"]))
    response = Response(json.dumps(answer.body) + "\n", answer.status, content_type="application/json")
    response.headers["X-Etcd-Index"] = str(answer.index)
    return response


def _text(status: int, text: str) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")
