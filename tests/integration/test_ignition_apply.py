"""The real Ignition, applied to directories: what is on disk is what the config says, and nothing else has changed."""

import base64
import json
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ignition import Applied, ApplyError, DocumentError, EngineFailed, EngineMissing, apply
from ignition.model import Config
from ignition.render import render
from ignition.stages.engine import PLACES, Engine
from tests.applicable import Expected, JSONObject, Maker, scan

CONFIGS = 50
PLAIN = {"ignition": {"version": "3.3.0"}}
NOW = time.monotonic

TEMPLATE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/secret
      mode: 0600
      contents: {inline: "{{ host.secret }}"}
    - path: /etc/long
      contents:
        inline: |
          {% for number in range(500) %}
          line {{ number }} of {{ host.name }}
          {% endfor %}
systemd:
  units:
    - name: site.service
      enabled: true
      contents: |
        [Unit]
        Description={{ host.name }}
        [Install]
        WantedBy=multi-user.target
"""
HOST = {"host": {"name": "node1", "secret": "é: {{ x }} \"'\n\t%\u2028"}}


@pytest.fixture(autouse=True)
def engine() -> Path:
    found = next((place for place in PLACES if place.exists()), None)
    if found is None:
        pytest.skip(f"looked for {', '.join(map(str, PLACES))}; it is in Debian's package ignition")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    return root


@pytest.fixture
def fake_engine(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an Ignition 2.14 out of lines of shell; $root and $scratch are its places."""

    def make(body: str) -> Path:
        path = tmp_path / "engine"
        prologue = (
            '#!/bin/sh\n[ "$1" = --version ] && { echo Ignition 2.14.0; exit; }\n'
            'for each; do case "$each" in --root=*) root=${each#*=};; --config-cache=*) scratch=${each#*=}; esac; done\n'
        )
        path.write_text(f'{prologue}echo "{{}}" > "$scratch"\n{body}\n')
        path.chmod(0o755)
        return path

    return make


def encoded(config: Any) -> bytes:
    return json.dumps(config).encode()


def with_storage(**storage: Any) -> bytes:
    return encoded({**PLAIN, "storage": storage})


