"""An API server as the controller asks it: documents in, documents out, over a client of `agents.api`.

What a kind is called in a URL is asked of the server. Writing is server-side apply by the manager `kubeception`; what is there
already as it should be is not written, so that a pass over a settled cluster is made of reads only.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx2

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.wanted import fingerprint

Document = dict[str, Any]

MANAGER = "kubeception"
APPLIED = "kubeception.io/applied"
"""What was applied, as a fingerprint: a field that is no longer wanted is seen by it."""
_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_PAGE = 500


class Refused(HarnessError):
    """The server said no; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, hint="kubectl logs of the controller, and of the API server")
        self.status = status


class Api:
    """`client` has the server's address and who asks. Every method raises HarnessError: Refused, or when nobody answers."""

    def __init__(self, client: httpx2.Client, extensions: Mapping[str, Any] | None = None) -> None:
        self._client = client
        self._extensions = dict(extensions or {})
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def get(self, path: str) -> Document | None:
        """One object; None when there is none."""
        try:
            return self._ask("GET", path)
        except Refused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def list(self, path: str, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None) -> list[Document]:
        """All objects of a collection that carry the labels, and whose fields are these."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        selector = {name: ",".join(f"{key}={each}" for key, each in of.items()) for name, of in selectors.items() if of}
        found: list[Document] = []
        token = ""
        while True:
            page = self._ask("GET", path, params={"limit": str(_PAGE), **selector, **({"continue": token} if token else {})})
            found += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return found

    def create(self, document: Mapping[str, Any]) -> bool:
        """Make an object. False when there is one of that name: of all who ask, one is told True."""
        try:
            self._ask("POST", self.collection(document), content=document)
        except Refused as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    def apply(self, document: Mapping[str, Any], there: Mapping[str, Any] | None = None) -> None:
        """Have the object be so. `there` is what was seen of it: nothing is asked when that is what is wanted."""
        whole = stamped(document)
        if there is None or not contains(there, whole):
            params = {"fieldManager": MANAGER, "force": "true"}
            self._ask("PATCH", self.path(document), content=whole, kind=_APPLY, params=params)

    def merge(self, path: str, content: Mapping[str, Any]) -> Document:
        """Change what is there (RFC 7396). An object is never made by it."""
        return self._ask("PATCH", path, content=content, kind=_MERGE, params={"fieldManager": MANAGER})

    def delete(self, path: str, uid: str) -> None:
        """This object and no later one of its name; what belongs to it follows. It may be gone already."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            self._ask("DELETE", path, content=options)
        except Refused as error:
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise

    def evict(self, pod: Mapping[str, Any]) -> bool:
        """Have a pod leave, if disruption budgets allow it now; whether they do. It may be gone already."""
        metadata = pod["metadata"]
        about = {"name": metadata["name"], "namespace": metadata["namespace"]}
        options = {"preconditions": {"uid": metadata["uid"]}}
        content = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": about, "deleteOptions": options}
        try:
            self._ask("POST", f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/eviction", content=content)
        except Refused as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                return False
            if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
        return True

    def path(self, document: Mapping[str, Any]) -> str:
        """Where an object is."""
        return f"{self.collection(document)}/{document['metadata']['name']}"

    def collection(self, document: Mapping[str, Any]) -> str:
        """Where objects of its kind are."""
        version, kind = document["apiVersion"], document["kind"]
        if (version, kind) not in self._kinds:
            found = self._ask("GET", root(version))["resources"]
            self._kinds |= {
                (version, each["kind"]): (each["name"], each["namespaced"]) for each in found if "/" not in each["name"]
            }
        if (version, kind) not in self._kinds:
            raise Refused(HTTPStatus.NOT_FOUND, f"the API server knows no {kind} of {version}")
        plural, namespaced = self._kinds[version, kind]
        within = f"namespaces/{document['metadata'].get('namespace', 'default')}/" if namespaced else ""
        return f"{root(version)}/{within}{plural}"

    def _ask(
        self,
        method: str,
        path: str,
        *,
        content: Mapping[str, Any] | None = None,
        kind: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Document:
        headers = {"Content-Type": kind} if content is not None else {}
        try:
            answer = self._client.request(
                method, path, json=content, headers=headers, params=dict(params or {}), extensions=self._extensions
            )
        except httpx2.HTTPError as error:
            raise HarnessError(f"the API server at {self._client.base_url} does not answer: {error}") from error
        if answer.is_error:
            raise Refused(answer.status_code, f"{method} {path}: {answer.status_code} {_said(answer)}")
        found: Document = answer.json()
        return found


def root(version: str) -> str:
    """Where an API is: /api/v1, /apis/apps/v1. Pure."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def stamped(document: Mapping[str, Any]) -> Document:
    """The object as it is applied: with its own fingerprint. Pure."""
    metadata = document["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED: fingerprint(document)}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def contains(there: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there, and lists are as long. What the server has filled in does not count. Pure."""
    match there, wanted:
        case Mapping(), Mapping():
            return all(key in there and contains(there[key], each) for key, each in wanted.items())
        case Sequence(), Sequence() if not isinstance(there, str) and not isinstance(wanted, str):
            return len(there) == len(wanted) and all(map(contains, there, wanted))
        case _:
            return bool(there == wanted)


def _said(answer: httpx2.Response) -> str:
    """What the server says of it, on one line."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(answer.text.split())[:300]
