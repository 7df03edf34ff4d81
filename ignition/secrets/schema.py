"""What is secret by the schema of a config, in Ignition's spelling and in Butane's.

The walk goes by the names of keys and knows no spec, so that a config that is too new, too old or wrong is redacted as well.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from ignition.document import Data
from ignition.rules import BadURL, decode_data_url
from ignition.secrets.redaction import Secrets
from ignition.secrets.secret import MARK
from ignition.secrets.urls import DATA_URL, gunzip, rewrite

_SHORTEST_IN_TEXT = 8
"""Characters. What is shorter, such as a header's `true`, is hidden in its own place only."""

_AUTHORITY = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)(?P<user>[^/?#]*)@")
_PARAMETER = re.compile(r"(?P<name>(?<=[?&;])[^=&;#]*)=(?P<value>[^&;#]*)")
_TELLING = re.compile(r"auth|credential|key|pass|pin-value|secret|sig|token", re.IGNORECASE)


def mask_url(url: str) -> str:
    """Return a URL without its user and password, and without the values of a query that give access."""
    return _Walk(lambda _: MARK, lambda text: text).url(url)


def redact_data(data: Data, secrets: Secrets | None = None) -> Data:
    """Return a config, as plain data, without what its schema or `secrets` call secret."""
    marked = secrets or Secrets()
    return _Walk(lambda _: MARK, marked.redact).visit(data)


def redact_config(raw: bytes, secrets: Secrets | None = None) -> bytes:
    """Return a config for reading, in compact JSON. What is no JSON is redacted as text, so of `secrets` only."""
    marked = secrets or Secrets()
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return marked.redact_bytes(raw)
    return json.dumps(redact_data(data, marked), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def schema_secrets(data: Data) -> Secrets:
    """Return the texts that are secret by the schema, but those under 8 characters: they occur elsewhere by chance."""
    found: list[str] = []

    def collect(text: str) -> str:
        found.extend(_readings(text))
        return text

    _Walk(collect, lambda text: text).visit(data)
    return Secrets(text for text in found if len(text.strip()) >= _SHORTEST_IN_TEXT)


def _readings(text: str) -> Iterator[str]:
    """Give a hidden text as it stands and as it is meant."""
    yield unquote(text) if not text.startswith("data:") else text.partition(",")[2]
    if text.startswith("data:"):
        try:
            contents = decode_data_url(text)
            yield (gunzip(contents) if contents.startswith(b"\x1f\x8b") else contents).decode("utf-8")
        except (BadURL, ValueError):
            return


@dataclass(frozen=True)
class _Walk:
    """Copies a config; `hide` replaces what is secret by the schema, `text` every other string."""

    hide: Callable[[str], str]
    text: Callable[[str], str]

    def visit(self, value: Data, parents: tuple[str, ...] = ()) -> Data:
        if isinstance(value, str):
            return self.string(value, parents)
        if isinstance(value, Mapping):
            return {self.text(key): self.visit(item, (*parents, _folded(key))) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.visit(item, parents) for item in value]
        return value

    def string(self, value: str, parents: tuple[str, ...]) -> str:
        if _is_hidden(parents, value):
            return self.hide(value)
        if parents[-1:] in (("source",), ("inline",)):
            return self.text(self.nested(value, parents[-1]))
        return self.text(self.url(value))

    def nested(self, value: str, key: str) -> str:
        """Redact a config inside a config."""
        if key == "inline":
            return self.config(value.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        found = DATA_URL.fullmatch(value.encode("utf-8", "surrogatepass"))
        return self.url(value) if found is None else rewrite(found, self.config).decode("utf-8", "surrogatepass")

    def config(self, raw: bytes) -> bytes:
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            return raw
        if not isinstance(data, dict) or "ignition" not in data:
            return raw
        redacted = self.visit(data)
        return raw if redacted == data else json.dumps(redacted, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def url(self, value: str) -> str:
        found = _AUTHORITY.match(value)
        if found:
            user = ":".join(self.hide(part) if part else "" for part in found["user"].split(":", 1))
            value = f"{found['scheme']}{user}@{value[found.end() :]}"
        if "://" not in value:
            return value
        return _PARAMETER.sub(self.parameter, value)

    def parameter(self, found: re.Match[str]) -> str:
        shown = self.hide(found["value"]) if _TELLING.search(found["name"]) and found["value"] else found["value"]
        return f"{found['name']}={shown}"


def _folded(key: str) -> str:
    """Go matches keys in any case, and Butane writes them with underscores."""
    return key.replace("_", "").lower()


def _is_hidden(parents: tuple[str, ...], value: str) -> bool:
    match parents:
        case (*_, "passwordhash") | (*_, "httpheaders", "value") | (*_, "clevis", "custom", "config"):
            return True
        case (*_, "keyfile", "inline") | (*_, "keyfile", "verification", "hash"):
            return True
        case (*_, "keyfile", "source"):
            return value.lower().startswith("data:")
        case _:
            return False
