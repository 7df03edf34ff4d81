"""Differences between configs: what machines would notice, at the right object, and no secrets."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ignition import model
from ignition.comparison import Action, Binary, Hidden, Kind, PropertyChange, Subject, diff, normal_form
from ignition.document import DocumentError
from ignition.secrets import Secrets

GOLDEN = Path(__file__).parents[1] / "golden" / "diff"


def config(version: str = "3.3.0", **sections: Any) -> bytes:
    return json.dumps({"ignition": {"version": version}, **sections}).encode()


def of_file(**fields: Any) -> bytes:
    return config(storage={"files": [{"path": "/a", **fields}]})


def lines(before: bytes, after: bytes, **options: Any) -> list[str]:
    return str(diff(before, after, **options)).splitlines()


@pytest.mark.parametrize("form", ["txt", "ansi", "json"])
def test_a_difference_reads_like_this(form: str) -> None:
    found = diff((GOLDEN / "before.ign").read_bytes(), (GOLDEN / "after.ign").read_bytes())
    shown = {
        "txt": found.render(),
        "ansi": found.render(colour=True),
        "json": json.dumps(found.to_data(), indent=2) + "\n",
    }
    assert shown[form] == (GOLDEN / f"difference.{form}").read_text()
    assert "hunter2" not in shown[form]


PACKED = base64.b64encode(gzip.compress(b"hello\n", mtime=0)).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (of_file(contents={"source": "data:,hello%0A"}), of_file(contents={"source": "data:;base64,aGVsbG8K"})),
        (
            of_file(contents={"source": "data:,hello%0a", "compression": ""}),
            of_file(contents={"source": "data:text/plain,hello%0A"}),
        ),
        (
            of_file(contents={"source": "data:,hello%0A"}),
            of_file(contents={"source": f"data:;base64,{PACKED}", "compression": "gzip"}),
        ),
        (of_file(contents={"source": ""}), of_file(contents={"source": "data:,"})),
        (of_file(overwrite=False, append=[], user={}), of_file()),
        (
            config(systemd={"units": [{"name": "a.service", "contents": "", "dropins": [{"name": "x.conf"}]}]}),
            config(systemd={"units": [{"name": "a.service"}]}),
        ),
        (
            config(passwd={"users": [{"name": "a", "uid": 1}, {"name": "b", "groups": ["x", "y"]}]}),
            config(passwd={"users": [{"name": "b", "groups": ["y", "x"], "system": False}, {"name": "a", "uid": 1}]}),
        ),
        (config(storage={}), config(passwd=None)),
        (
            config(storage={"directories": [{"path": "/a", "mode": 0o1777}]}),
            config(storage={"directories": [{"path": "/a", "mode": 0o777}]}),
        ),
        (
            config(storage={"disks": [{"device": "/d", "partitions": [{"number": 1}, {"number": 2, "shouldExist": True}]}]}),
            config(storage={"disks": [{"device": "/d", "partitions": [{"number": 2}, {"number": 1}]}]}),
        ),
    ],
)  # fmt: skip
def test_what_means_the_same_is_no_difference(before: bytes, after: bytes) -> None:
    assert not diff(before, after)
    assert str(diff(before, after)) == "no difference\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (of_file(), of_file(mode=0o644), ["~ file /a", "    mode: (none) -> 0644"]),
        (of_file(), config(storage={"directories": [{"path": "/a"}]}), ["+ directory /a", "- file /a"]),
        (config("3.1.0"), config("3.3.0"), ["~ ignition", "    version: 3.1.0 -> 3.3.0"]),
        (
            config(kernelArguments={"shouldExist": ["a", "b"]}),
            config(kernelArguments={"shouldExist": ["b", "a", "c"], "shouldNotExist": ["d"]}),
            [
                "+ kernel argument c",
                "    shouldExist: true",
                "+ kernel argument d",
                "    shouldExist: false",
                "~ order kernel arguments",
                "    order: [a, b] -> [b, a]",
            ],
        ),
        (
            config(passwd={"users": [{"name": "a"}, {"name": "b"}]}),
            config(passwd={"users": [{"name": "b"}, {"name": "a"}]}),
            ["~ order users without uid", "    order: [a, b] -> [b, a]"],
        ),
        (
            config(storage={"disks": [{"device": "/d", "partitions": [{"label": "a"}, {"label": "b"}]}]}),
            config(storage={"disks": [{"device": "/d", "partitions": [{"label": "b"}, {"label": "a"}]}]}),
            ["~ order partitions without a number of /d", "    order: [/d a, /d b] -> [/d b, /d a]"],
        ),
        (
            config(systemd={"units": [{"name": "a.service"}]}),
            config(systemd={"units": [{"name": "a.service", "mask": False}]}),
            ["~ unit a.service", "    mask: (none) -> false"],
        ),
        (
            of_file(contents={"source": "data:,a"}),
            of_file(contents={"source": "data:,a%0A"}),
            ["~ file /a", "    contents:", "      @@ -1 +1 @@", "      -a", "      \\ No newline at end of file", "      +a"],
        ),
        (
            of_file(contents={"source": "data:,a%1B%5B31m"}),
            of_file(contents={"source": "data:,%1B"}),
            [
                "~ file /a",
                "    contents:",
                "      @@ -1 +1 @@",
                "      -a\\x1b[31m",
                "      \\ No newline at end of file",
                "      +\\x1b",
                "      \\ No newline at end of file",
            ],
        ),
    ],
)
def test_what_differs_is_said_at_its_object(before: bytes, after: bytes, expected: list[str]) -> None:
    assert lines(before, after) == expected


def test_binary_contents_are_shown_by_size_and_hash() -> None:
    (change,) = diff(of_file(contents={"source": "data:,%00"}), of_file(contents={"source": "data:,text"})).changes
    (contents,) = change.properties
    assert contents.before == Binary(1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")


def user(hash_: str) -> bytes:
    return config(passwd={"users": [{"name": "core", "passwordHash": hash_}]})


def test_a_changed_password_hash_is_a_change_without_values() -> None:
    difference = diff(user("$6$one"), user("$6$two"))
    assert lines(user("$6$one"), user("$6$two")) == ["~ user core", "    passwordHash: changed"]
    assert difference.changes[0].properties == (PropertyChange("passwordHash", Hidden(), Hidden()),)
    assert "$6$" not in repr(difference) + json.dumps(difference.to_data())


def test_marked_secrets_are_not_shown_and_their_change_is() -> None:
    before, after = (of_file(contents={"source": f"data:,token%3D{token}%0A"}) for token in ("hunter22", "hunter23"))
    secrets = Secrets(["hunter22", "hunter23"])
    assert lines(before, after, secrets=secrets) == ["~ file /a", "    contents: changed in what is not shown"]
    assert lines(config(), before, secrets=secrets) == ["+ file /a", "    contents:", "      +token=***"]


def test_a_password_hash_is_hidden_in_files_too() -> None:
    after = json.loads(user("$6$abcdefgh"))
    after["storage"] = {"files": [{"path": "/$6$abcdefgh", "contents": {"source": "data:,hash%20$6$abcdefgh"}}]}
    assert "abcdefgh" not in str(diff(config(), json.dumps(after).encode()))


def test_what_is_secret_in_a_nested_config_is_not_shown() -> None:
    def merged(hash_: str) -> bytes:
        source = "data:;base64," + base64.b64encode(user(hash_)).decode()
        return json.dumps({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": source}]}}}).encode()

    assert lines(merged("H1"), merged("H2")) == ["~ merged config inline 1", "    config: changed in what is not shown"]
    assert '      +        "passwordHash": "***"' in lines(config(), merged("H1"))


def test_urls_are_compared_whole_and_shown_in_part() -> None:
    before, after = (of_file(contents={"source": f"https://u:{word}@h/x?token={word}"}) for word in ("one", "two"))
    assert lines(before, after) == ["~ file /a", "    contents.source: changed in what is not shown"]
    assert lines(config(), before)[1] == "    contents.source: https://***:***@h/x?token=***"


def test_what_ignition_would_refuse_is_not_compared() -> None:
    with pytest.raises(DocumentError, match="path not absolute"):
        diff(config(), config(storage={"files": [{"path": "a"}]}))


_NAMES = st.text("abcdef", min_size=1, max_size=4)
_CONTENTS = st.none() | st.builds(
    lambda data: model.Resource(source=f"data:;base64,{base64.b64encode(data).decode()}"), st.binary(max_size=8)
)


def parts(type_: type[Any], key: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    item = st.builds(type_, **{key: _NAMES}, **fields)
    return st.lists(item, max_size=3, unique_by=lambda part: getattr(part, key)).map(tuple)


_NUMBER = st.none() | st.integers(0, 0o777)
_FLAG = st.none() | st.booleans()
_CONFIGS = st.builds(
    lambda files, units, users, filesystems, wanted: model.Config(
        ignition=model.Ignition(version="3.6.0"),
        kernel_arguments=model.KernelArguments(should_exist=wanted),
        passwd=model.Passwd(users=users),
        storage=model.Storage(files=files, filesystems=filesystems),
        systemd=model.Systemd(units=units),
    ),
    parts(model.File, "path", mode=_NUMBER, overwrite=_FLAG, contents=_CONTENTS),
    parts(model.Unit, "name", contents=st.none() | st.text(max_size=9), enabled=_FLAG, mask=_FLAG),
    parts(model.PasswdUser, "name", uid=_NUMBER, system=_FLAG, groups=st.lists(_NAMES, max_size=2).map(tuple)),
    parts(model.Filesystem, "device", format=st.sampled_from([None, "ext4", "xfs"]), wipe_filesystem=_FLAG),
    st.lists(_NAMES, max_size=3, unique=True).map(tuple),
)
# A section, its list, the kind of its objects, what names them, and a field with a value that no generated config has.
_MUTATIONS: list[tuple[str, str, Kind, str, str, Any]] = [
    ("storage", "files", Kind.FILE, "path", "mode", 0o1234),
    ("storage", "files", Kind.FILE, "path", "contents", model.Resource(source="data:,a%20longer%20text")),
    ("storage", "files", Kind.FILE, "path", "user", model.NodeUser(id=7)),
    ("storage", "filesystems", Kind.FILESYSTEM, "device", "label", "x"),
    ("systemd", "units", Kind.UNIT, "name", "contents", "a longer text"),
    ("systemd", "units", Kind.UNIT, "name", "dropins", (model.Dropin(name="a.conf", contents="x"),)),
    ("passwd", "users", Kind.USER, "name", "password_hash", "x"),
    ("passwd", "users", Kind.USER, "name", "uid", 4711),
]


@settings(deadline=None)
@given(_CONFIGS)
def test_a_config_does_not_differ_from_itself(one: model.Config) -> None:
    assert not diff(one, one)


@settings(deadline=None)
@given(_CONFIGS, _CONFIGS)
def test_there_is_no_difference_exactly_between_equal_normal_forms(one: model.Config, other: model.Config) -> None:
    assert bool(diff(one, other)) == (normal_form(one) != normal_form(other))


@settings(deadline=None)
@given(_CONFIGS, _CONFIGS)
def test_the_other_way_round_what_was_added_is_removed(one: model.Config, other: model.Config) -> None:
    opposite = {Action.ADDED: Action.REMOVED, Action.REMOVED: Action.ADDED, Action.CHANGED: Action.CHANGED}
    there = [(change.subject, change.action) for change in diff(one, other).changes]
    assert [(change.subject, opposite[change.action]) for change in diff(other, one).changes] == there


@settings(deadline=None)
@given(_CONFIGS, st.data())
def test_one_mutation_is_one_change_at_its_object(one: model.Config, data: st.DataObject) -> None:
    section, name, kind, key, field, value = data.draw(st.sampled_from(_MUTATIONS))
    part = getattr(one, section)
    items = list(getattr(part, name))
    if not items:
        return
    index = data.draw(st.integers(0, len(items) - 1))
    items[index] = msgspec.structs.replace(items[index], **{field: value})
    changed = msgspec.structs.replace(part, **{name: tuple(items)})
    (change,) = diff(one, msgspec.structs.replace(one, **{section: changed})).changes
    assert (change.subject, change.action) == (Subject(kind, getattr(items[index], key)), Action.CHANGED)
    assert len(change.properties) == 1


@settings(deadline=None)
@given(_CONFIGS, st.data())
def test_an_object_taken_away_is_one_removal(one: model.Config, data: st.DataObject) -> None:
    section, name, kind, key, _, _ = data.draw(st.sampled_from(_MUTATIONS))
    part = getattr(one, section)
    items = list(getattr(part, name))
    if not items:
        return
    gone = items.pop(data.draw(st.integers(0, len(items) - 1)))
    changed = msgspec.structs.replace(part, **{name: tuple(items)})
    (change,) = diff(one, msgspec.structs.replace(one, **{section: changed})).changes
    assert (change.subject, change.action) == (Subject(kind, getattr(gone, key)), Action.REMOVED)


@settings(deadline=None)
@given(_CONFIGS, st.randoms(use_true_random=False))
def test_the_order_of_files_units_and_filesystems_has_no_meaning(one: model.Config, random: Any) -> None:
    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(items, len(items)))

    assert one.storage is not None
    assert one.systemd is not None
    storage = msgspec.structs.replace(
        one.storage, files=shuffled(one.storage.files), filesystems=shuffled(one.storage.filesystems)
    )
    systemd = model.Systemd(units=shuffled(one.systemd.units))
    assert not diff(one, msgspec.structs.replace(one, storage=storage, systemd=systemd))