def with_child(config: bytes) -> bytes:
    source = "data:;base64," + base64.b64encode(config).decode()
    return encoded({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": source}]}}})


def a_file(path: str, data: str = "x", **more: Any) -> JSONObject:
    return {"path": path, "contents": {"source": f"data:,{data}"}, **more}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# What a config says is what is there.


def accounts(root: Path) -> dict[str, list[str]]:
    """The lines of the account files, without those that a bare root gets; of shadow, name and hash."""
    if not (root / "etc/passwd").exists():
        return {"passwd": [], "group": [], "shadow": []}
    lines = {name: (root / "etc" / name).read_text().splitlines() for name in ("passwd", "group", "shadow")}
    hashes = [":".join(line.split(":")[:2]) for line in lines["shadow"][1:]]
    return {"passwd": lines["passwd"][1:], "group": sorted(lines["group"][2:]), "shadow": hashes}


def inodes_agree(root: Path, expected: Expected) -> bool:
    return all(len({(root / name).lstat().st_ino for name in pair}) == 1 for pair in expected.hard_links)


def difference(seed: int) -> str:
    """Apply one generated config to a fresh directory; say what is not as it should be."""
    config, expected = Maker(seed, seed % 7, owners=os.geteuid() == 0).make()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        try:
            apply(encoded(config), root)
        except (ApplyError, DocumentError) as error:
            return f"seed {seed}: {error}"
        found = scan(root)
        wrong = {name for name in found.keys() | expected.nodes.keys() if found.get(name) != expected.nodes.get(name)}
        lines = [f"{name}: {found.get(name)} is not {expected.nodes.get(name)}" for name in sorted(wrong)]
        wanted = {**expected.accounts, "group": sorted(expected.accounts["group"])}
        if accounts(root) != wanted:
            lines.append(f"accounts: {accounts(root)} are not {wanted}")
        if not wrong and not inodes_agree(root, expected):
            lines.append(f"hard links: {expected.hard_links}")
    return "\n".join(f"seed {seed}: {line}" for line in lines)


def test_generated_configs_are_on_disk_exactly_as_they_say() -> None:
    first = random.SystemRandom().randrange(10**9)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(difference, range(first, first + CONFIGS)))
    assert "\n".join(filter(None, found)) == ""


def test_a_rendered_template_arrives_byte_for_byte(root: Path) -> None:
    apply(render(TEMPLATE, "site.bu", HOST).config, root)
    assert (root / "etc/secret").read_bytes() == HOST["host"]["secret"].encode()
    assert mode(root / "etc/secret") == 0o600
    assert (root / "etc/long").read_text() == "".join(f"line {number} of node1\n" for number in range(500))
    assert (root / "etc/systemd/system-preset/20-ignition.preset").read_text() == "enable site.service\n"


def test_a_typed_config_is_as_good_as_its_text(root: Path) -> None:
    applied = apply(Config().in_version("3.3.0"), root)
    assert (applied.root, applied.spec, applied.skipped, applied.report.problems) == (root, "3.3.0", (), ())


def test_the_umask_of_the_caller_does_not_matter(root: Path) -> None:
    before = os.umask(0o077)
    try:
        apply(with_storage(files=[a_file("/a/b")]), root)
    finally:
        os.umask(before)
    assert [mode(root / name) for name in ("a", "a/b", "etc")] == [0o755, 0o644, 0o755]


def test_children_are_merged(root: Path) -> None:
    apply(with_child(with_storage(files=[a_file("/child")])), root)
    assert (root / "child").read_text() == "x"


# Specs.


def test_a_newer_spec_is_translated_down_when_nothing_is_lost(root: Path) -> None:
    applied = apply(encoded({"ignition": {"version": "3.5.0"}, "storage": {"files": [a_file("/a")]}}), root)
    assert (applied.spec, (root / "a").read_text()) == (Engine.find().spec.version, "x")


def test_what_the_binary_does_not_know_is_refused_by_its_name(root: Path) -> None:
    if Engine.find().spec.version != "3.3.0":
        pytest.skip(f"{Engine.find().release} knows setuid; this is about a binary that does not")
    config = encoded({"ignition": {"version": "3.4.0"}, "storage": {"files": [a_file("/su", mode=0o4755)]}})
    with pytest.raises(DocumentError, match=r"site\.ign:1: error: \$\.storage\.files\.0\.mode: "):
        apply(config, root, file="site.ign")
    assert list(root.iterdir()) == []


# What is refused.


def test_a_config_that_is_not_valid_is_refused_before_anything_is_written(root: Path) -> None:
    with pytest.raises(DocumentError, match=r"^site\.ign:1: error: \$\.storage\.files\.0\.path: path not absolute$"):
        apply(with_storage(files=[a_file("a")]), root, file="site.ign")
    assert list(root.iterdir()) == []


def test_disks_are_refused_unless_left_out(root: Path) -> None:
    storage = {
        "disks": [{"device": "/dev/sda", "wipeTable": True}],
        "filesystems": [{"device": "/dev/sda1", "format": "ext4", "path": "/var"}],
        "files": [a_file("/a")],
    }
    config = encoded({**PLAIN, "storage": storage, "kernelArguments": {"shouldExist": ["quiet"]}})
    with pytest.raises(ApplyError, match=r"^a directory has no storage\.disks, storage\.filesystems, kernelArguments$"):
        apply(config, root)
    assert list(root.iterdir()) == []
    assert apply(config, root, partial=True).skipped == ("storage.disks", "storage.filesystems", "kernelArguments")
    assert sorted(scan(root)) == ["a", "etc"]


def test_disks_of_a_child_are_refused_too(root: Path) -> None:
    child = with_storage(raid=[{"name": "r", "level": "raid1", "devices": ["/dev/a", "/dev/b"]}])
    with pytest.raises(ApplyError, match=r"storage\.raid"):
        apply(with_child(child), root)


def test_a_missing_binary_says_what_to_install(root: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match=r"no Ignition here: tried .*/none$") as raised:
        apply(encoded(PLAIN), root, engine=tmp_path / "none")
    assert "package ignition" in raised.value.hint


@pytest.mark.parametrize(("root_", "message"), [("/", "this machine itself"), ("/nonexistent/root", "no such directory")])
def test_a_root_must_be_a_directory_of_its_own(root_: str, message: str) -> None:
    with pytest.raises(ApplyError, match=message):
        apply(encoded(PLAIN), root_)


def test_what_ignition_says_is_kept_when_it_gives_up_but_no_hash(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"users need root, and this is uid {os.geteuid()}")
    user = {"name": "core", "passwordHash": "$6$secret", "groups": ["nowhere"]}
    with pytest.raises(EngineFailed, match="group 'nowhere' does not exist") as raised:
        apply(encoded({**PLAIN, "passwd": {"users": [user]}}), root)
    journal = "\n".join(raised.value.journal)
    assert 'creating or modifying user "core"' in journal
    assert "secret" not in journal + str(raised.value)


def test_ssh_keys_need_a_root_that_users_can_enter(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"users need root, and this is uid {os.geteuid()}")
    root.chmod(0o700)
    with pytest.raises(ApplyError, match="user core could not enter") as raised:
        apply(encoded({**PLAIN, "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-rsa A"]}]}}), root)
    assert raised.value.hint == f"chmod 755 {root}"


