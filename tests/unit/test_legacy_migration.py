"""What becomes of each part of a spec 2 config, and which of them are refused."""

import json
from typing import Any

import pytest

from ignition import model
from ignition.document import DocumentError
from ignition.legacy import Effect, Fate, Migration, migrate
from ignition.specs import UnknownSpec

SPEC = "3.3.0"
ROOT = {"filesystem": "root", "mode": 0o644}


def migrated(version: str = "2.3.0", mount_points: dict[str, str] | None = None, **sections: Any) -> Migration:
    ignition = {"version": version} | sections.pop("ignition", {})
    return migrate(json.dumps({"ignition": ignition, **sections}), SPEC, "old.ign", mount_points or {})


def files(*entries: dict[str, Any], **more: Any) -> tuple[model.File, ...]:
    storage = migrated(storage={"files": [ROOT | entry for entry in entries]}, **more).unwrap().storage
    return storage.files if storage else ()


def units(*entries: dict[str, Any]) -> tuple[model.Unit, ...]:
    systemd = migrated(systemd={"units": list(entries)}).unwrap().systemd
    return systemd.units if systemd else ()


def errors(migration: Migration) -> list[tuple[str, str]]:
    assert migration.config is None
    return [(problem.path, problem.message) for problem in migration.problems if problem.is_error]


@pytest.mark.parametrize("minor", range(5))
def test_every_stable_version_of_spec_2_is_read(minor: int) -> None:
    config = migrated(f"2.{minor}.0").unwrap()
    assert config == model.Config(ignition=model.Ignition(version=SPEC))


@pytest.mark.parametrize(
    ("text", "located"),
    [
        ('{"ignitionVersion": 1}', "a.ign:1: error: $.ignitionVersion: configs of spec 1 are not migrated, only 2.0.0 to 2.4.0"),
        ('{"ignition": {"version": "3.2.0"}}', "a.ign:1: error: $.ignition.version: unsupported config version (it needs no mig"),
        ('{"ignition": {"version": "2.5.0-experimental"}}', "a.ign:1: error: $.ignition.version: unsupported config version (mi"),
        ('{"ignition": {"version": 2}}', "a.ign:1: error: $.ignition.version: invalid config version (couldn't parse)"),
        ("{}", "a.ign:1: error: $.ignition.version: invalid config version (couldn't parse)"),
        ("", "a.ign:1: error: not a config (empty)"),
        ("#cloud-config\nhostname: a", "a.ign:1: error: not a config (found coreos-cloudconfig)"),
        ("#!/bin/sh", "a.ign:1: error: not a config (found coreos-cloudinit script)"),
        ("systemd:\n  units: []", "a.ign:1: error: invalid character 's' looking for beginning of value (only JSON is read"),
        ('{"ignition": ', "a.ign:1: error: unexpected end of JSON input"),
    ],
)
def test_what_is_no_config_of_spec_2_is_refused(text: str, located: str) -> None:
    migration = migrate(text, SPEC, "a.ign")
    assert migration.config is None
    assert next(problem.located for problem in migration.problems).startswith(located)


def test_bytes_and_text_are_the_same() -> None:
    text = '{"ignition": {"version": "2.0.0"}}'
    assert migrate(text, SPEC) == migrate(text.encode(), SPEC)


def test_an_unknown_target_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UnknownSpec):
        migrate("{}", "3.9.0")


def test_values_of_the_wrong_type_are_refused_where_they_stand() -> None:
    migration = migrate('{"ignition": {"version": "2.0.0"},\n "storage": {"files": [{"mode": "0644"}]}}', SPEC, "old.ign")
    assert [problem.located.partition(" cannot")[0] for problem in migration.problems] == [
        "old.ign:2: error: $.storage.files.0.mode: json:"
    ]
    with pytest.raises(DocumentError, match=r"old\.ign:2: error"):
        migration.unwrap()


def test_a_key_that_came_with_a_later_version_is_unused() -> None:
    migration = migrated("2.1.0", storage={"files": [ROOT | {"path": "/a", "append": True}]})
    assert [(problem.path, problem.message, problem.hint) for problem in migration.problems] == [
        ("$.storage.files.0.append", "Unused key append", "it came with spec 2.2.0")
    ]
    assert migration.unwrap().storage == model.Storage(
        files=(model.File(overwrite=True, path="/a", contents=model.Resource(source="data:,"), mode=0o644),)
    )


