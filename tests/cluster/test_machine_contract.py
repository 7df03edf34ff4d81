"""What every driver's machines do, with the real testbed OS inside. Tests that leave a machine as it was share one."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from kubeception_sim.artifacts import testbed
from kubeception_sim.cgroups import hierarchies
from kubeception_sim.doctor import find_accelerator
from kubeception_sim.errors import BadInput, CommandFailed, DeadlineExceeded, HarnessError, MissingTool
from kubeception_sim.lab import ENV_LAB, Lab, mounts_below
from kubeception_sim.machines import BootImage, DirectBoot, Driver, Machine, MachineSpec, MachineState
from kubeception_sim.machines.docker import DockerDriver
from kubeception_sim.machines.libvirt import LibvirtDriver
from kubeception_sim.machines.namespace import NamespaceDriver
from kubeception_sim.machines.qemu import QemuDriver
from kubeception_sim.machines.readiness import await_system
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.network import Fabric
from kubeception_sim.run import Completed, run
from tests.docker_host import docker_host

BOOT_SECONDS = 180.0
ASK_SECONDS = 60.0
GATEWAY = IPv4Address("10.77.0.1")
TICKER = "while :; do echo tick > /dev/console; sleep 0.05; done"


@dataclass
class Bench:
    """A fabric, a driver, and the machines made with it."""

    lab: Lab
    fabric: Fabric
    driver: Driver
    image: BootImage
    config: Path
    count: int = 0

    def machine(self, name: str) -> Machine:
        self.count += 1
        address = IPv4Interface(f"10.77.0.{10 + self.count}/24")
        boot = DirectBoot(self.image, self.config)
        spec = MachineSpec.derive(name, f"SN-{name}", address=address, gateway=GATEWAY, boot=boot)
        return self.driver.create(spec, self.fabric.port(name), self.lab.subdirectory("machines", name))

    def ping(self, machine: Machine, *, count: int = 1) -> Completed:
        words = ("-n", "-q", "-i", "0.2", "-c", str(count), "-W", "1", str(machine.address))
        return run(["ping", *words], timeout=ASK_SECONDS, check=False, namespace=self.fabric.namespace)


@contextmanager
def namespace_driver(lab: Lab, key: Path) -> Iterator[Driver]:
    yield NamespaceDriver(lab)


@contextmanager
def docker_driver(lab: Lab, key: Path) -> Iterator[Driver]:
    with docker_host(lab.directory.parent) as host:
        yield DockerDriver(lab, host=host)


@contextmanager
def qemu_driver(lab: Lab, key: Path) -> Iterator[Driver]:
    yield QemuDriver(accelerator(), lab.env, key)


@contextmanager
def libvirt_driver(lab: Lab, key: Path) -> Iterator[Driver]:
    yield LibvirtDriver(accelerator(), lab, key)


def accelerator() -> Accelerator:
    verdict = find_accelerator(testbed.default_cache())
    if verdict.accelerator is Accelerator.NONE:
        pytest.skip(f"booted guests, none came up: {verdict.attempts}")
    return verdict.accelerator


DRIVERS: dict[str, Callable[[Lab, Path], AbstractContextManager[Driver]]] = {
    "namespace": namespace_driver,
    "docker": docker_driver,
    "qemu": qemu_driver,
    "libvirt": libvirt_driver,
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> BootImage:
    """The testbed OS, with a root file system of our own: who mounts it is ours."""
    try:
        built = testbed.ensure(testbed.default_cache(), lambda step, done: None)
    except MissingTool as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    own = tmp_path_factory.mktemp("image") / "rootfs.squashfs"
    shutil.copyfile(built.rootfs, own)
    return BootImage(built.kernel, built.initrd, own, built.rootfs_sha256)


@pytest.fixture(scope="module", params=DRIVERS)
def bench(request: pytest.FixtureRequest, image: BootImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Lab.create(tmp_path_factory.mktemp("lab")) as lab, Fabric.create(lab) as fabric:
        key = lab.directory / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], timeout=10)
        config = lab.directory / "config.ign"
        config.write_text(json.dumps(ignition_config(key.with_suffix(".pub").read_text().strip())))
        with ExitStack() as stack:
            try:
                driver = stack.enter_context(DRIVERS[request.param](lab, key))
            except MissingTool as missing:
                pytest.skip(f"{missing.message}; {missing.hint}")
            yield Bench(lab, fabric, driver, image, config)


@pytest.fixture(scope="module")
def booted(bench: Bench) -> Iterator[Machine]:
    with bench.machine("shared") as machine:
        machine.start()
        await_system(machine, BOOT_SECONDS)
        yield machine


def ignition_config(key: str) -> dict[str, Any]:
    greeter = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo provisioned > /run/greeting'\n"
    last_words = "ExecStop=/bin/sh -c 'echo an orderly end > /dev/console'\n[Install]\nWantedBy=multi-user.target\n"
    return {
        "ignition": {"version": "3.3.0"},
        "passwd": {"users": [{"name": "core", "groups": ["sudo"], "sshAuthorizedKeys": [key]}]},
        "systemd": {"units": [{"name": "greeter.service", "enabled": True, "contents": greeter + last_words}]},
    }


def on_host(bench: Bench, name: str | None = None) -> dict[str, list[str]]:
    """What of the lab's, or of one machine's, is on this host, besides the fabric itself; counted without gc."""
    label = f"{ENV_LAB}={bench.lab.id}".encode()
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if label in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                # libvirt's QEMU carries the domain's name, and nothing of the directory.
                marks = (f"/machines/{name or ''}", f"guest=kc-{bench.lab.id}-{name or ''}")
                if any(mark in command + os.readlink(entry / "cwd") for mark in marks):
                    processes.append(command)
    links = json.loads(run(["ip", "-netns", bench.fabric.namespace, "-json", "link"], timeout=10).stdout)
    pattern = re.compile(rf"kc-{bench.lab.id}-{name or '.+'}")
    loops = run(["losetup", "--json", "--list", "--output", "BACK-FILE"], timeout=10).stdout
    return {
        "processes": processes,
        "namespaces": [entry.name for entry in Path("/run/netns").glob("kc-*") if pattern.fullmatch(entry.name)],
        "links": [link["ifname"] for link in links if re.fullmatch("m[0-9a-f]{12}", link["ifname"])],
        "mounts": [str(path) for path in mounts_below(bench.lab.directory)],
        "cgroups": [str(path) for tree in hierarchies() for path in tree.mount.glob("kc-*") if pattern.fullmatch(path.name)],
        "loops": [line for line in loops.splitlines() if os.fspath(bench.image.rootfs) in line],
    }


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_its_address_answers(bench: Bench, booted: Machine) -> None:
    assert booted.address == booted.spec.address.ip if booted.spec.address else False
    answered = bench.ping(booted)
    assert answered.code == 0, answered.stdout


def test_its_port_in_the_fabric_has_its_name(bench: Bench, booted: Machine) -> None:
    told = run(["ip", "link", "show", "dev", booted.link], timeout=ASK_SECONDS, namespace=bench.fabric.namespace).stdout
    assert f"alias {booted.spec.name}" in told


def test_it_is_provisioned_by_its_config(booted: Machine) -> None:
    assert booted.execute(("cat", "/run/greeting"), timeout=ASK_SECONDS).stdout == "provisioned\n"
    assert booted.execute(("hostname",), timeout=ASK_SECONDS).stdout.strip() in (booted.spec.name, "localhost")


def test_its_machine_id_follows_from_its_uuid(booted: Machine) -> None:
    found = booted.execute(("cat", "/etc/machine-id"), timeout=ASK_SECONDS).stdout.strip()
    assert found == booted.spec.uuid.replace("-", "")


def test_programs_run_inside_as_root(booted: Machine) -> None:
    done = booted.execute(("sh", "-c", "id -u; echo 'to \"err\"' >&2; exit 3"), timeout=ASK_SECONDS, check=False)
    assert (done.code, done.stdout, done.stderr) == (3, "0\n", 'to "err"\n')


def test_a_program_that_fails_is_an_error_unless_told_otherwise(booted: Machine) -> None:
    with pytest.raises(CommandFailed, match=r"(?s)exit 7.*no such luck"):
        booted.execute(("sh", "-c", "echo no such luck >&2; exit 7"), timeout=ASK_SECONDS)


def test_arguments_arrive_as_they_are(booted: Machine) -> None:
    words = ("two words", "$HOME", "it's", "", "*")
    done = booted.execute(("printf", "<%s>", *words), timeout=ASK_SECONDS)
    assert done.stdout == "".join(f"<{word}>" for word in words)


def test_a_program_reads_what_it_is_given(booted: Machine) -> None:
    text = b"line\n" * 50_000
    assert booted.execute(("wc", "-c"), timeout=ASK_SECONDS, stdin=text).stdout.strip() == str(len(text))
    assert booted.execute(("cat",), timeout=ASK_SECONDS).stdout == ""


def test_a_program_that_does_not_end_in_time_is_told(booted: Machine) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        booted.execute(("sleep", "60"), timeout=3)
    assert time.monotonic() - began < 20


def test_files_are_copied_both_ways_with_their_mode(booted: Machine, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "there").write_bytes(content)
    (tmp_path / "there").chmod(0o741)
    booted.push(tmp_path / "there", "/opt/new/folder/file")
    seen = booted.execute(("stat", "-c", "%a %U %s", "/opt/new/folder/file"), timeout=ASK_SECONDS).stdout
    assert seen == f"741 root {len(content)}\n"
    booted.pull("/opt/new/folder/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert (tmp_path / "back").stat().st_mode & 0o7777 == 0o741


def test_folders_are_copied_whole(booted: Machine, tmp_path: Path) -> None:
    (tmp_path / "there" / "inner").mkdir(parents=True)
    (tmp_path / "there" / "inner" / "file").write_text("deep")
    (tmp_path / "there" / "link").symlink_to("inner/file")
    booted.push(tmp_path / "there", "/opt/tree")
    booted.pull("/opt/tree", tmp_path / "back")
    assert (tmp_path / "back" / "inner" / "file").read_text() == "deep"
    assert (tmp_path / "back" / "link").readlink() == Path("inner/file")


def test_what_is_not_there_cannot_be_copied(booted: Machine, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        booted.pull("/nowhere/file", tmp_path / "back")
    with pytest.raises(BadInput, match="absolute path"):
        booted.pull("relative", tmp_path / "back")


def test_a_person_gets_a_shell(booted: Machine) -> None:
    asked = run(booted.shell, timeout=ASK_SECONDS, stdin=b"id -un; hostname; exit 4\n", check=False)
    assert asked.code == 4, asked.stderr
    assert "root" in asked.stdout.split()


def test_the_console_shows_the_boot(booted: Machine) -> None:
    assert "Debian GNU/Linux" in booted.console.read_text(errors="replace")
    assert booted.console_tail(1).strip()


def test_a_paused_machine_makes_no_progress(booted: Machine) -> None:
    """Seen from outside: what a program inside writes to the console all the time stands still."""
    booted.execute(("systemd-run", "--unit=ticker", "sh", "-c", TICKER), timeout=ASK_SECONDS)
    try:
        eventually(lambda: "tick" in booted.console_tail(3), "nothing on the console")
        booted.pause()
        try:
            assert booted.state() is MachineState.PAUSED
            with pytest.raises(HarnessError, match="is paused"):
                booted.execute(("true",), timeout=ASK_SECONDS)
            time.sleep(0.2)  # what was written before may still be on its way through the terminal
            size = booted.console.stat().st_size
            time.sleep(1.0)
            assert booted.console.stat().st_size == size
        finally:
            booted.resume()
        assert booted.state() is MachineState.RUNNING
        eventually(lambda: booted.console.stat().st_size > size, "it did not go on")
    finally:
        booted.execute(("systemctl", "stop", "ticker"), timeout=ASK_SECONDS)


def test_a_cable_is_pulled_and_plugged_in_again(bench: Bench, booted: Machine) -> None:
    assert bench.ping(booted).code == 0
    booted.set_link(False)
    try:
        assert bench.ping(booted, count=3).code == 1
    finally:
        booted.set_link(True)
    eventually(lambda: bench.ping(booted).code == 0, "its address does not answer any more", seconds=30)


def test_two_machines_reach_each_other_and_share_nothing(bench: Bench, booted: Machine) -> None:
    with bench.machine("other") as other:
        other.start()
        await_system(other, BOOT_SECONDS)
        other.execute(("ping", "-n", "-c", "1", "-W", "5", str(booted.address)), timeout=ASK_SECONDS)
        other.execute(("touch", "/etc/mine"), timeout=ASK_SECONDS)
        assert booted.execute(("test", "-e", "/etc/mine"), timeout=ASK_SECONDS, check=False).code == 1
        other.kill()
        assert bench.ping(booted).code == 0


def test_power(bench: Bench) -> None:
    """Off, on, plug pulled, on again as if new, and off in an orderly way; nothing is left of any of it."""
    with bench.machine("power") as machine:
        assert machine.state() is MachineState.OFF
        machine.stop(grace=60)
        machine.kill()
        for forbidden in (machine.pause, machine.resume, lambda: machine.execute(("true",), timeout=1)):
            with pytest.raises(HarnessError):
                forbidden()
        machine.start()
        with pytest.raises(HarnessError, match="is on already"):
            machine.start()
        await_system(machine, BOOT_SECONDS)
        machine.execute(("touch", "/etc/old"), timeout=ASK_SECONDS)
        assert on_host(bench, "power")["processes"]
        machine.kill()
        assert machine.state() is MachineState.OFF
        nothing_left(bench, "power")
        assert bench.ping(machine).code == 1

        machine.start()
        await_system(machine, BOOT_SECONDS)
        assert machine.execute(("test", "-e", "/etc/old"), timeout=ASK_SECONDS, check=False).code == 1
        before = machine.console.stat().st_size
        machine.stop(grace=60)
        assert machine.state() is MachineState.OFF
        with machine.console.open("rb") as console:
            console.seek(before)
            assert b"an orderly end" in console.read()
    nothing_left(bench, "power")


def nothing_left(bench: Bench, name: str) -> None:
    def left() -> dict[str, list[str]]:
        found = on_host(bench, name)
        if any(entry.name != bench.fabric.namespace for entry in Path("/run/netns").glob(f"kc-{bench.lab.id}-*")):
            # Another machine of the lab is on, whose cable and image are its own.
            del found["links"], found["loops"]
        return {kind: things for kind, things in found.items() if things}

    # The kernel takes a loop device back a moment after its last mount is gone.
    eventually(lambda: not left(), f"left: {left()}", seconds=5)


def test_as_a_context_it_leaves_nothing_but_its_directory(bench: Bench) -> None:
    with bench.machine("left") as machine:
        machine.start()
        assert on_host(bench, "left")["processes"]
    nothing_left(bench, "left")
    assert machine.console.parent.is_dir()