# A second time.


def test_a_second_run_keeps_to_overwrite(root: Path) -> None:
    kept, replaced = with_storage(files=[a_file("/a", "1")]), with_storage(files=[a_file("/b", "1", overwrite=True)])
    apply(kept, root)
    apply(replaced, root)
    apply(with_storage(files=[a_file("/b", "2", overwrite=True)], directories=[{"path": "/etc"}]), root)
    with pytest.raises(EngineFailed, match="A file exists there already and overwrite is false"):
        apply(kept, root)
    assert ((root / "a").read_text(), (root / "b").read_text()) == ("1", "2")


def test_a_second_run_leaves_equal_links_and_units(root: Path) -> None:
    unit = {"name": "a.service", "enabled": True, "contents": "[Install]\nWantedBy=multi-user.target\n"}
    config = {**PLAIN, "storage": {"links": [{"path": "/l", "target": "x"}]}, "systemd": {"units": [unit]}}
    apply(encoded(config), root)
    apply(encoded(config), root)
    assert (root / "l").readlink() == Path("x")
    assert (root / "etc/systemd/system-preset/20-ignition.preset").read_text() == "enable a.service\n" * 2
    with pytest.raises(EngineFailed, match="points to x, not y"):
        apply(with_storage(links=[{"path": "/l", "target": "y"}]), root)


def test_a_second_run_modifies_users_and_fails_at_groups(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"users need root, and this is uid {os.geteuid()}")
    for shell in ("/bin/sh", "/bin/bash"):
        apply(encoded({**PLAIN, "passwd": {"users": [{"name": "core", "shell": shell}]}}), root)
    assert (root / "etc/passwd").read_text().splitlines()[1:] == ["core:x:1000:1000::/home/core:/bin/bash"]
    group = encoded({**PLAIN, "passwd": {"groups": [{"name": "web"}]}})
    apply(group, root)
    with pytest.raises(EngineFailed, match="group 'web' already exists"):
        apply(group, root)