def test_keys_that_no_spec_has_are_unused_and_those_in_another_case_are_read_all_the_same() -> None:
    migration = migrated(systemd={"units": [{"Name": "a.path", "color": "red"}], "swap": {"name": 1}})
    assert [str(problem).partition(",")[0] for problem in migration.problems] == [
        "warning at $.systemd.units.0.Name",
        "warning at $.systemd.units.0.color",
        "warning at $.systemd.swap",
    ]
    assert migration.unwrap().systemd == model.Systemd(units=(model.Unit(name="a.path"),))


def test_a_change_is_one_line_with_its_place() -> None:
    migration = migrate('{"ignition": {"version": "2.0.0"},\n "systemd": {"units": [{"name": "a.path", "enable": true}]}}', SPEC)
    (change,) = migration.changes
    assert str(change) == (
        "info at $.systemd.units.0.enable, line 2 col 53: enable true, changed to enabled true: spec 3 has no enable"
    )
    assert (change.effect, change.fate) == (Effect.SAME, Fate.CHANGED)


def test_the_rules_of_spec_3_are_shown_in_the_old_config() -> None:
    node = {"filesystem": "root", "mode": 0}
    first, again, below = node | {"path": "/a"}, node | {"path": "/a"}, node | {"path": "/l/b"}
    storage = {"files": [first, again, below], "links": [{"filesystem": "root", "path": "/l", "target": "/t"}]}
    assert errors(migrated(storage=storage)) == [("$.storage.files.2", "file path includes link in config")]


def test_files_overwrite_by_default_and_empty_ones_have_a_source() -> None:
    assert files({"path": "/a"}, {"path": "/b", "overwrite": False, "contents": {"source": "data:,b"}}) == (
        model.File(overwrite=True, path="/a", contents=model.Resource(source="data:,"), mode=0o644),
        model.File(overwrite=False, path="/b", contents=model.Resource(source="data:,b"), mode=0o644),
    )


def test_without_a_source_nothing_is_unpacked_or_verified() -> None:
    contents = {"compression": "gzip", "verification": {"hash": "sha512-" + "0" * 128}}
    (file,) = files({"path": "/a", "contents": contents})
    assert file.contents == model.Resource(source="data:,")


def test_entries_for_one_file_are_laid_over_each_other() -> None:
    written, more = {"contents": {"source": "data:,1"}}, {"append": True, "contents": {"source": "data:,2"}, "mode": None}
    assert files({"path": "/a"}, {"path": "/a", **written}, {"path": "/a", **more}) == (
        model.File(
            overwrite=True,
            path="/a",
            append=(model.Resource(source="data:,2"),),
            contents=model.Resource(source="data:,1"),
            mode=0o644,
        ),
    )


def test_a_second_file_that_must_not_overwrite_is_refused() -> None:
    storage = {"files": [ROOT | {"path": "/a"}, ROOT | {"path": "/a", "overwrite": False}]}
    assert errors(migrated(storage=storage)) == [
        ("$.storage.files.1", "$.storage.files.0 writes the same file, and overwrite is false")
    ]


def test_append_and_overwrite_are_refused_together() -> None:
    storage = {"files": [ROOT | {"path": "/a", "append": True, "overwrite": True}]}
    assert errors(migrated(storage=storage)) == [("$.storage.files.0", "cannot set both append and overwrite to true")]


@pytest.mark.parametrize(("said", "mode"), [({"mode": 0o4755}, 0o755), ({"mode": 0}, 0), ({"mode": None}, 0)])
def test_permissions_are_those_that_spec_2_gave(said: dict[str, Any], mode: int) -> None:
    (file,) = files({"path": "/a", **said})
    assert file.mode == mode


def test_equal_directories_are_one_and_others_are_refused() -> None:
    directory = {"filesystem": "root", "path": "/a", "mode": 0o755}
    storage = {"directories": [directory, directory | {"path": "/a/"}, directory | {"mode": 0o700}]}
    assert errors(migrated(storage=storage)) == [
        ("$.storage.directories.2", "$.storage.directories.0 is the same directory with other settings")
    ]
    (kept,) = (migrated(storage={"directories": storage["directories"][:2]}).unwrap().storage or model.Storage()).directories
    assert kept == model.Directory(path="/a", mode=0o755)


