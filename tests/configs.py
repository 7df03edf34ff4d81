"""Ignition configs made by hypothesis: valid ones of specs 3.0 to 3.6, broken ones, and the ways JSON writes them.

A config is made of plain values. `Layout.render` turns it into bytes.
"""

import json
import random
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from hypothesis import strategies as st

JSONObject: TypeAlias = dict[str, Any]
Strategy: TypeAlias = st.SearchStrategy[Any]

MINORS = range(7)
"""The minor versions of spec 3."""

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_BOOLEAN = st.booleans()
_ID = st.integers(0, 70_000)
_NAME = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True)
_DEVICE = st.builds("/dev/disk/by-id/{}".format, _NAME)
_GUID = st.uuids().map(str) | st.just("")
_DATA = ("data:,", "data:,a%20b", "data:;base64,", "data:text/plain;charset=utf-8;base64,aGk=", "data:,x~y")
_WEB = ("http://h", "https://[::1]:8443/a?b=c#d", "https://u:p@h.example/%20", "HTTP://h/")
_OTHER = ("tftp://h/a", "s3://bucket/key", "s3://bucket/key?versionId=1")
_GUARDED_UNIT = "[Unit]\nDescription=d\n\n[Install]\nWantedBy=multi-user.target\n"
_UNITS = ("", "[Unit]\nA=b\n", "# c\n[Service]\nExecStart=/bin/a \\\n  --b\n; c\n", "[X-Own]\r\nA=\r\n", "[Unit]\nÄ=ö")
_UNIT_TYPES = ("service", "socket", "mount", "timer", "slice", "target", "path")
_LEVELS = ("raid1", "mirror", "raid5", "6", "raid10")
_FORMATS = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11}


@dataclass(frozen=True)
class _Spec:
    """Spec 3.`minor`. Configs are whole when they have every section, field and list, with at least one entry."""

    minor: int
    is_whole: bool

    def object(self, required: dict[str, Strategy], **optional: Strategy) -> Strategy:
        return st.fixed_dictionaries(
            {**required, **optional} if self.is_whole else required, optional={} if self.is_whole else optional
        )

    def since(self, first: int, **fields: Strategy) -> dict[str, Strategy]:
        """The fields that spec 3.`first` brought."""
        return fields if self.minor >= first else {}

    def unique(self, item: Strategy, *keys: str, most: int = 4) -> Strategy:
        """A list whose objects differ in each of the keys; without keys, a list of different texts."""
        least = 1 if self.is_whole else 0
        return st.lists(item, min_size=least, max_size=most, unique_by=tuple(map(_by_key, keys)) or None, unique=not keys)


def _by_key(key: str) -> Any:
    return lambda item: item[key]


def _hashes(spec: _Spec) -> Strategy:
    digits = "0123456789abcdef"
    sha512 = st.text(digits, min_size=128, max_size=128).map("sha512-{}".format)
    sha256 = st.text(digits, min_size=64, max_size=64).map("sha256-{}".format)
    return sha512 | sha256 if spec.minor >= 1 else sha512


def _resources(spec: _Spec, *, is_reference: bool = False) -> Strategy:
    """Something to fetch. References to other configs could not be compressed, and had no headers, in spec 3.0."""
    others = (*_OTHER, *(("gs://b/o",) if spec.minor >= 2 else ()), *(("arn:aws:s3:::b/k",) if spec.minor >= 4 else ()))
    shared: dict[str, Strategy] = {"verification": spec.object({"hash": _hashes(spec)})}
    if spec.minor >= 1 or not is_reference:
        shared["compression"] = st.sampled_from(["", "gzip"])
    header = spec.object({"name": _NAME}, value=_TEXT.filter(bool))
    return st.one_of(
        spec.object({"source": st.sampled_from([*_DATA, *others])}, **shared),
        spec.object({"source": st.sampled_from(_WEB)}, **shared, **spec.since(1, httpHeaders=spec.unique(header, "name"))),
    )


def _ignition(spec: _Spec) -> Strategy:
    reference = _resources(spec, is_reference=True)
    proxy = spec.object(
        {},
        httpProxy=st.sampled_from(["http://p", "https://p:3128/"]),
        httpsProxy=st.just("https://p"),
        noProxy=spec.unique(_NAME),
    )
    return spec.object(
        {"version": st.just(f"3.{spec.minor}.0")},
        config=spec.object({}, merge=spec.unique(reference, "source"), replace=reference),
        security=spec.object({}, tls=spec.object({}, certificateAuthorities=spec.unique(reference, "source"))),
        timeouts=spec.object({}, httpTotal=_ID, httpResponseHeaders=_ID),
        **spec.since(1, proxy=proxy),
    )


