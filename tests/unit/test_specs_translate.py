"""Configs from one spec to another, up as Ignition does it and down without loss."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ignition.errors import DocumentError
from ignition.model import Config, Storage, encode
from ignition.rules import validate
from ignition.specs import SPECS, LossyTranslation, UnknownSpec, translate
from tests.configs import valid_configs
from tests.typed_configs import sections_of, typed


def a_file(**settings: Any) -> dict[str, Any]:
    return {"storage": {"files": [{"path": "/a", **settings}]}}


def a_luks(**settings: Any) -> dict[str, Any]:
    return {"storage": {"luks": [{"name": "l", "device": "/dev/a", **settings}]}}


def a_filesystem(**settings: Any) -> dict[str, Any]:
    return {"storage": {"filesystems": [{"device": "/dev/a", **settings}]}}


def a_partition(**settings: Any) -> dict[str, Any]:
    return {"storage": {"disks": [{"device": "/dev/a", "partitions": [settings]}]}}


def tang(**settings: Any) -> dict[str, Any]:
    return a_luks(clevis={"tang": [{"url": "http://t", "thumbprint": "x", **settings}]})


@pytest.mark.parametrize(
    ("minor", "version", "before", "after"),
    [
        pytest.param(3, "3.4.0", a_file(mode=0o7644), a_file(mode=0o644), id="3.4 masks special mode bits"),
        pytest.param(3, "3.4.0", a_file(mode=-1), a_file(mode=-0o7001), id="a negative mode is masked as Go masks it"),
        pytest.param(4, "3.5.0", a_file(mode=0o7644), a_file(mode=0o7644), id="3.5 does not"),
        pytest.param(5, "3.6.0", a_file(mode=0o7644), a_file(mode=0o644), id="3.6 does again"),
        pytest.param(4, "3.5.0", tang(advertisement="{}"), tang(), id="3.5 drops the advertisement of a Tang server"),
        pytest.param(5, "3.6.0", tang(advertisement="{}"), tang(advertisement="{}"), id="3.6 keeps it"),
        pytest.param(
            2,
            "3.3.0",
            {"storage": {"links": [{"path": "/l"}], "raid": [{"name": "m"}]}},
            {"storage": {"links": [{"path": "/l", "target": ""}], "raid": [{"name": "m", "level": ""}]}},
            id="texts that became optional in 3.3 are there",
        ),
        pytest.param(
            2,
            "3.3.0",
            a_luks(clevis={"custom": {"needsNetwork": False}}),
            a_luks(clevis={"custom": {"config": "", "needsNetwork": False, "pin": ""}}),
            id="those of a custom Clevis pin too",
        ),
        pytest.param(
            2,
            "3.3.0",
            a_luks(clevis={"custom": {}}),
            a_luks(clevis={"custom": {"config": "", "pin": ""}}),
            id="even where it is empty",
        ),
        pytest.param(2, "3.3.0", a_luks(clevis={}), a_luks(), id="an empty Clevis section became none"),
        pytest.param(1, "3.2.0", a_file(mode=0o7644), a_file(mode=0o7644), id="other steps change nothing"),
    ],
)
def test_newer_specs_are_reached_as_ignition_does(minor: int, version: str, before: Any, after: Any) -> None:
    translated = translate(typed(minor, **before), version)
    assert (translated.ignition.version, sections_of(translated)) == (version, after)


def test_a_config_stays_as_it_is_in_its_own_spec() -> None:
    config = typed(2, **a_file(mode=0o7644))
    assert translate(config, "3.2.0") == config


def test_a_version_that_only_ignition_reads_is_written_properly() -> None:
    text = '{"ignition": {"version": "3.03.0+"}}'
    assert translate(text, "3.3.0") == typed(3)


def refusal_of(config: Config | str, version: str) -> LossyTranslation:
    with pytest.raises(LossyTranslation) as refusal:
        translate(config, version)
    return refusal.value


@pytest.mark.parametrize(
    ("minor", "sections", "path"),
    [
        (5, a_luks(cex={"enabled": True}), "storage.luks.0.cex"),
        (4, a_luks(discard=False), "storage.luks.0.discard"),
        (4, a_luks(openOptions=["-a"]), "storage.luks.0.openOptions"),
        (4, tang(advertisement='{"payload": "p"}'), "storage.luks.0.clevis.tang.0.advertisement"),
        (3, {"kernelArguments": {"shouldExist": ["a"]}}, "kernelArguments"),
        (2, a_luks(), "storage.luks"),
        (2, {"passwd": {"users": [{"name": "a", "shouldExist": False}]}}, "passwd.users.0.shouldExist"),
        (2, {"passwd": {"groups": [{"name": "a", "shouldExist": True}]}}, "passwd.groups.0.shouldExist"),
        (2, a_partition(number=1, resize=True), "storage.disks.0.partitions.0.resize"),
        (1, {"ignition": {"proxy": {"noProxy": ["a"]}}}, "ignition.proxy"),
        (1, {"ignition": {"config": {"replace": {"compression": "gzip"}}}}, "ignition.config.replace.compression"),
        (1, a_file(contents={"source": "http://h", "httpHeaders": [{"name": "A"}]}), "storage.files.0.contents.httpHeaders"),
        (1, a_filesystem(format="ext4", mountOptions=["ro"]), "storage.filesystems.0.mountOptions"),
    ],
)  # fmt: skip
def test_a_field_that_an_older_spec_does_not_know_is_named(minor: int, sections: Any, path: str) -> None:
    older = SPECS[minor - 1].version
    problems = refusal_of(typed(minor, **sections), older).problems
    assert list(map(str, problems)) == [f"error at $.{path}: spec {older} has no such field; spec {SPECS[minor]} brought it"]


@pytest.mark.parametrize(
    ("minor", "sections", "path", "message"),
    [
        (
            6,
            a_luks(clevis={"custom": {"pin": "own", "config": "x"}}),
            "storage.luks.0.clevis.custom.pin",
            "unsupported clevis pin",
        ),
        (4, a_file(contents={"source": "arn:aws:s3:::b/k"}), "storage.files.0.contents.source", "invalid url scheme"),
        (3, a_filesystem(format="none"), "storage.filesystems.0.format", "invalid filesystem format"),
        (2, a_file(contents={"source": "gs://b/k"}), "storage.files.0.contents.source", "invalid url scheme"),
        (
            1,
            a_file(contents={"source": "http://h", "verification": {"hash": f"sha256-{'0' * 64}"}}),
            "storage.files.0.contents.verification.hash",
            "unrecognized hash function",
        ),
    ],
)
def test_a_value_that_an_older_spec_refuses_is_named(minor: int, sections: Any, path: str, message: str) -> None:
    older = SPECS[minor - 1].version
    problems = refusal_of(typed(minor, **sections), older).problems
    assert list(map(str, problems)) == [f"error at $.{path}: {message} in spec {older}; spec {SPECS[minor]} accepts it"]


@pytest.mark.parametrize(
    ("minor", "older", "since"), [(6, "3.5.0", "3.6.0"), (6, "3.3.0", "3.6.0"), (5, "3.3.0", "3.4.0"), (4, "3.0.0", "3.4.0")]
)
def test_special_mode_bits_do_not_go_where_they_have_no_effect(minor: int, older: str, since: str) -> None:
    config = typed(minor, storage={"directories": [{"path": "/d", "mode": 0o1777}], "files": [{"path": "/f", "mode": 0o644}]})
    [problem] = refusal_of(config, older).problems
    assert problem.path == "$.storage.directories.0.mode"
    assert problem.message == f"setuid, setgid and sticky have no effect in spec {older}; spec {since} brought them"


@pytest.mark.parametrize(("minor", "older"), [(5, "3.4.0"), (3, "3.0.0")])
def test_special_mode_bits_go_where_they_have_no_more_effect(minor: int, older: str) -> None:
    config = typed(minor, **a_file(mode=0o1777))
    assert translate(config, older) == config.in_version(older)


def test_every_value_in_the_way_is_named_with_its_own_spec() -> None:
    config = {
        "ignition": {"version": "3.6.0"},
        "kernelArguments": {"shouldExist": ["a"]},
        "storage": {"files": [{"path": "/a", "mode": 0o4755}], "luks": [{"name": "l", "device": "/dev/a", "discard": True}]},
    }
    refusal = refusal_of(typed(6, **config), "3.1.0")
    assert refusal.version == "3.1.0"
    assert [(problem.path, problem.hint) for problem in refusal.problems] == [
        ("$.kernelArguments", "Ignition 2.11 and newer read spec 3.3.0"),
        ("$.storage.luks", "Ignition 2.7 and newer read spec 3.2.0"),
        ("$.storage.luks.0.discard", "Ignition 2.15 and newer read spec 3.4.0"),
        ("$.storage.files.0.mode", "Ignition 2.26 and newer read spec 3.6.0"),
    ]


def test_in_a_text_the_values_have_lines() -> None:
    text = '{"ignition": {"version": "3.3.0"},\n "kernelArguments": {"shouldExist": ["a"]}}'
    assert list(map(str, refusal_of(text, "3.2.0").problems)) == [
        "error at $.kernelArguments, line 2 col 22: spec 3.2.0 has no such field; spec 3.3.0 brought it"
    ]


def test_an_invalid_config_is_not_called_lossy() -> None:
    with pytest.raises(DocumentError) as refusal:
        translate(typed(3, **a_file(path="a")), "3.2.0")
    assert not isinstance(refusal.value, LossyTranslation)
    assert list(map(str, refusal.value.problems)) == ["error at $.storage.files.0.path: path not absolute"]


@pytest.mark.parametrize("version", ["3.7.0", "3.7.0-experimental", "3.3", "2.4.0", "", "3.3.0\n", "\u0663.3.0"])
def test_the_known_versions_are_named_for_any_other(version: str) -> None:
    with pytest.raises(UnknownSpec, match=r"known are 3\.0\.0, 3\.1\.0, 3\.2\.0, 3\.3\.0, 3\.4\.0, 3\.5\.0, 3\.6\.0") as refusal:
        translate(typed(3), version)
    assert refusal.value.version == version


def test_a_config_of_an_unknown_spec_is_refused() -> None:
    with pytest.raises(UnknownSpec, match=r"the config's spec is '3\.9\.0'"):
        translate(typed(9), "3.6.0")


# Properties, over valid configs.


@st.composite
def _steps(draw: st.DrawFn, number: int) -> tuple[int, ...]:
    """Some different minor versions, ascending."""
    return tuple(sorted(draw(st.lists(st.integers(0, 6), min_size=number, max_size=number, unique=True))))


def rarely(count: int) -> settings:
    """A whole config takes a while to make."""
    return settings(deadline=None, max_examples=count, suppress_health_check=list(HealthCheck))


def _loses_by_rising(config: Config, minor: int, target: int) -> bool:
    """Whether Ignition itself loses something of the config on the way up."""
    storage = config.storage or Storage()
    modes = [file.mode for file in storage.files] + [directory.mode for directory in storage.directories]
    has_bits = any(mode is not None and mode & 0o7000 for mode in modes)
    has_advertisements = any(tang.advertisement is not None for luks in storage.luks if luks.clevis for tang in luks.clevis.tang)
    return (has_bits and any(minor < step <= target for step in (4, 6))) or (has_advertisements and minor == 4 < target)


def _lowered(config: Config, minor: int) -> Config | None:
    try:
        return translate(config, SPECS[minor].version)
    except LossyTranslation:
        return None


@rarely(25)
@given(st.data(), _steps(2))
def test_down_undoes_up(data: st.DataObject, steps: tuple[int, ...]) -> None:
    low, high = steps
    config = typed(low, **data.draw(valid_configs(low)))
    assume(not _loses_by_rising(config, low, high))
    assert translate(translate(config, SPECS[high].version), SPECS[low].version) == config


@rarely(25)
@given(st.data(), _steps(2))
def test_up_undoes_down_and_the_older_config_is_valid(data: st.DataObject, steps: tuple[int, ...]) -> None:
    low, high = steps
    config = typed(high, **data.draw(valid_configs(high)))
    if (lowered := _lowered(config, low)) is not None:
        assert lowered.ignition.version == SPECS[low].version
        assert not validate(encode(lowered)).is_fatal
        assert _loses_by_rising(lowered, low, high) or translate(lowered, SPECS[high].version) == config


@rarely(25)
@given(st.data(), _steps(3))
def test_what_goes_down_far_goes_down_less_far_too(data: st.DataObject, steps: tuple[int, ...]) -> None:
    low, middle, high = steps
    config = typed(high, **data.draw(valid_configs(high)))
    if (lowered := _lowered(config, low)) is not None:
        assert translate(translate(config, SPECS[middle].version), SPECS[low].version) == lowered