def test_the_last_of_equal_links_counts_if_it_may_overwrite() -> None:
    link = {"filesystem": "root", "path": "/a", "target": "/b"}
    later = link | {"target": "/c", "overwrite": True}
    assert (migrated(storage={"links": [link, later]}).unwrap().storage or model.Storage()).links == (
        model.Link(overwrite=True, path="/a", target="/c"),
    )
    assert errors(migrated(storage={"links": [later, link]})) == [("$.storage.links.1", "$.storage.links.0 makes the same link")]


def test_files_go_below_the_mount_point_of_their_filesystem() -> None:
    filesystem = {"name": "data", "mount": {"device": "/dev/sdb1", "format": "ext4", "label": "DATA"}}
    storage = {"filesystems": [filesystem], "files": [{"filesystem": "data", "path": "/a//b", "mode": 0}]}
    new = migrated(storage=storage, mount_points={"data": "/var/lib/data"}).unwrap().storage
    assert new == model.Storage(
        files=(model.File(overwrite=True, path="/var/lib/data/a/b", contents=model.Resource(source="data:,"), mode=0),),
        filesystems=(model.Filesystem(device="/dev/sdb1", format="ext4", label="DATA", path="/var/lib/data"),),
    )
    assert errors(migrated(storage=storage)) == [
        ("$.storage.files.0.filesystem", 'filesystem "data" has no mount point in spec 2, and spec 3 needs one')
    ]


def test_a_filesystem_that_holds_no_files_needs_no_mount_point() -> None:
    storage = {"filesystems": [{"name": "swap", "mount": {"device": "/dev/sdb1", "format": "swap"}}]}
    new = migrated(storage=storage).unwrap().storage
    assert new == model.Storage(filesystems=(model.Filesystem(device="/dev/sdb1", format="swap"),))


def test_a_root_filesystem_that_is_made_is_not_mounted_again() -> None:
    filesystem = {"name": "root", "mount": {"device": "/dev/disk/by-label/ROOT", "format": "btrfs", "wipeFilesystem": True}}
    migration = migrated(storage={"filesystems": [filesystem], "files": [ROOT | {"path": "/a"}]})
    assert migration.unwrap().storage == model.Storage(
        files=(model.File(overwrite=True, path="/a", contents=model.Resource(source="data:,"), mode=0o644),),
        filesystems=(model.Filesystem(device="/dev/disk/by-label/ROOT", format="btrfs", wipe_filesystem=True),),
    )
    assert [change.path for change in migration.changes if change.effect is Effect.MAY_DIFFER] == [
        "$.storage.filesystems.0.mount"
    ]


def test_the_last_filesystem_of_a_name_counts() -> None:
    filesystems = [{"name": "x", "path": "/sysroot/a"}, {"name": "x", "path": "/sysroot/b"}]
    storage = {"filesystems": filesystems, "files": [{"filesystem": "x", "path": "/f", "mode": 0}]}
    (file,) = (migrated(storage=storage).unwrap().storage or model.Storage()).files
    assert file.path == "/b/f"


@pytest.mark.parametrize(
    ("filesystems", "filesystem", "refusal"),
    [
        ([], "", ("$.storage.files.0.filesystem", "no filesystem specified")),
        ([], "data", ("$.storage.files.0.filesystem", 'the filesystem "data" is not defined')),
        (
            [{"name": "x", "path": "/mnt"}],
            "x",
            ("$.storage.files.0.filesystem", 'the path "/mnt" is outside the root filesystem'),
        ),
        ([{"name": "x"}], "root", ("$.storage.filesystems.0", "filesystem is missing mount or path")),
        (
            [{"name": "x", "path": "/sysroot", "mount": {"device": "/dev/sda"}}],
            "root",
            ("$.storage.filesystems.0", "filesystem has both mount and path defined"),
        ),
    ],
)
def test_filesystems_that_spec_3_cannot_name_are_refused(
    filesystems: list[Any], filesystem: str, refusal: tuple[str, str]
) -> None:
    storage = {"filesystems": filesystems, "files": [{"filesystem": filesystem, "path": "/a", "mode": 0}]}
    assert errors(migrated(storage=storage)) == [refusal]


