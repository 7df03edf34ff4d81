"""A small API server: lists and watches over real HTTP, with versions, bookmarks of none, and history that can be forgotten."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from lightkube import KubeConfig

from kubeception_sim.agents.api import client_of

Object = Mapping[str, Any]
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _Event:
    version: int
    path: str
    type: str
    item: Object


class KubeApi:
    """Serves the collections at `paths` on loopback. `put`, `delete` change them, `forget` makes every open version too old."""

    def __init__(self, *paths: str, port: int = 0) -> None:
        self._changed = threading.Condition()
        self._version, self._oldest = 1, 1
        self._objects: dict[str, dict[tuple[str, str], Object]] = {path: {} for path in paths}
        self._events: list[_Event] = []
        self._stopping = False
        api = self

        class Handler(_Handler):
            served = api

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.lists = 0
        self._thread = threading.Thread(target=self._http.serve_forever, args=(POLL_SECONDS,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx2.Client:
        """A client of it, as the agents make theirs."""
        return client_of(KubeConfig.from_dict(json.loads(self.kubeconfig())))

    def kubeconfig(self) -> str:
        """A file for `$KUBECONFIG`, which is JSON as YAML may be."""
        named = {"name": "fake"}
        return json.dumps(
            {
                "clusters": [named | {"cluster": {"server": self.url}}],
                "users": [named | {"user": {}}],
                "contexts": [named | {"context": {"cluster": "fake", "user": "fake"}}],
                "current-context": "fake",
            }
        )

    def put(self, path: str, *items: Object) -> None:
        """Make or change objects."""
        for item in items:
            self._write(path, item, gone=False)

    def delete(self, path: str, item: Object) -> None:
        """Remove an object."""
        self._write(path, item, gone=True)

    def forget(self) -> None:
        """Compact the history: every watch from before is answered that its version is gone."""
        with self._changed:
            self._version += 1
            self._oldest = self._version
            self._events.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and end the open watches."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _write(self, path: str, item: Object, *, gone: bool) -> None:
        metadata = item["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        with self._changed:
            self._version += 1
            stored = {**item, "metadata": {**metadata, "resourceVersion": str(self._version)}}
            known = self._objects[path].pop(key, None)
            if not gone:
                self._objects[path][key] = stored
            kind = "DELETED" if gone else "MODIFIED" if known else "ADDED"
            self._events.append(_Event(self._version, path, kind, stored))
            self._changed.notify_all()

    def page(self, path: str, limit: int, token: str) -> tuple[int, Object]:
        """One answer to a list: status and body."""
        with self._changed:
            if path not in self._objects:
                return 404, {"kind": "Status", "code": 404}
            start = int(token or 0)
            self.lists += not start
            items = list(self._objects[path].values())
            more = str(start + limit) if len(items) > start + limit else ""
            metadata = {"resourceVersion": str(self._version), "continue": more}
            return 200, {"metadata": metadata, "items": items[start : start + limit]}

    def after(self, path: str, version: int) -> tuple[list[_Event], bool]:
        """The events after a version, waited for; and whether the watch is at its end."""
        with self._changed:
            while True:
                if version < self._oldest:
                    return [_Event(version, path, "ERROR", {"kind": "Status", "code": 410, "message": "too old"})], True
                found = [event for event in self._events if event.version > version and event.path == path]
                if found or self._stopping:
                    return found, self._stopping
                self._changed.wait()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: KubeApi

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if query.get("watch") == "true":
            self._watch(url.path, int(query["resourceVersion"]))
            return
        status, body = self.served.page(url.path, int(query.get("limit", 1 << 30)), query.get("continue", ""))
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _watch(self, path: str, version: int) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        is_over = False
        while not is_over:
            events, is_over = self.served.after(path, version)
            for event in events:
                version = event.version
                line = json.dumps({"type": event.type, "object": event.item}) + "\n"
                try:
                    self.wfile.write(line.encode())
                except OSError:
                    return

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is its own."""