def test_accounts_that_are_there_are_used(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"owners need root, and this is uid {os.geteuid()}")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:777:888::/srv:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nweb:x:888:\n")
    apply(with_storage(files=[a_file("/a", user={"name": "web"}, group={"name": "web"})]), root)
    status = (root / "a").stat()
    assert (status.st_uid, status.st_gid, (root / "etc/shadow").exists()) == (777, 888, False)


@pytest.mark.parametrize("text", [None, "SELINUX=disabled\nSELINUXTYPE=targeted\n"])
def test_the_selinux_config_is_the_root_s_own(root: Path, text: str | None) -> None:
    config = root / "etc/selinux/config"
    if text is not None:
        config.parent.mkdir(parents=True)
        config.write_text(text)
    apply(encoded(PLAIN), root)
    assert (config.read_text() if config.parent.exists() else None) == text


def test_the_selinux_config_may_be_the_config_s(root: Path) -> None:
    apply(with_storage(files=[a_file("/etc/selinux/config", "SELINUXTYPE%3Dnone")]), root)
    assert (root / "etc/selinux/config").read_text() == "SELINUXTYPE=none"


# The machine that this runs on.


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails when there is something new where Ignition keeps its things by default, or a temporary file is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = ignition_files()
    yield
    assert ignition_files() - before == set()
    assert list(temporary.iterdir()) == []


def ignition_files() -> set[str]:
    return {str(path) for place in ("/run", "/usr/lib", "/etc") for path in Path(place).iterdir() if "ignition" in path.name}


