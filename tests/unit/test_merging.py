"""A child config laid over its parent."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ignition.errors import DocumentError
from ignition.merging import merge, merge_in_spec
from ignition.model import Config
from ignition.specs import UnknownSpec, translate
from tests.typed_configs import sections_of, typed


def files(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"storage": {"files": list(entries)}}


def users(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"passwd": {"users": list(entries)}}


def units(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"systemd": {"units": list(entries)}}


def arguments(**lists: list[str]) -> dict[str, Any]:
    return {"kernelArguments": lists}


def partitions(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"storage": {"disks": [{"device": "/dev/a", "partitions": list(entries)}]}}


def luks(**settings: Any) -> dict[str, Any]:
    return {"storage": {"luks": [{"name": "l", **settings}]}}


def with_headers(*headers: dict[str, str]) -> dict[str, Any]:
    return files({"path": "/a", "contents": {"source": "http://h", "httpHeaders": list(headers)}})


@pytest.mark.parametrize(
    ("parent", "child", "merged"),
    [
        pytest.param(
            files({"path": "/a", "mode": 1, "overwrite": True}),
            files({"path": "/a", "mode": 2}),
            files({"path": "/a", "mode": 2, "overwrite": True}),
            id="the child's value wins, and the rest stays",
        ),
        pytest.param(
            files({"path": "/a", "contents": {"source": "data:,x", "compression": "gzip"}}),
            files({"path": "/a", "contents": {"source": "data:,y"}}),
            files({"path": "/a", "contents": {"source": "data:,y", "compression": "gzip"}}),
            id="a resource is merged field by field",
        ),
        pytest.param(
            files({"path": "/b"}, {"path": "/a"}),
            files({"path": "/c"}, {"path": "/a"}, {"path": "/d"}),
            files({"path": "/b"}, {"path": "/a"}, {"path": "/c"}, {"path": "/d"}),
            id="the parent's order, then the child's new entries in theirs",
        ),
        pytest.param(
            files({"path": "/a", "append": [{"source": "data:,x"}]}),
            files({"path": "/a", "append": [{"source": "data:,x"}]}),
            files({"path": "/a", "append": [{"source": "data:,x"}, {"source": "data:,x"}]}),
            id="append repeats",
        ),
        pytest.param(
            users({"name": "core", "groups": ["a", "b"], "sshAuthorizedKeys": ["k"]}),
            users({"name": "core", "groups": ["c", "a"], "sshAuthorizedKeys": ["k"]}),
            users({"name": "core", "groups": ["a", "b", "c"], "sshAuthorizedKeys": ["k"]}),
            id="lists of texts are united",
        ),
        pytest.param(
            {"storage": {"files": [{"path": "/a", "mode": 1}, {"path": "/b"}], "links": [{"path": "/c", "target": "x"}]}},
            {"storage": {"directories": [{"path": "/a"}], "files": [{"path": "/c", "mode": 2}]}},
            {"storage": {"directories": [{"path": "/a"}], "files": [{"path": "/b"}, {"path": "/c", "mode": 2}]}},
            id="a node of another kind replaces and inherits nothing",
        ),
        pytest.param(
            arguments(shouldExist=["a", "b"], shouldNotExist=["c"]),
            arguments(shouldExist=["c"], shouldNotExist=["b"]),
            arguments(shouldExist=["a", "c"], shouldNotExist=["b"]),
            id="a kernel argument either should exist or should not",
        ),
        pytest.param(
            with_headers({"name": "A", "value": "1"}, {"name": "B", "value": "1"}),
            with_headers({"name": "A"}, {"name": "B", "value": "2"}, {"name": "C"}),
            with_headers({"name": "B", "value": "2"}, {"name": "C"}),
            id="a header without value removes the parent's, and stays where there is none",
        ),
        pytest.param(
            units({"name": "a.service", "contents": "[Unit]", "dropins": [{"name": "x.conf", "contents": "1"}]}),
            units({"name": "a.service", "contents": "", "enabled": False, "dropins": [{"name": "x.conf"}, {"name": "y.conf"}]}),
            units(
                {
                    "name": "a.service",
                    "contents": "",
                    "enabled": False,
                    "dropins": [{"name": "x.conf", "contents": "1"}, {"name": "y.conf"}],
                }
            ),
            id="an empty text replaces, an absent one does not",
        ),
        pytest.param(
            partitions({"number": 1, "label": "x"}, {"label": "y", "sizeMiB": 1}),
            partitions({"label": "y", "resize": True}, {"label": "x"}),
            partitions({"number": 1, "label": "x"}, {"label": "y", "sizeMiB": 1, "resize": True}, {"label": "x"}),
            id="partitions match by number, and by label when both have none",
        ),
        pytest.param(
            {"storage": {"filesystems": [{"device": "/dev/a", "options": ["-a"], "mountOptions": ["ro"]}]}},
            {"storage": {"filesystems": [{"device": "/dev/a", "options": ["-a"], "mountOptions": ["ro"]}]}},
            {"storage": {"filesystems": [{"device": "/dev/a", "options": ["-a", "-a"], "mountOptions": ["ro", "ro"]}]}},
            id="options of tools repeat",
        ),
        pytest.param(
            luks(openOptions=["-a"], options=["-b"], clevis={"tpm2": True}),
            luks(openOptions=["-a"], options=["-b"], clevis={"threshold": 1}),
            luks(openOptions=["-a"], options=["-b", "-b"], clevis={"tpm2": True, "threshold": 1}),
            id="but options to open a LUKS volume do not",
        ),
    ],
)  # fmt: skip
def test_a_child_is_laid_over_its_parent(parent: Any, child: Any, merged: Any) -> None:
    assert sections_of(merge(typed(6, **parent), typed(6, **child))) == merged


def test_the_ignition_section_is_merged_too() -> None:
    source = {"merge": [{"source": "http://a", "compression": "gzip"}], "replace": {"source": "http://r"}}
    parent = typed(6, ignition={"config": source, "timeouts": {"httpTotal": 0}, "proxy": {"noProxy": ["a"]}})
    child = typed(
        6, ignition={"config": {"merge": [{"source": "http://b"}, {"source": "http://a"}]}, "proxy": {"noProxy": ["b"]}}
    )
    assert merge(parent, child) == typed(
        6,
        ignition={
            "config": {
                "merge": [{"source": "http://a", "compression": "gzip"}, {"source": "http://b"}],
                "replace": {"source": "http://r"},
            },
            "timeouts": {"httpTotal": 0},
            "proxy": {"noProxy": ["a", "b"]},
        },
    )


def test_of_two_specs_the_newer_is_that_of_the_result() -> None:
    old, new = typed(3, **files({"path": "/a", "mode": 0o4755})), typed(6, **files({"path": "/b", "mode": 0o4755}))
    expected = files({"path": "/a", "mode": 0o755}, {"path": "/b", "mode": 0o4755})
    assert merge(old, new) == typed(6, **expected)
    assert merge(new, old) == typed(6, **files(*reversed(expected["storage"]["files"])))


def test_ignition_merges_in_its_newest_spec() -> None:
    merged = merge(typed(2, **files({"path": "/a", "mode": 0o4755})), typed(2, **users({"name": "core"})))
    assert merged == typed(6, **files({"path": "/a", "mode": 0o755}), **users({"name": "core"}))


def test_configs_of_one_old_spec_can_stay_in_it() -> None:
    merged = merge_in_spec(typed(2, **files({"path": "/a", "mode": 0o4755})), typed(2, **users({"name": "core"})))
    assert merged == typed(2, **files({"path": "/a", "mode": 0o4755}), **users({"name": "core"}))


def test_texts_are_parsed_first() -> None:
    parent, child = (
        b'{"ignition": {"version": "3.3.0"}}',
        '{"ignition": {"version": "3.3.0"}, "systemd": {"units": [{"name": "a.timer"}]}}',
    )
    assert merge(parent, child) == typed(6, **units({"name": "a.timer"}))


def test_a_text_that_ignition_refuses_is_not_merged() -> None:
    with pytest.raises(DocumentError, match=r"config\.ign:1: error: \$\.storage\.files\.0\.path: path not absolute"):
        merge(typed(3), '{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "a"}]}}')


def test_a_typed_config_needs_a_stable_spec() -> None:
    with pytest.raises(UnknownSpec, match="the config's spec is ''"):
        merge(Config(), typed(3))


# Properties. Names are few, so that entries meet.

_NAMES = st.sampled_from("abc")
_TEXTS = st.sampled_from(["", "x", "y"])


def _entries(key: str, prefix: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    entry = st.fixed_dictionaries({key: _NAMES.map(prefix.__add__)}, optional=fields)
    return st.lists(entry, max_size=3, unique_by=lambda entry: str(entry[key]))


_HEADERS = _entries("name", "X-", value=_TEXTS)
_RESOURCES = st.fixed_dictionaries({}, optional={"source": _TEXTS, "compression": _TEXTS, "httpHeaders": _HEADERS})
_SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.integers(0, 0o7777),
    "user": st.fixed_dictionaries({}, optional={"id": st.just(0)}),
}
_STORAGE = {
    "directories": _entries("path", "/", **_SETTINGS),
    "files": _entries("path", "/", contents=_RESOURCES, append=st.lists(_RESOURCES, max_size=2), **_SETTINGS),
    "links": _entries("path", "/", target=_TEXTS, hard=st.booleans()),
    "raid": _entries("name", "md", level=_TEXTS, options=st.lists(_TEXTS, max_size=2), devices=st.lists(_TEXTS, unique=True)),
}
_CUSTOM = st.fixed_dictionaries({}, optional={"pin": _TEXTS, "config": _TEXTS, "needsNetwork": st.booleans()})
_LUKS = _entries("name", "", clevis=st.fixed_dictionaries({}, optional={"custom": _CUSTOM, "threshold": st.just(1)}))
_SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "storage": st.fixed_dictionaries({}, optional={**_STORAGE, "luks": _LUKS}),
        "passwd": st.fixed_dictionaries({}, optional={"users": _entries("name", "", groups=st.lists(_NAMES, unique=True))}),
        "systemd": st.fixed_dictionaries(
            {}, optional={"units": _entries("name", "", dropins=_entries("name", "", contents=_TEXTS))}
        ),
    },
)


def configs(minor: int) -> st.SearchStrategy[Config]:
    """Configs of spec 3.`minor` whose entries are unique, but that need not be valid otherwise."""
    return _SECTIONS.map(lambda sections: typed(minor, **sections)).filter(_is_unambiguous)


def _kinds(*some: Config) -> set[tuple[str, str]]:
    """Each path with each kind of node it is in one of the configs."""
    kinds: set[tuple[str, str]] = set()
    for storage in (config.storage for config in some if config.storage is not None):
        kinds |= {(directory.path, "directory") for directory in storage.directories}
        kinds |= {(file.path, "file") for file in storage.files}
        kinds |= {(link.path, "link") for link in storage.links}
    return kinds


def _is_unambiguous(*some: Config) -> bool:
    """No path is of two kinds."""
    kinds = _kinds(*some)
    return len({path for path, _ in kinds}) == len(kinds)


@given(configs(6))
def test_a_config_without_settings_is_the_identity(config: Config) -> None:
    assert merge(typed(6), config) == merge(config, typed(6)) == config


def _has_removals(config: Config) -> bool:
    resources = [
        resource for file in (config.storage.files if config.storage else ()) for resource in (file.contents, *file.append)
    ]
    return any(header.value is None for resource in resources if resource for header in resource.http_headers)


def _is_steady(*some: Config) -> bool:
    """No entry changes its kind from one config to another, and none is removed."""
    return _is_unambiguous(*some) and not any(map(_has_removals, some))


@given(configs(6), configs(6), configs(6))
def test_merging_is_associative_unless_entries_are_removed(a: Config, b: Config, c: Config) -> None:
    assume(_is_steady(a, b, c))
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


def test_merging_is_not_associative_where_an_entry_changes_its_kind() -> None:
    file, directory = typed(6, **files({"path": "/a", "mode": 1})), typed(6, storage={"directories": [{"path": "/a"}]})
    other = typed(6, **files({"path": "/a", "overwrite": False}))
    assert merge(merge(file, directory), other) == other
    assert merge(file, merge(directory, other)) == typed(6, **files({"path": "/a", "mode": 1, "overwrite": False}))


def test_merging_is_not_associative_where_a_header_is_removed() -> None:
    first, second, removal = (typed(6, **with_headers({"name": "A", **value})) for value in ({"value": "1"}, {"value": "2"}, {}))
    assert merge(merge(first, second), removal) == typed(6, **with_headers())
    assert merge(first, merge(second, removal)) == first


def _repeats(config: Config) -> bool:
    return config.storage is not None and any(
        (*(file.append for file in config.storage.files), *(array.options for array in config.storage.raid))
    )


@given(configs(6))
def test_merging_a_config_with_itself_changes_nothing_unless_lists_repeat(config: Config) -> None:
    assume(not _repeats(config) and _is_steady(config))
    assert merge(config, config) == config


@given(configs(6), configs(6))
def test_a_merged_config_has_the_nodes_of_both(parent: Config, child: Config) -> None:
    merged = _kinds(merge(parent, child))
    assert {path for path, _ in merged} == {path for path, _ in _kinds(parent, child)}
    assert merged >= _kinds(child)


@pytest.mark.parametrize("minor", [2, 3, 5])
@given(st.data())
def test_merging_and_translating_can_be_exchanged(minor: int, data: st.DataObject) -> None:
    parent, child = data.draw(configs(minor)), data.draw(configs(minor))
    newest = merge(translate(parent, "3.6.0"), translate(child, "3.6.0"))
    assert translate(merge(parent, child), "3.6.0") == newest
    assert merge(parent, translate(child, "3.6.0")) == newest
