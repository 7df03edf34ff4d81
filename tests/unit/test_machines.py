from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.errors import BadInput
from kubeception_sim.machines import Firmware, MachineSpec, MachineState
from kubeception_sim.machines.console import tail
from kubeception_sim.machines.fake_ipxe import Booted, BootFailed, FakeIpxe

SPEC = MachineSpec.derive("n1", "SN-1")


def test_a_machine_is_the_same_on_every_run() -> None:
    assert MachineSpec("n1", "SN-1", "50e060fd-e6aa-5fc3-8328-06373cc5c5bc", "52:54:00:50:e0:60", Firmware.BIOS, 512, 1) == SPEC


@given(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
def test_what_is_derived_is_usable(serial: str) -> None:
    spec = MachineSpec.derive("n1", serial)
    assert spec.mac.startswith("52:54:00:")
    assert UUID(spec.uuid).version == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "N1"),
        ("name", "n1,process=x"),
        ("serial", "a,uuid=b"),
        ("serial", ""),
        ("mac", "52:54:00:00:00"),
        ("mac", "01:00:5e:00:00:01"),
        ("mac", "52:54:00:AA:00:00"),
        ("uuid", "none"),
    ],
)
def test_what_would_break_a_command_line_is_refused(field: str, value: str) -> None:
    given = {"name": SPEC.name, "serial": SPEC.serial, "uuid": SPEC.uuid, "mac": SPEC.mac, field: value}
    with pytest.raises(BadInput, match="machine"):
        MachineSpec(given["name"], given["serial"], given["uuid"], given["mac"])


def test_power_is_what_running_and_paused_machines_have() -> None:
    assert [state for state in MachineState if state.has_power] == [MachineState.RUNNING, MachineState.PAUSED]


def test_a_console_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "console.log", 5) == ""


def test_a_consoles_tail_is_plain_text(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_bytes(
        b"early\n\x1b[?7l\x1b[0;1miPXE 1.0\x1b[0m -- boot\r\nCtrl-B...\r        \rnet0:\xff up\n\n\x1b[2J\x1b[01;01H>>Start PXE"
    )
    assert tail(console, 4) == " -- boot\nCtrl-B...\nnet0:\ufffd up\n>>Start PXE"


def test_only_the_end_of_a_long_console_is_read(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert tail(console, 2) == "line 99998\nline 99999"


class Files:
    """A server as a dictionary; asking for anything else fails, as often as it is asked."""

    def __init__(self, files: dict[str, str], failures: int = 0) -> None:
        self.files = files
        self.failures = failures
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if self.failures:
            self.failures -= 1
            raise BootFailed(f"{url}: HTTP 503")
        if url not in self.files:
            raise BootFailed(f"{url}: HTTP 404")
        return self.files[url].encode()


def boot(script: str, files: dict[str, str] | None = None, failures: int = 0) -> tuple[Booted, Files, list[float]]:
    sleeps: list[float] = []
    server = Files({"http://s/k": "kernel", "http://s/i": "initrd", **(files or {})}, failures)
    settings = {"serial": "A B", "mac": "52:54:00:00:00:01", "platform": "pcbios", "chip": "undionly"}

    def fetch(url: str) -> bytes:
        return f"#!ipxe\n{script}".encode() if url == "http://s/boot" else server(url)

    return FakeIpxe(settings, fetch, sleeps.append).run("http://s/boot"), server, sleeps


def test_a_script_boots_a_kernel() -> None:
    booted, _, _ = boot("kernel http://s/k a=1 b || goto failed\ninitrd --name i http://s/i\nboot")
    assert booted == Booted(b"kernel", ("a=1", "b"), (b"initrd",))


def test_settings_are_filled_in() -> None:
    _, server, _ = boot(
        "chain --replace http://s/s?serial=${serial:uristring}&mac=${netX/mac}&none=${asset}",
        {"http://s/s?serial=A%20B&mac=52:54:00:00:00:01&none=": "#!ipxe\nkernel k\nboot\n"},
    )
    assert server.asked[-1] == "http://s/k"


def test_failures_are_retried_as_the_script_says() -> None:
    script = ":retry\nkernel k || goto failed\nboot || goto failed\n:failed\nsleep 2\ngoto retry"
    _, server, sleeps = boot(script, failures=3)
    assert (len(server.asked), sleeps) == (4, [2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    "condition",
    [
        "iseq ${chip} undionly && goto ok ||",
        "iseq ${chip} snp || goto ok",
        "iseq ${chip} snp && goto nowhere || goto ok",
    ],
)
def test_conditions_choose_the_way(condition: str) -> None:
    booted, _, _ = boot(f"{condition}\necho wrong\n:end\ngoto end\n:ok\nset k http://s/k\nkernel ${{k}}\nboot")
    assert booted.kernel == b"kernel"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo nothing", "ended without booting"),
        (":a\ngoto a", "no end after 1000 statements"),
        ("kernel http://s/none", "HTTP 404"),
        ("boot", "no kernel was loaded"),
        ("goto nowhere", "no such label"),
        ("chain http://s/k", "not an iPXE script"),
        ("frobnicate", "frobnicate: command not found"),
    ],
)
def test_a_script_that_cannot_boot_says_why(script: str, complaint: str) -> None:
    with pytest.raises(BootFailed, match=complaint):
        boot(script)
