"""What the API server has of a resource, mirrored: list, watch, and list again when the watch is lost.

Level-triggered: a mirror holds the objects of now and says only *that* something changed. While the API server is away it keeps
what it has. A watch that says nothing is ended by the server after `WATCH_SECONDS`; one whose server is gone without a word, by
the time-out of reading. (API concepts of Kubernetes: "Efficient detection of changes", "Resource versions", "Watch bookmarks".)
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import httpx2
from lightkube import KubeConfig
from lightkube.config import client_adapter

_log = logging.getLogger(__name__)

Object = Mapping[str, Any]
Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""

PAGE = 500
WATCH_SECONDS = 45
READ_SECONDS = 60.0
CONNECT_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
GONE = 410
NOT_FOUND = 404


class Lost(Exception):
    """The server cannot go on from the version we have: what it says of it."""


def connect() -> httpx2.Client:
    """A client from the pod's own service account, or from `$KUBECONFIG` outside a pod. Raises lightkube's ConfigError."""
    return client_of(KubeConfig.from_env())


def client_of(config: KubeConfig) -> httpx2.Client:
    """A client for a configuration; the token of a service account is read again when the server refuses it."""
    chosen = config.get()
    assert chosen is not None, "without a default, lightkube raises where there is no context"
    timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    # The API is in the cluster: a proxy of the environment is not meant for it.
    return client_adapter.Client(chosen, client_adapter.ConnectionParams(timeout=timeout, trust_env=False))


class Mirror:
    """The objects of one resource. `paths` are the resource's in the versions that we can read, best first; the first that the
    server has is taken. `keep` cuts an object down to what matters, and a change of anything else is none. `only` are parameters
    that select, as fieldSelector."""

    def __init__(
        self,
        client: httpx2.Client,
        paths: Sequence[str],
        *,
        changed: Callable[[], None],
        keep: Callable[[Object], Object] = lambda item: item,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._client = client
        self._only = only
        self._paths = tuple(paths)
        self._changed = changed
        self._keep = keep
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] | None = None
        self.lists = 0
        self.problem = ""
        """Why the API cannot be followed at present; empty while it can."""

    def objects(self) -> tuple[Object, ...] | None:
        """What is there now, in the order of its keys; None before the first full list."""
        with self._lock:
            return None if self._objects is None else tuple(self._objects[key] for key in sorted(self._objects))

    def run(self, stop: threading.Event) -> None:
        """Follow the API until told to stop, which is heard between two answers: run it in a daemon thread."""
        pause = FIRST_PAUSE
        while not stop.is_set():
            try:
                path, version = self._list()
                pause, self.problem = FIRST_PAUSE, ""
                while not stop.is_set():
                    version = self._watch(path, version)
            except (httpx2.HTTPError, Lost, json.JSONDecodeError, KeyError) as error:
                self.problem = f"{type(error).__name__}: {error}"
                _log.warning("%s: %s", self._paths[0], self.problem)
                stop.wait(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    def _list(self) -> tuple[str, str]:
        """Take over all that is there. The path that was taken, and the version to watch from."""
        path, page = self._first_page()
        found = dict(self._keyed(page["items"]))
        while token := page["metadata"].get("continue"):
            page = self._get(path, {"limit": str(PAGE), "continue": token}).raise_for_status().json()
            found |= self._keyed(page["items"])
        with self._lock:
            is_new = found != self._objects
            self._objects = found
        self.lists += 1
        if is_new:
            self._changed()
        return path, page["metadata"]["resourceVersion"]

    def _first_page(self) -> tuple[str, Any]:
        for path in self._paths:
            response = self._get(path, {"limit": str(PAGE)})
            if response.status_code != NOT_FOUND:
                return path, response.raise_for_status().json()
        raise Lost(f"the server has none of {', '.join(self._paths)}")

    def _get(self, path: str, params: Mapping[str, str]) -> httpx2.Response:
        return self._client.get(path, params={**self._only, **params})

    def _watch(self, path: str, version: str) -> str:
        """Follow one watch to its end. The version to go on from."""
        params = {
            **self._only,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        with self._client.stream("GET", path, params=params) as response:
            if response.status_code == GONE:
                raise Lost(f"version {version} is gone")
            response.raise_for_status()
            for line in response.iter_lines():
                version = self._take(json.loads(line))
        return version

    def _take(self, event: Any) -> str:
        """One event of a watch. The object's version."""
        item = event["object"]
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self._put(_key(item), self._keep(item))
            case "DELETED":
                self._put(_key(item), None)
            case "ERROR":
                raise Lost(str(item.get("message") or item.get("code")))
        version = item["metadata"]["resourceVersion"]
        assert isinstance(version, str)
        return version

    def _put(self, key: Key, item: Object | None) -> None:
        with self._lock:
            assert self._objects is not None, "a watch comes after a list"
            if self._objects.get(key) == item:
                return
            if item is None:
                del self._objects[key]
            else:
                self._objects[key] = item
        self._changed()

    def _keyed(self, items: Iterable[Object]) -> Iterable[tuple[Key, Object]]:
        return ((_key(item), self._keep(item)) for item in items)


def _key(item: Object) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