def test_a_mount_point_for_no_filesystem_is_refused() -> None:
    assert errors(migrated(mount_points={"data": "/data"})) == [
        ("$.storage.filesystems", "no filesystem to mount is named 'data'")
    ]


@pytest.mark.parametrize(
    ("mount", "refusals"),
    [
        ({"create": {"force": True, "options": ["-q"]}}, []),
        ({"create": {}}, ["create without force fails on any device that holds a filesystem; spec 3 would use that one"]),
        ({"create": {"force": True}, "options": ["-q"]}, ["cannot use both create object and mount-level options field"]),
        ({"create": {"force": True}, "wipeFilesystem": True}, ["cannot use both create object and wipeFilesystem field"]),
    ],
)
def test_create_becomes_wiping_when_it_is_forced(mount: dict[str, Any], refusals: list[str]) -> None:
    storage = {"filesystems": [{"mount": {"device": "/dev/sdb1", "format": "xfs", **mount}}]}
    migration = migrated(storage=storage)
    if refusals:
        assert errors(migration) == [("$.storage.filesystems.0.mount.create", refusal) for refusal in refusals]
    else:
        (filesystem,) = (migration.unwrap().storage or model.Storage()).filesystems
        assert filesystem == model.Filesystem(device="/dev/sdb1", format="xfs", options=("-q",), wipe_filesystem=True)


def partitions(version: str, *entries: dict[str, Any]) -> Migration:
    return migrated(version, storage={"disks": [{"device": "/dev/sda", "partitions": list(entries)}]})


def test_sectors_become_mib_and_absence_is_zero_before_spec_2_3() -> None:
    old = partitions("2.2.0", {"number": 1, "size": 4096, "start": 2048}, {"number": 2, "label": ""})
    (disk,) = (old.unwrap().storage or model.Storage()).disks
    assert disk.partitions == (
        model.Partition(number=1, size_mib=2, start_mib=1),
        model.Partition(number=2, size_mib=0, start_mib=0),
    )
    (disk,) = (partitions("2.3.0", {"number": 1, "sizeMiB": 5}).unwrap().storage or model.Storage()).disks
    assert disk.partitions == (model.Partition(number=1, size_mib=5),)


@pytest.mark.parametrize(
    ("entry", "refusal"),
    [
        ({"number": 1, "size": 2047}, ("size", "size of 2047 sectors is no whole number of MiB")),
        ({"number": 1, "start": 1}, ("start", "start of 1 sectors is no whole number of MiB")),
    ],
)
def test_odd_sectors_are_refused(entry: dict[str, Any], refusal: tuple[str, str]) -> None:
    key, message = refusal
    assert errors(partitions("2.2.0", entry)) == [(f"$.storage.disks.0.partitions.0.{key}", message)]


def test_partitions_without_number_and_label_and_mixed_units_are_refused() -> None:
    assert errors(partitions("2.3.0", {}, {"number": 1, "size": 0}, {"number": 2, "sizeMiB": 0})) == [
        ("$.storage.disks.0.partitions", "cannot mix MBs and sectors within a disk"),
        ("$.storage.disks.0.partitions.0", "a partition number >= 1 or a label must be specified"),
    ]


def test_units_of_one_name_are_merged_as_they_were_written() -> None:
    first = {"name": "a.path", "contents": "[Path]\n", "enabled": True, "dropins": [{"name": "1.conf", "contents": "[A]\n"}]}
    later = {"name": "a.path", "contents": "[Unit]\n", "dropins": [{"name": "2.conf"}, {"name": "1.conf", "contents": "[B]\n"}]}
    assert units(first, later, {"name": "a.path", "enabled": False}) == (
        model.Unit(
            contents="[Unit]\n",
            dropins=(model.Dropin(name="1.conf", contents="[B]\n"), model.Dropin(name="2.conf")),
            enabled=True,
            name="a.path",
        ),
    )


def test_contents_are_written_over_the_mask_of_an_earlier_entry() -> None:
    mask, contents = {"name": "a.path", "mask": True}, {"name": "a.path", "contents": "[Path]\n"}
    assert units(mask, contents) == (model.Unit(contents="[Path]\n", name="a.path"),)
    assert units(contents, mask) == (model.Unit(contents="[Path]\n", mask=True, name="a.path"),)