def _passwd(spec: _Spec) -> Strategy:
    existence = spec.since(2, shouldExist=_BOOLEAN)
    user = spec.object(
        {"name": _NAME},
        **dict.fromkeys(("gecos", "homeDir", "passwordHash", "primaryGroup", "shell"), _TEXT),
        **dict.fromkeys(("noCreateHome", "noLogInit", "noUserGroup", "system"), _BOOLEAN),
        groups=spec.unique(_NAME),
        sshAuthorizedKeys=spec.unique(_TEXT),
        uid=_ID,
        **existence,
    )
    group = spec.object({"name": _NAME}, gid=_ID, passwordHash=_TEXT, system=_BOOLEAN, **existence)
    return spec.object({}, users=spec.unique(user, "name"), groups=spec.unique(group, "name"))


def _nodes(spec: _Spec) -> dict[str, Strategy]:
    """Files, directories and links, each below a folder of its kind: no path is given twice or lies below a link."""
    owner = spec.object({}, id=_ID) | spec.object({}, name=_TEXT)
    mode = st.integers(0, 0o7777 if spec.minor >= 6 else 0o777)
    shared = {"user": owner, "group": owner}
    contents = _resources(spec)

    def path(folder: str) -> Strategy:
        return st.builds(f"/{folder}/{{}}".format, _NAME)

    file = spec.object({"path": path("etc")}, mode=mode, contents=contents, append=st.lists(contents, max_size=2), **shared)
    overwriting = spec.object({"path": path("srv"), "contents": contents}, mode=mode, overwrite=_BOOLEAN, **shared)
    directory = spec.object({"path": path("opt")}, mode=mode, overwrite=_BOOLEAN, **shared)
    target = st.sampled_from(["a", "../a", "/usr/a/../b", "/dev/null"])
    soft = spec.object({"path": path("var"), "target": target}, overwrite=_BOOLEAN, hard=st.just(False), **shared)
    hard = spec.object({"path": path("usr"), "target": target, "hard": st.just(True)}, overwrite=_BOOLEAN)
    return {
        "files": spec.unique(file | overwriting, "path"),
        "directories": spec.unique(directory, "path"),
        "links": spec.unique(soft | hard, "path"),
    }


@st.composite
def _disks(draw: st.DrawFn, spec: _Spec) -> JSONObject:
    """A disk whose partitions follow each other."""
    disk: JSONObject = {"device": f"/dev/{draw(_NAME)}", "wipeTable": draw(_BOOLEAN)}
    settings = spec.object({"sizeMiB": st.integers(1, 9)}, guid=_GUID, typeGuid=_GUID, shouldExist=st.just(True),
                       wipePartitionEntry=_BOOLEAN, **spec.since(2, resize=_BOOLEAN))  # fmt: skip
    start = 1
    for number in range(1, draw(st.integers(1, 4))):
        partition = {"number": number, "label": f"p{number}", "startMiB": start, **draw(settings)}
        start += partition["sizeMiB"]
        disk.setdefault("partitions", []).append(partition)
    return disk


@st.composite
def _filesystems(draw: st.DrawFn, spec: _Spec) -> JSONObject:
    format_ = draw(st.sampled_from(sorted(_FORMATS)))
    options = {"options": st.lists(_TEXT, max_size=2), **spec.since(1, mountOptions=st.lists(_NAME, max_size=2))}
    described = spec.object({}, path=_NAME.map("/mnt/{}".format), uuid=st.uuids().map(str), wipeFilesystem=_BOOLEAN, **options)
    label = draw(st.text("LABEL-0", max_size=_FORMATS[format_]))
    return {"device": draw(_DEVICE), "format": format_, "label": label, **draw(described)}


def _luks(spec: _Spec) -> Strategy:
    advertisement = spec.since(4, advertisement=st.just('{"payload": "p", "protected": "q", "signature": "r"}'))
    tang = spec.object({"url": st.sampled_from(_WEB), "thumbprint": _NAME}, **advertisement)
    custom = spec.object({"pin": st.sampled_from(["tpm2", "tang", "sss"]), "config": st.just("{}")}, needsNetwork=_BOOLEAN)
    clevis = spec.object({}, tang=spec.unique(tang, "url", most=2), tpm2=_BOOLEAN, threshold=st.integers(0, 3))
    shared = {"label": st.text(max_size=9), "options": st.lists(_NAME, max_size=2), "uuid": _TEXT, "wipeVolume": _BOOLEAN,
              **spec.since(4, discard=_BOOLEAN, openOptions=spec.unique(_NAME))}  # fmt: skip
    named = {"name": _NAME, "device": _DEVICE}
    locked = spec.object(named, keyFile=_resources(spec), clevis=clevis | spec.object({"custom": custom}), **shared)
    return locked if spec.minor < 5 else locked | spec.object({**named, "cex": spec.object({}, enabled=_BOOLEAN)}, **shared)


