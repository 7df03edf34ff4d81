"""What the kubelet and Prometheus ask over HTTP: /healthz (the process), /readyz (it does its work), /metrics, and JSON pages."""

import json
import logging
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

_log = logging.getLogger(__name__)


class Health(ThreadingHTTPServer):
    """The HTTP server; `serve_forever` and `shutdown` as of every socketserver. `problem` is empty when all is ready.

    `sick` says why the process should be started again, empty as long as it should not; `pages` are answered as JSON, by path.
    """

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        problem: Callable[[], str],
        metrics: Callable[[], Mapping[str, float]],
        *,
        sick: Callable[[], str] = lambda: "",
        pages: Mapping[str, Callable[[], object]] = MappingProxyType({}),
    ) -> None:
        self.problem, self.metrics, self.sick, self.pages = problem, metrics, sick, pages
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Health

    def do_GET(self) -> None:
        match self.path:
            case "/healthz":
                sick = self.server.sick()
                self._say(503 if sick else 200, sick or "ok")
            case "/readyz":
                problem = self.server.problem()
                self._say(503 if problem else 200, problem or "ok")
            case "/metrics":
                self._say(200, "".join(f"{name} {value:g}\n" for name, value in self.server.metrics().items()).rstrip("\n"))
            case path if page := self.server.pages.get(path):
                self._say(200, json.dumps(page()), "application/json")
            case _:
                self._say(404, "no such page")

    def _say(self, status: int, text: str, kind: str = "text/plain; version=0.0.4; charset=utf-8") -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        _log.debug(format, *args)
