"""Each rule, at its place, in the specs that have it."""

import json
from typing import Any

import pytest

from ignition.rules import validate

SPECIAL_BITS = "setuid/setgid/sticky bits are not supported or functional in spec versions older than 3.6.0"
SHA512 = "sha512-" + "0" * 128
UNIT = "[Unit]\nA=b"


def config(minor: int = 3, **sections: Any) -> bytes:
    return json.dumps({"ignition": {"version": f"3.{minor}.0"}, **sections}).encode()


def storage(minor: int = 3, **lists: Any) -> bytes:
    return config(minor, storage=lists)


def found(raw: bytes) -> list[str]:
    return [f"{problem.severity}: {problem.path}: {problem.message}" for problem in validate(raw).problems]


def fetching(minor: int, source: str) -> bytes:
    return storage(minor, files=[{"path": "/a", "contents": {"source": source}}])


def luks(minor: int, **settings: Any) -> bytes:
    return storage(minor, luks=[{"name": "a", "device": "/dev/a", **settings}])


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        (storage(files=[{"path": "a"}]), ["error: $.storage.files.0.path: path not absolute"]),
        (storage(files=[{"path": "/a/../b"}]), ["error: $.storage.files.0.path: path is not fully simplified"]),
        (storage(files=[{"path": "//a"}]), ["error: $.storage.files.0.path: path is not fully simplified"]),
        (storage(files=[{}]), ["error: $.storage.files.0.path: path not specified"]),
        (storage(files=[{"path": "/a", "mode": 0o10000}]), ["error: $.storage.files.0.mode: illegal file mode"]),
        (
            storage(directories=[{"path": "/a", "mode": 0o2755}]),
            [f"warning: $.storage.directories.0.mode: {SPECIAL_BITS}"],
        ),
        (storage(files=[{"path": "/a", "overwrite": True}]),
         ["error: $.storage.files.0.overwrite: overwrite must be false if source is unspecified"]),
        (storage(files=[{"path": "/a", "user": {"id": 0, "name": "x"}}]),
         ["error: $.storage.files.0.user: cannot set both id and name"]),
        (storage(files=[{"path": "/a"}], links=[{"path": "/a", "target": "b"}]),
         ["error: $.storage.links.0: duplicate entry defined"]),
        (storage(links=[{"path": "/a"}]), ["error: $.storage.links.0.target: link target is required"]),
        (storage(links=[{"path": "/a", "target": "b"}], files=[{"path": "/a/b"}]),
         ["error: $.storage.files.0: file path includes link in config"]),
        (storage(links=[{"path": "/a/b", "target": "../../c", "hard": True}], directories=[{"path": "/a/c"}]), []),
        (storage(links=[{"path": "/a/b", "target": "/c", "hard": True}], directories=[{"path": "/c"}]),
         ["error: $.storage.links.0: hard link target is a directory"]),
        (storage(files=[{"path": "/a", "contents": {"compression": "xz"}}]),
         ["error: $.storage.files.0.contents.compression: invalid compression method"]),
        (storage(files=[{"path": "/a", "contents": {"verification": {"hash": SHA512}}}]),
         ["error: $.storage.files.0.contents.verification.hash: source must be specified if verification is specified"]),
        (storage(files=[{"path": "/a", "contents": {"source": "data:,", "verification": {"hash": "md5-0"}}}]),
         ["error: $.storage.files.0.contents.verification.hash: unrecognized hash function"]),
        (storage(files=[{"path": "/a", "contents": {"source": "data:,", "verification": {"hash": "sha256-0"}}}]),
         ["error: $.storage.files.0.contents.verification.hash: incorrect size for hash sum"]),
        (storage(files=[{"path": "/a", "contents": {"source": "data:,", "httpHeaders": [{"name": ""}]}}]),
         ["error: $.storage.files.0.contents.httpHeaders: cannot use HTTP headers with this source scheme",
          "error: $.storage.files.0.contents.httpHeaders.0.name: HTTP header name can't be empty"]),
        (storage(disks=[{"device": "/dev/a", "partitions": [{"number": 1}, {"number": 1, "label": "x:y"}]}]),
         ["error: $.storage.disks.0.partitions.1: partition numbers collide",
          "error: $.storage.disks.0.partitions.1.label: partition label will be truncated to text before the colon",
          "error: $.storage.disks.0.partitions.1: duplicate entry defined"]),
        (storage(filesystems=[{"device": "/dev/a", "format": "ntfs"}]),
         ["error: $.storage.filesystems.0.format: invalid filesystem format"]),
        (storage(raid=[{"name": "a", "level": "raid0", "spares": 1, "devices": ["/dev/a"]}]),
         ["error: $.storage.raid.0.level: spares unsupported for linear and raid0 arrays"]),
        (storage(luks=[{"name": "a/b", "device": "/dev/a"}]),
         ["error: $.storage.luks.0.name: device names cannot contain slashes"]),
        (config(passwd={"users": [{"name": "a"}, {"name": "a"}]}), ["error: $.passwd.users.1: duplicate entry defined"]),
        (config(systemd={"units": [{"name": "a.conf"}]}), ["error: $.systemd.units.0.name: invalid systemd unit extension"]),
        (config(systemd={"units": [{"name": "a.service", "dropins": [{"name": "b.service"}]}]}),
         ["error: $.systemd.units.0.dropins.0.name: invalid systemd drop-in extension"]),
        (config(systemd={"units": [{"name": "a.service", "enabled": True, "contents": "[Unit]\nA=b"}]}),
         ['warning: $.systemd.units.0.contents: unit "a.service" is enabled, but has no install section so enable does nothing']),
        (config(systemd={"units": [{"name": "a.service", "contents": "[Unit"}]}),
         ["error: $.systemd.units.0.contents: invalid unit content: unable to find end of section"]),
        (config(kernelArguments={"shouldExist": ["a"], "shouldNotExist": ["a"]}),
         ["error: $.kernelArguments.shouldNotExist.0: duplicate entry defined"]),
    ],
)  # fmt: skip
def test_each_rule_is_reported_at_its_place(raw: bytes, problems: list[str]) -> None:
    assert found(raw) == problems