@pytest.mark.parametrize(
    ("said", "enabled"),
    [
        ({}, None),
        ({"enable": False}, None),
        ({"enable": True}, True),
        ({"enabled": False}, False),
        ({"enable": True, "enabled": False}, True),
    ],
)
def test_the_first_preset_decides(said: dict[str, bool], enabled: bool | None) -> None:
    (unit,) = units({"name": "a.path", **said})
    assert unit.enabled is enabled


def test_networkd_files_are_written_after_all_others() -> None:
    networkd = {"units": [{"name": "a.network", "contents": "[Match]\n", "dropins": [{"name": "b.conf", "contents": "[A]\n"}]}]}
    assert files({"path": "/etc/systemd/network/a.network", "mode": 0}, networkd=networkd) == (
        model.File(
            overwrite=True,
            path="/etc/systemd/network/a.network",
            contents=model.Resource(source="data:,%5BMatch%5D%0A"),
            mode=0o644,
        ),
        model.File(
            overwrite=True,
            path="/etc/systemd/network/a.network.d/b.conf",
            contents=model.Resource(source="data:,%5BA%5D%0A"),
            mode=0o644,
        ),
    )


def test_networkd_names_are_checked() -> None:
    networkd = {"units": [{"name": "a.service", "dropins": [{"name": "b"}]}]}
    assert errors(migrated(networkd=networkd)) == [
        ("$.networkd.units.0.name", "invalid networkd unit extension"),
        ("$.networkd.units.0.dropins.0.name", "invalid networkd drop-in extension"),
    ]


def test_a_user_is_created_and_then_changed() -> None:
    first = {"name": "core", "create": {"uid": 7, "system": True, "homeDir": "/core"}, "sshAuthorizedKeys": ["a", "a"]}
    later = {"name": "core", "uid": 8, "noCreateHome": True, "sshAuthorizedKeys": ["b"]}
    assert migrated(passwd={"users": [first, later]}).unwrap().passwd == model.Passwd(
        users=(model.PasswdUser(name="core", uid=8, system=True, home_dir="/core", ssh_authorized_keys=("b",)),)
    )


def test_create_and_the_same_fields_of_the_user_are_refused() -> None:
    user = {"name": "core", "create": {}, "uid": 0, "gecos": "", "homeDir": "/core"}
    created = {"name": "core", "create": {"shell": "/bin/sh"}, "uid": 0, "gecos": "", "homeDir": "/core"}
    assert errors(migrated(passwd={"users": [created]})) == [
        ("$.passwd.users.0.uid", "cannot use both the create object and the user-level uid field"),
        ("$.passwd.users.0.homeDir", "cannot use both the create object and the user-level homeDir field"),
    ]
    assert errors(migrated(passwd={"users": [user]})) == errors(migrated(passwd={"users": [created]}))


def test_appended_configs_are_merged() -> None:
    config = {"append": [{"source": "http://a/1"}, {"source": "http://a/1"}], "replace": {"source": "http://a/2"}}
    migration = migrated(ignition={"config": config})
    assert migration.unwrap().ignition.config == model.IgnitionConfig(
        merge=(model.ConfigReference(source="http://a/1"),), replace=model.ConfigReference(source="http://a/2")
    )
    assert [change.effect for change in migration.changes] == [Effect.MAY_DIFFER, Effect.SAME, Effect.MAY_DIFFER]


def test_the_oem_scheme_is_refused_where_it_stands() -> None:
    storage = {"files": [ROOT | {"path": "/a", "contents": {"source": "oem:///a"}}]}
    assert errors(migrated(storage=storage)) == [("$.storage.files.0.contents.source", 'spec 3 has no oem scheme: "oem:///a"')]


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ({"proxy": {"httpProxy": "http://p"}}, "$.ignition.proxy", "spec 3.0.0 knows no proxy"),
        (
            {"config": {"append": [{"source": "http://a", "httpHeaders": [{"name": "A", "value": "b"}]}]}},
            "$.ignition.config.append.0.httpHeaders",
            "spec 3.0.0 knows no HTTP headers",
        ),
    ],
)
def test_what_came_with_spec_3_1_is_refused_for_3_0(section: dict[str, Any], path: str, message: str) -> None:
    migration = migrate(json.dumps({"ignition": {"version": "2.4.0", **section}}), "3.0.0")
    assert errors(migration) == [(path, message)]