@pytest.fixture
def outside(root: Path, tmp_path: Path) -> Path:
    """A folder outside of the root, to which symlinks in the root lead."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("alive")
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../" * 20 + str(outside).lstrip("/"))
    (root / "file").symlink_to(outside / "victim")
    return outside


@pytest.mark.usefixtures("nothing_left")
def test_symlinks_of_the_root_are_followed_inside_of_it(root: Path, outside: Path) -> None:
    before = scan(outside), mode(outside)
    config = with_storage(
        files=[a_file("/absolute/a"), a_file("/relative/b"), a_file("/absolute/victim", "dead", overwrite=True)],
        directories=[{"path": "/absolute/d", "mode": 0o700}],
        links=[{"path": "/absolute/l", "target": "/etc"}, {"path": "/relative/h", "target": "/absolute/a", "hard": True}],
    )
    apply(config, root)
    inside = root / str(outside).lstrip("/")
    assert sorted(path.name for path in inside.iterdir()) == ["a", "b", "d", "h", "l", "victim"]
    assert (scan(outside), mode(outside)) == before


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    "storage",
    [
        {"files": [{"path": "/file", "append": [{"source": "data:,dead"}]}]},
        {"files": [{"path": "/file", "mode": 0}]},
        {"files": [a_file("/file", "dead", overwrite=True)]},
        {"files": [a_file("/file/x")]},
        {"directories": [{"path": "/absolute", "mode": 0, "overwrite": True}]},
        {"directories": [{"path": "/absolute", "mode": 0}]},
        {"links": [{"path": "/h", "target": "/absolute/victim", "hard": True}]},
    ],
)
def test_no_symlink_of_the_root_leads_out_of_it(root: Path, outside: Path, storage: JSONObject) -> None:
    before = scan(outside), mode(outside), (outside / "victim").stat().st_nlink
    # Some of these Ignition does inside of the root, others fail; what counts is that nothing happens outside.
    with suppress(EngineFailed):
        apply(with_storage(**storage), root)
    assert (scan(outside), mode(outside), (outside / "victim").stat().st_nlink) == before


@pytest.mark.usefixtures("nothing_left")
def test_a_symlink_in_place_of_etc_is_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "etc").symlink_to(outside)
    with pytest.raises(ApplyError, match="/etc: no folder to write to"):
        apply(encoded(PLAIN), root)
    assert list(outside.iterdir()) == []


def test_whatever_ignition_does_it_can_write_to_the_root_only(
    root: Path, tmp_path: Path, fake_engine: Callable[[str], Path]
) -> None:
    places = [tmp_path, Path("/run"), Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"), Path.home()]
    engine = fake_engine('touch "$root/inside"\n' + "".join(f'touch "{place}/escaped"\n' for place in places) + "exit 0")
    apply(encoded(PLAIN), root, engine=engine)
    assert sorted(path.name for path in root.iterdir()) == ["etc", "inside"]
    assert [place for place in places if (place / "escaped").exists()] == []


def test_the_host_s_kernel_command_line_names_no_config(root: Path, fake_engine: Callable[[str], Path]) -> None:
    applied = apply(encoded(PLAIN), root, engine=fake_engine("cat /proc/cmdline; echo end"))
    assert applied.journal == ("end", "end")


def test_an_ignition_that_hangs_is_ended_with_its_children(root: Path, fake_engine: Callable[[str], Path]) -> None:
    engine = fake_engine('echo begun; sleep 60 & echo $! > "$root/pid"; wait')
    started = NOW()
    with pytest.raises(EngineFailed, match="stage fetch: no end in time") as raised:
        apply(encoded(PLAIN), root, engine=engine, timeout=1.0)
    assert NOW() - started < 10
    assert raised.value.journal == ("begun",)
    assert has_ended(root / "pid")


def test_ctrl_c_ends_ignition_and_leaves_nothing(root: Path, tmp_path: Path, fake_engine: Callable[[str], Path]) -> None:
    config, temporary = tmp_path / "config.ign", tmp_path / "temporary"
    config.write_bytes(encoded(PLAIN))
    temporary.mkdir()
    os.mkfifo(root / "begun")
    engine = fake_engine('sleep 60 & echo $! > "$root/pid"; echo > "$root/begun"; wait')
    argv = (sys.executable, "-m", "ignition", "apply", str(config), str(root), f"--engine={engine}")
    with subprocess.Popen(argv, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)}) as child:
        (root / "begun").read_bytes()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err.strip()) == (130, b"stopped")
    assert has_ended(root / "pid")
    assert list(temporary.iterdir()) == []


def has_ended(pid_file: Path) -> bool:
    status = Path("/proc") / pid_file.read_text().strip() / "stat"
    return not status.exists() or status.read_text().split()[2] in "ZX"


def test_a_crash_is_told_with_what_was_on_stderr(root: Path, fake_engine: Callable[[str], Path]) -> None:
    with pytest.raises(EngineFailed, match="stage fetch: panic: here"):
        apply(encoded(PLAIN), root, engine=fake_engine("echo panic: here >&2; exit 2"))


# Without root.


def as_a_plain_user(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a user who is not root: in a namespace that knows no other user, when this is root."""
    prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    return subprocess.run((*prefix, *argv), capture_output=True, text=True, timeout=30, check=False)


def test_without_root_everything_is_the_caller_s(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.ign"
    config.write_bytes(with_storage(files=[a_file("/a/b", mode=0o640)], links=[{"path": "/l", "target": "a"}]))
    done = as_a_plain_user(sys.executable, "-m", "ignition", "apply", str(config), str(root))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert mode(root / "a/b") == 0o640
    assert {path.lstat().st_uid for path in root.rglob("*")} == {os.geteuid()}


def test_without_root_owners_are_refused(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.ign"
    config.write_bytes(with_storage(files=[a_file("/a/b", user={"id": 5})]))
    done = as_a_plain_user(sys.executable, "-m", "ignition", "apply", str(config), str(root))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "ignition: only root can set the user of /a/b",
        "hint: run as root, or leave users and owners out of the config",
    ]
    assert list(root.iterdir()) == []


def test_a_result_is_a_value(root: Path) -> None:
    first = apply(encoded(PLAIN), root)
    assert isinstance(first, Applied)
    assert first.journal[-1].endswith("Ignition finished successfully")