@pytest.mark.parametrize(("minor", "is_warned"), [(0, True), (5, True), (6, False)])
def test_special_mode_bits_came_with_3_6(minor: int, is_warned: bool) -> None:
    raw = storage(minor, directories=[{"path": "/a", "mode": 0o1777}])
    assert found(raw) == ([f"warning: $.storage.directories.0.mode: {SPECIAL_BITS}"] if is_warned else [])


@pytest.mark.parametrize(("minor", "is_required"), [(2, False), (3, True)])
def test_a_link_needs_a_target_since_3_3(minor: int, is_required: bool) -> None:
    raw = storage(minor, links=[{"path": "/a"}])
    assert found(raw) == (["error: $.storage.links.0.target: link target is required"] if is_required else [])


def test_a_node_where_a_unit_goes_is_reported() -> None:
    units = [{"name": "a.service", "contents": UNIT, "dropins": [{"name": "b.conf", "contents": UNIT}, {"name": "c.conf"}]}]
    paths = ["a.service", "a.service.d/b.conf", "a.service.d/c.conf"]
    files = [{"path": f"/etc/systemd/system/{path}"} for path in paths]
    message = "path conflicts with systemd unit or dropin"
    assert found(config(0, systemd={"units": units}, storage={"files": files})) == [
        f"error: $.storage.files.0.path: {message}",
        f"error: $.storage.files.1.path: {message}",
    ]


def test_a_node_is_reported_once_for_each_link_above_it() -> None:
    links = [{"path": path, "target": "/x"} for path in ("/a", "/a/b", "/ab", "")]
    assert [line for line in found(storage(files=[{"path": "/a/b/c"}], links=links)) if "file path" in line] == [
        "error: $.storage.files.0: file path includes link in config"
    ] * 3


def test_owners_of_hard_links_are_ignored() -> None:
    link = {"path": "/a", "target": "/b", "hard": True, "user": {"id": 0}, "group": {"name": "g"}}
    assert found(storage(0, links=[link])) == [
        "warning: $.storage.links.0.user.id: user/group ignored for hard link",
        "warning: $.storage.links.0.group.name: user/group ignored for hard link",
    ]


@pytest.mark.parametrize(
    ("disk", "message"),
    [
        ({"partitions": [{"number": 1}]}, "filesystem overwrites partitioned device"),
        ({"wipeTable": True}, "device matches disk with wipeTable enabled; filesystem will be wiped"),
        ({}, None),
    ],
)
def test_filesystems_on_disks_that_are_rewritten(disk: dict[str, Any], message: str | None) -> None:
    raw = storage(disks=[{"device": "/dev/a", **disk}], filesystems=[{"device": "/dev/a", "format": "xfs"}])
    assert found(raw) == ([f"warning: $.storage.filesystems.0.device: {message}"] if message else [])


@pytest.mark.parametrize(
    ("spans", "overlapped"),
    [
        ([(1, 10), (11, 10)], None),
        ([(1, 11), (11, 10)], 1),
        ([(11, 10), (30, 1), (1, 11)], 2),
        ([(0, 10), (5, 10)], None),
        ([(5, 0), (1, 10)], 1),
        ([(1, 100), (50, -2)], 1),
    ],
)
def test_partitions_overlap(spans: list[tuple[int, int]], overlapped: int | None) -> None:
    partitions = [{"number": n, "startMiB": start, "sizeMiB": size} for n, (start, size) in enumerate(spans, 1)]
    wanted = [] if overlapped is None else [f"error: $.storage.disks.0.partitions.{overlapped}: partitions overlap"]
    assert found(storage(disks=[{"device": "/dev/a", "partitions": partitions}])) == wanted


def test_partitions_without_number_and_with_an_empty_label_differ() -> None:
    assert found(storage(disks=[{"device": "/dev/a", "partitions": [{}, {"label": ""}]}])) == [
        "error: $.storage.disks.0.partitions.0: a partition number >= 1 or a label must be specified"
    ]