def _storage(spec: _Spec) -> Strategy:
    raid = spec.object({"name": _NAME, "level": st.sampled_from(_LEVELS), "devices": spec.unique(_DEVICE).filter(bool)},
                   spares=st.integers(0, 3), options=st.lists(_NAME, max_size=2))  # fmt: skip
    return spec.object(
        {},
        disks=spec.unique(_disks(spec), "device", most=2),
        filesystems=spec.unique(_filesystems(spec), "device"),
        raid=spec.unique(raid, "name", most=2),
        **_nodes(spec),
        **spec.since(2, luks=spec.unique(_luks(spec), "name", most=2)),
    )


def _systemd(spec: _Spec) -> Strategy:
    contents = st.sampled_from([*_UNITS, _GUARDED_UNIT])
    name = st.builds("{}.{}".format, _NAME, st.sampled_from(_UNIT_TYPES))
    dropin = spec.object({"name": _NAME.map("{}.conf".format)}, contents=contents)
    shared = {"mask": _BOOLEAN, "dropins": spec.unique(dropin, "name", most=2)}
    idle = spec.object({"name": name}, contents=contents, enabled=st.just(False), **shared)
    enabled = spec.object({"name": name, "enabled": st.just(True)}, contents=st.just(_GUARDED_UNIT), **shared)
    return spec.object({}, units=spec.unique(idle | enabled, "name"))


@cache
def _configs(spec: _Spec) -> Strategy:
    sections = {"passwd": _passwd(spec), "storage": _storage(spec), "systemd": _systemd(spec)}
    return spec.object({"ignition": _ignition(spec)}, **sections, **spec.since(3, kernelArguments=_kernel_arguments(spec)))


def _kernel_arguments(spec: _Spec) -> Strategy:
    """Arguments that must exist and such that must not; none is both."""
    return spec.unique(_NAME, most=4).map(lambda names: {"shouldExist": names[::2], "shouldNotExist": names[1::2]})


def valid_configs(minor: int) -> Strategy:
    """Configs of spec 3.`minor` that Ignition has nothing to say about: some with all there is, others with next to nothing."""
    return st.one_of(_configs(_Spec(minor, True)), _configs(_Spec(minor, False)))


@dataclass(frozen=True)
class Layout:
    """A way to write a config as JSON.

    `order` seeds the order of the keys, 0 is that of the config. `escapes`: "" none that JSON does not ask for, "ascii" for
    what is not ASCII, "all" for every character of every text.
    """

    indent: int | str | None = None
    newline: str = "\n"
    escapes: str = ""
    separators: tuple[str, str] = (",", ":")
    order: int = 0

    def render(self, config: Any) -> bytes:
        """The config as bytes. Raises nothing for lone surrogates: they are escaped, or stay what they are in UTF-8."""
        value = _shuffled(config, random.Random(self.order)) if self.order else config
        value = _escaped(value) if self.escapes == "all" else value
        is_ascii = self.escapes == "ascii"
        text = json.dumps(value, indent=self.indent, separators=self.separators, ensure_ascii=is_ascii)
        if self.escapes == "all":
            text = text.replace(_ESCAPE_MARK, "\\u")
        return text.replace("\n", self.newline).encode("utf-8", "surrogatepass")


_ESCAPE_MARK = "\U0010fffe"


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(item, chance) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _shuffled(value[key], chance) for key in chance.sample(list(value), len(value))}


def _escaped(value: Any) -> Any:
    """Write every UTF-16 unit of every text as an escape, behind a mark that stands for the backslash."""
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass")
        return type(value)("".join(f"{_ESCAPE_MARK}{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)))
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return {_escaped(key): _escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


def layouts() -> st.SearchStrategy[Layout]:
    """Compact, indented, with CRLF, with escapes, with keys in any order."""
    return st.builds(
        Layout,
        indent=st.sampled_from([None, None, 0, 1, 4, "\t"]),
        newline=st.sampled_from(["\n", "\n", "\r\n"]),
        escapes=st.sampled_from(["", "ascii", "all"]),
        separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,", "\t: ")]),
        order=st.sampled_from([0, 0, 1, 2, 3]),
    )
