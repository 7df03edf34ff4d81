"""Ignition configs with something wrong: valid ones of `tests.configs` after a few changes, each of which may break a rule.

No change is sure to break one, so these configs are for comparing two readers, not for expecting a certain report.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from ignition.model import Config, Part
from tests.configs import JSONObject, valid_configs

_PATHS = (
    "", "/", "a", "//a", "/a/", "/a/../b", "/./a", "/a//b", "../a", ".", "/..", "/é", "/ ", "/a\0", "\\a",
    "/etc/systemd/system/a.service", "/etc/systemd/system/a.service.d/b.conf", "/etc/systemd/network/a",
)  # fmt: skip
_URLS = (
    "", "a", "/a", "//h", ":", "http", "http:", "http:a", "http://", "http://[::1", "http://[::1]x", "http://h:x/",
    "http://h:/", "http://h:99999", "http://a b/", "http://h/%zz", "http://h/ a", "http://h/\x7f", "http://%41/", "http://é/",
    "ftp://h/a", "HTTPS://h", "tftp://h", "oem:///a", "file:///a", "s3://", "s3://b/k?versionId=", "s3://b/k?versionId",
    "gs://b/o", "gs://", "arn:aws:s3:::b/k", "arn:aws:s3:::b", "arn:aws:s3:r:1:b/k", "arn:aws:s3:::b/k?versionId=",
    "arn:aws:ec2:::b/k", "arn:", "arn:aws:s3:r:1:accesspoint/a/object/k", "data:", "data:a", "data:,%", "data:,%4",
    "data:,%zz", "data:,é", "data:,a b", "data:;base64,a", "data:;base64,YQ==", "data:;base64,YQ=", "data:;base64,Y Q",
    "data:;base64,%0A", "data:text,a", "data:text/plain,a", "data:text/plain;a=b,c", "data:text/plain;charset,a",
    'data:text/plain;a="b",c', "data:x/y;base64;a,b", "DATA:,a", " data:,a", "data:,a#b", "data:,a\n", "http://u:p@h",
    "http://u@p@h", "http://h#%zz", "?a", "a:b", "1:b",
)  # fmt: skip
_HASHES = (
    "", "-", "sha512", "sha512-", "sha512-00", "sha256-" + "0" * 64, "sha512-" + "0" * 128, "sha512-" + "z" * 128,
    "sha512-" + "é" * 64, "sha256-" + "0" * 128, "md5-" + "0" * 32, "SHA512-" + "0" * 128, "a-b-c",
)  # fmt: skip
_UNITS = (
    "[", "[Unit", "[Unit]", "[Unit] x", "[Unit] \t", "[]\nA=b", "A=b", "[Unit]\nA", "[Unit]\nA\n", "[Unit]\n=b",
    "[Unit]\nA=b\\", "[Unit]\nA=b\\\n", "[Unit]\nA=b\\\n\nC=d", "[Unit]\n# c\\\nA", "# c", ";", "\n", " ", "[Install]",
    "[Install]\nA=b", "[Install]\n# A=b", "[Unit]\r\nA=b\r\n", "[Unit]\rA=b", "\ufeff[Unit]", "[Unit]\n\0=b", "[Unit]\n A=b",
    "[a]b]\nA=b", "[Unit]\nA=" + "b" * 2046, "[Unit]\nA=" + "b" * 2045 + "\n", "#" * 2049, "[" + "a" * 2050 + "]",
    "[U]\nA=" + "é" * 1024, "[Unit]\nA=b\\ \nC", "[Unit]\nA=b \\ \n[Install]\nA=b\n",
)  # fmt: skip
_GUIDS = (
    "", "x", "01234567-89AB-CDEF-EDCB-A98765432101", "01234567-89ab-cdef-edcb-a9876543210", "g" * 36,
    "01234567-89AB-CDEF-EDCB-A98765432101\n", "\u0660" * 8 + "-0000-0000-0000-" + "0" * 12,
)  # fmt: skip
_NUMBERS = (
    0, 1, -1, 2, 3, 10, 420, 0o777, 0o1000, 0o4755, 0o7777, 0o10000, 2**31, 2**63 - 1, -(2**63), 2**63, 10**30, 1.0, 1.5, 1e2,
)  # fmt: skip
# No percent sign: the tool gives its report to printf as a format.
_TEXTS = (
    "", "a", "b", "a/b", "a:b", "a b", "é" * 6, "x" * 11, "x" * 12, "x" * 15, "x" * 16, "x" * 17, "x" * 36, "x" * 37,
    "é" * 19, "x" * 47, "x" * 48, "x" * 257, "\0", "\n", "\u2028", "\ud800", "<&>", "{}", "null", "\U0001f600",
)  # fmt: skip

_BY_KEY: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("path", "device", "devices", "target"), _PATHS),
    **dict.fromkeys(("source", "url", "httpProxy", "httpsProxy"), _URLS),
    **dict.fromkeys(("guid", "typeGuid"), _GUIDS),
    "advertisement": ("", "{}", "[]", "x", '{"payload": "a"}', '{"payload": "p", "protected": "q", "signature": 1}'),
    "compression": ("", "gzip", "xz", "GZIP"),
    "config": ("", "{", "{}"),
    "contents": _UNITS,
    "format": ("", "ext4", "xfs", "btrfs", "vfat", "swap", "none", "ntfs", "ext3", "EXT4"),
    "hash": _HASHES,
    "level": ("", "raid0", "0", "linear", "stripe", "raid1", "10", "raid9", "RAID1"),
    "pin": ("", "tpm2", "tang", "sss", "x"),
    "version": ("", "3", "3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.03.0", "3.3.0+", "3.3.1", "3.9.0", "2.2.0", "4.0.0", "v3.3.0",
                "3.3.0-experimental", " 3.3.0", "3.3.0-", "3.99999999999999999999.0"),
}  # fmt: skip
_BY_TYPE: dict[Any, tuple[Any, ...]] = {str: _TEXTS, int: _NUMBERS, bool: (True, False)}
_NAMES = (
    "a.service", "a@b.service", "a@.service", "a", "a.conf", ".service", "a.service/b", "a.SERVICE", "a.b.socket", ".conf",
    "",
)  # fmt: skip
_ANYTHING: tuple[Any, ...] = (
    *(None, True, 0, 1.5, "", "a", [], {}, [[]], [{}], [None], ["", ""], {"a": 1}, {"": None}),
    *({"id": 1, "name": "a"}, {"source": None}, {"verification": {}}, [{"source": "http://h"}] * 2),
)

_Kind: TypeAlias = Any  # A Part, str, int, bool, or tuple[one of them, ...].


class Again(str):
    """A key that is equal to no other, so that one object holds it twice."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class _Spot:
    """A value in a config: what holds it, its key or index there, and the type it should have, None below unknown keys."""

    holder: Any
    key: Any
    kind: _Kind

    @property
    def name(self) -> str:
        return self.key if isinstance(self.key, str) else ""