@pytest.mark.parametrize(
    ("minor", "source", "message"),
    [
        (1, "gs://b/o", "invalid url scheme"),
        (2, "gs://b/o", None),
        (3, "arn:aws:s3:::b/k", "invalid url scheme"),
        (4, "arn:aws:s3:::b/k", None),
        (4, "arn:aws:s3:us-west-2:1:accesspoint/a/k", None),
        (4, "arn:aws:s3:us-west-2:1:accesspoint/a", "invalid S3 ARN format"),
        (4, "arn:aws:s3:::b", "invalid S3 ARN format"),
        (4, "arn:aws:ec2:::b/k", "invalid S3 ARN format"),
        (4, "arn:aws:s3:b/k", "invalid S3 ARN format"),
        (4, "arn:/aws:s3:::b/k", "invalid S3 ARN format"),
        (4, "arn:aws:s3:::b/k?versionId=", "invalid S3 object VersionId"),
        (0, "s3://b/k?version%49d=", "invalid S3 object VersionId"),
        (0, "s3://b/k?versionId=;&versionId=1&versionId=", None),
    ],
)
def test_sources_by_spec(minor: int, source: str, message: str | None) -> None:
    assert found(fetching(minor, source)) == ([f"error: $.storage.files.0.contents.source: {message}"] if message else [])


def test_configs_to_merge_and_authorities_need_a_source_since_3_1() -> None:
    def raw(minor: int) -> bytes:
        sections = {"config": {"merge": [{}]}, "security": {"tls": {"certificateAuthorities": [{}]}}}
        return json.dumps({"ignition": {"version": f"3.{minor}.0", **sections}}).encode()

    assert found(raw(0)) == ["error: $.ignition.security.tls.certificateAuthorities.0.source: invalid url scheme"]
    assert found(raw(1)) == [
        "error: $.ignition.config.merge.0: source is required",
        "error: $.ignition.security.tls.certificateAuthorities.0: source is required",
    ]


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        (luks(2, clevis={"custom": {"pin": "x", "config": "y"}}), ["clevis.custom.pin: unsupported clevis pin"]),
        (luks(5, clevis={"custom": {"pin": "x", "config": "y"}}), ["clevis.custom.pin: unsupported clevis pin"]),
        (luks(6, clevis={"custom": {"pin": "x", "config": "y"}}), []),
        (luks(2, clevis={"custom": {"needsNetwork": True}}), []),
        (luks(3, clevis={"custom": {"needsNetwork": True}}),
         ["clevis.custom.pin: missing required custom clevis pin",
          "clevis.custom.config: missing required custom clevis config"]),
        (luks(2, clevis={"custom": {}, "tpm2": True}),
         ["clevis: cannot use custom clevis config with tpm2, tang, or threshold"]),
        (luks(3, clevis={"custom": {}, "tpm2": True}), []),
        (luks(5, cex={"enabled": True}, clevis={"threshold": 1}), ["cex: cannot use cex with clevis"]),
        (luks(5, cex={"enabled": True}, keyFile={"source": "data:,"}), ["cex: cannot use key file with cex"]),
        (luks(5, cex={"enabled": False}, clevis={"tpm2": True}), []),
        (luks(4, discard=True, openOptions=["a"], options=["a", "a"]), []),
        (luks(4, clevis={"tang": [{"url": "http://h", "thumbprint": "a", "advertisement": "{"}]}),
         ["clevis.tang.0.advertisement: advertisement is not valid JSON"]),
        (luks(4, clevis={"tang": [{"url": "http://h", "thumbprint": "a", "advertisement": "[1e99]"}]}), []),
        (luks(4, clevis={"tang": [{"url": "http://h", "thumbprint": "a", "advertisement": "[1e999]"}]}),
         ["clevis.tang.0.advertisement: advertisement is not valid JSON"]),
        (luks(4, keyFile={"source": "x:"}), ["keys: invalid key-file source", "keyFile.source: invalid url scheme"]),
    ],
)  # fmt: skip
def test_luks_by_spec(raw: bytes, problems: list[str]) -> None:
    assert found(raw) == [f"error: $.storage.luks.0.{problem}" for problem in problems]


@pytest.mark.parametrize(
    ("template", "is_warned"), [(UNIT, True), (UNIT + "\n[Install]\nWantedBy=x", False), ("[Install]", True), ("[Unit", False)]
)
def test_enabled_instances_need_a_template_with_an_install_section(template: str, is_warned: bool) -> None:
    units = [{"name": "a@.service", "contents": template}, {"name": "a@b@c.service", "enabled": True}]
    message = 'template unit "a@.service" for "a@b@c.service" doesn\'t have Install section'
    warnings = [line for line in found(config(0, systemd={"units": units})) if line.startswith("warning")]
    assert warnings == ([f"warning: $.systemd.units.1.contents: {message}"] if is_warned else [])
