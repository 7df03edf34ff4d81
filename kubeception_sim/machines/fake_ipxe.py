"""As much of iPXE's script language as boot servers use: labels, goto, chain, kernel, initrd, boot, `||` and `&&`.

Pure: fetching and sleeping are functions passed in.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin

_MAX_STATEMENTS = 1000  # a script that runs in circles ends
_SETTING = re.compile(r"\$\{(?:net[0-9X]+/)?([a-z_]+)(:uristring)?\}")


class BootFailed(Exception):
    """The machine cannot go on; the text says why. A script's `||` may still save it."""


@dataclass(frozen=True)
class Booted:
    """What a script booted: the kernel, its arguments, its initrds."""

    kernel: bytes
    arguments: tuple[str, ...]
    initrds: tuple[bytes, ...]


class FakeIpxe:
    """Runs scripts. Unknown settings are empty, as in iPXE. `fetch` raises BootFailed or OSError when it fails."""

    def __init__(self, settings: Mapping[str, str], fetch: Callable[[str], bytes], sleep: Callable[[float], object]) -> None:
        self._settings = dict(settings)
        self._fetch = fetch
        self._sleep = sleep
        self._url = ""
        self._lines: list[str] = []
        self._next = 0
        self._kernel: tuple[bytes, tuple[str, ...]] | None = None
        self._initrds: list[bytes] = []
        self._booted: Booted | None = None

    def run(self, url: str) -> Booted:
        """Run the script at `url`, and those it chains to, until one boots. Raises BootFailed when none does."""
        self._chain([url])
        for _ in range(_MAX_STATEMENTS):
            if self._booted:
                return self._booted
            if self._next >= len(self._lines):
                raise BootFailed(f"{self._url}: the script ended without booting")
            line = self._lines[self._next]
            self._next += 1
            self._statement(_SETTING.sub(self._value, line).split())
        raise BootFailed(f"{self._url}: no end after {_MAX_STATEMENTS} statements")

    def _value(self, setting: re.Match[str]) -> str:
        value = self._settings.get(setting[1], "")
        return quote(value, safe="") if setting[2] else value

    def _statement(self, words: list[str]) -> None:
        """Commands joined by `||` and `&&`, from left to right; the outcome of the last one that ran counts."""
        failure: BootFailed | None = None
        for joint, command in _joined(words):
            if (failure is None) == (joint == "&&"):
                failure = self._failure(command) if command else None
        if failure:
            raise failure

    def _failure(self, command: list[str]) -> BootFailed | None:
        verb, *arguments = command
        if verb.startswith((":", "#")):
            return None
        action = self._ACTIONS.get(verb)
        if action is None:
            return BootFailed(f"{verb}: command not found")
        try:
            action(self, [word for word in arguments if word not in ("--replace", "--autofree")])
        except BootFailed as error:
            return error
        except OSError as error:
            return BootFailed(f"{' '.join(command)}: {error}")
        return None

    def _chain(self, arguments: list[str]) -> None:
        url = urljoin(self._url, arguments[0])
        text = self._fetch(url).decode("utf-8", errors="replace")
        if not text.startswith("#!ipxe"):
            raise BootFailed(f"{url}: not an iPXE script")
        self._url, self._lines, self._next = url, text.splitlines(), 0

    def _goto(self, arguments: list[str]) -> None:
        try:
            self._next = self._lines.index(f":{arguments[0]}")
        except ValueError:
            raise BootFailed(f"goto {arguments[0]}: no such label") from None

    def _load_kernel(self, arguments: list[str]) -> None:
        self._kernel = self._fetch(urljoin(self._url, arguments[0])), tuple(arguments[1:])

    def _load_initrd(self, arguments: list[str]) -> None:
        named = arguments[2:] if arguments[0] == "--name" else arguments
        self._initrds.append(self._fetch(urljoin(self._url, named[0])))

    def _boot(self, _: list[str]) -> None:
        if self._kernel is None:
            raise BootFailed("boot: no kernel was loaded")
        self._booted = Booted(*self._kernel, tuple(self._initrds))

    def _free(self, _: list[str]) -> None:
        self._kernel, self._initrds = None, []

    def _set(self, arguments: list[str]) -> None:
        self._settings[arguments[0]] = " ".join(arguments[1:])

    def _equal(self, arguments: list[str]) -> None:
        if len(arguments) != 2 or arguments[0] != arguments[1]:
            raise BootFailed(f"iseq: {arguments} differ")

    def _wait(self, arguments: list[str]) -> None:
        self._sleep(float(arguments[0]))

    def _nothing(self, _: list[str]) -> None:
        """For what only a person in front of the screen would notice."""

    _ACTIONS = {  # noqa: RUF012  (never changed)
        "chain": _chain,
        "goto": _goto,
        "kernel": _load_kernel,
        "initrd": _load_initrd,
        "boot": _boot,
        "imgfree": _free,
        "set": _set,
        "iseq": _equal,
        "sleep": _wait,
        "echo": _nothing,
    }


def _joined(words: list[str]) -> list[tuple[str, list[str]]]:
    """Each command with the joint before it; nothing behind a last `||` is a command that succeeds."""
    parts: list[tuple[str, list[str]]] = [("&&", [])]
    for word in words:
        if word in ("||", "&&"):
            parts.append((word, []))
        else:
            parts[-1][1].append(word)
    return parts
