"""The routes of the admin face as values: what registers them, authorises them, checks them and documents them is one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response

from mayu_py.core.access import Caller, Role
from mayu_py.core.render import Renderer
from mayu_py.services.desk import Desk
from mayu_py.services.http.schemas import Schema


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authorised and checked. `query` holds what was given; `body` is None where the endpoint has none."""

    desk: Desk
    renderer: Renderer
    caller: Caller
    query: Mapping[str, Any]
    body: Any
    if_match: str | None = None

    @property
    def sees_secrets(self) -> bool:
        """Whether values and tokens of hosts may be shown."""
        return self.caller.role.includes(Role.OPERATE)


@dataclass(frozen=True, slots=True)
class Result:
    """An answer in JSON; None is no body."""

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[..., Result | Response]


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter in the URL's query. Every one may be left out."""

    name: str
    schema: Schema
    meaning: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path, in Flask's spelling. `role` None: anyone may.

    `answers` are the good ones: status -> JSON Schema, or a media type. `problems` are the statuses of problem documents besides
    those that every endpoint has. A body that is not `strict` is one of the old API: any JSON, under any content type.
    """

    method: str
    path: str
    role: Role | None
    summary: str
    handler: Handler
    answers: Mapping[int, Schema | str | None]
    query: tuple[Query, ...] = ()
    body: Schema | None = None
    takes: str = "application/json"  # anything else arrives as text
    problems: tuple[int, ...] = ()
    strict: bool = True
    tag: str = "v1"
    streams: bool = False  # also as text/event-stream

    @property
    def name(self) -> str:
        """Unique; Flask's name for it, and OpenAPI's."""
        words = self.path.replace("<path:", "<").translate(str.maketrans("", "", "<>")).strip("/").replace(".", "_")
        return f"{self.method.lower()}_{words.replace('/', '_') or 'root'}"