def _fields(part: _Kind) -> dict[str, _Kind]:
    """The JSON keys of a part, those of all specs, with their types."""
    if not (isinstance(part, type) and issubclass(part, Part)):
        return {}
    return {field.encode_name: _unwrapped(field.type) for field in msgspec.structs.fields(part)}


def _is_list(kind: _Kind) -> bool:
    origin: object = get_origin(kind)
    return origin is tuple


def _unwrapped(hint: Any) -> _Kind:
    some = [arg for arg in get_args(hint) if arg is not NoneType]
    return some[0] if NoneType in get_args(hint) else hint


def _spots(value: Any, kind: _Kind) -> Iterator[_Spot]:
    if isinstance(value, list):
        item = get_args(kind)[0] if _is_list(kind) else None
        inner = [_Spot(value, index, item) for index in range(len(value))]
    elif isinstance(value, dict):
        fields = _fields(kind)
        inner = [_Spot(value, key, fields.get(str(key))) for key in value]
    else:
        inner = []
    for spot in inner:
        yield spot
        yield from _spots(spot.holder[spot.key], spot.kind)


def _value(draw: st.DrawFn, name: str, kind: _Kind) -> Any:
    """A value of the right type, which may break a rule; of any type where none is right."""
    if _is_list(kind):
        item = get_args(kind)[0]
        return [_value(draw, name, item) for _ in range(draw(st.integers(0, 2)))]
    if fields := _fields(kind):
        chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True))
        return {key: _value(draw, key, fields[key]) for key in chosen}
    pool = _BY_KEY.get(name) if kind is str else None
    if name == "name":
        pool = (*_NAMES, *_TEXTS)
    return draw(st.sampled_from(pool or _BY_TYPE.get(kind, _ANYTHING)))


def _one_of_each_key(draw: st.DrawFn, config: JSONObject) -> _Spot:
    """A spot by its key first, so that rare fields are changed as often as common ones."""
    spots = list(_spots(config, Config))
    # A config of no known version has no other report.
    names = sorted({spot.name for spot in spots} - {"ignition", "version"}) or [spots[0].name]
    name = draw(st.sampled_from(names))
    return draw(st.sampled_from([spot for spot in spots if spot.name == name]))


def _break(draw: st.DrawFn, config: JSONObject) -> None:
    spot = _one_of_each_key(draw, config)
    spot.holder[spot.key] = _value(draw, spot.name, spot.kind)


def _replace(draw: st.DrawFn, config: JSONObject) -> None:
    spot = _one_of_each_key(draw, config)
    spot.holder[spot.key] = copy.deepcopy(draw(st.sampled_from(_ANYTHING)))


def _remove(draw: st.DrawFn, config: JSONObject) -> None:
    spot = _one_of_each_key(draw, config)
    del spot.holder[spot.key]


def _rename(draw: st.DrawFn, config: JSONObject) -> None:
    spot = draw(st.sampled_from([spot for spot in _spots(config, Config) if isinstance(spot.key, str)]))
    names = [spot.key.upper(), spot.key.capitalize(), spot.key + "s", "é", "", "a.b", spot.key.replace("s", "\u017f")]
    value = spot.holder.pop(spot.key)
    spot.holder[draw(st.sampled_from(names))] = value


def _add(draw: st.DrawFn, config: JSONObject) -> None:
    """Another field of the object, of whatever spec."""
    objects = [(config, Config), *((spot.holder[spot.key], spot.kind) for spot in _spots(config, Config))]
    holder, fields = draw(st.sampled_from([(holder, fields) for holder, kind in objects if (fields := _fields(kind))]))
    if isinstance(holder, dict):
        key = draw(st.sampled_from(sorted(fields)))
        holder[key] = _value(draw, key, fields[key])


def _repeat_item(draw: st.DrawFn, config: JSONObject) -> None:
    items = [spot for spot in _spots(config, Config) if isinstance(spot.holder, list)]
    if items:
        spot = draw(st.sampled_from(items))
        spot.holder.insert(draw(st.integers(0, len(spot.holder))), copy.deepcopy(spot.holder[spot.key]))


def _repeat_key(draw: st.DrawFn, config: JSONObject) -> None:
    keys = [spot for spot in _spots(config, Config) if isinstance(spot.key, str)]
    spot = draw(st.sampled_from(keys))
    same = copy.deepcopy(spot.holder[spot.key])
    spot.holder[Again(spot.key)] = draw(st.sampled_from([same, *_ANYTHING[:8], _value(draw, spot.key, spot.kind)]))


def _relate(draw: st.DrawFn, config: JSONObject) -> None:
    """The value of another field of that name, or of any path: equal entries, overlaps, files below links, links to folders."""
    spot = _one_of_each_key(draw, config)
    alike = {"path", "target", "device"} if spot.name in ("path", "target", "device") else {spot.name}
    other = draw(st.sampled_from([one for one in _spots(config, Config) if one.name in alike]))
    value = copy.deepcopy(other.holder[other.key])
    suffix = draw(st.sampled_from(["", "", "/x"])) if "path" in alike and isinstance(value, str) else ""
    spot.holder[spot.key] = value + suffix if suffix else value


def _another_version(draw: st.DrawFn, config: JSONObject) -> None:
    config["ignition"] = {"version": draw(st.sampled_from(_BY_KEY["version"]))}


_CHANGES: tuple[Callable[[st.DrawFn, JSONObject], None], ...] = (
    *(
        _break,
        _break,
        _break,
        _replace,
        _remove,
        _rename,
        _add,
        _add,
        _repeat_item,
        _repeat_key,
        _relate,
        _relate,
        _another_version,
    ),
)


@st.composite
def broken_configs(draw: st.DrawFn, minor: int, most: int = 3) -> JSONObject:
    """A config of spec 3.`minor` after one to `most` changes. The version may be among what has changed."""
    config: JSONObject = draw(valid_configs(minor))
    for _ in range(draw(st.integers(1, most))):
        if config:
            draw(st.sampled_from(_CHANGES))(draw, config)
    return config
