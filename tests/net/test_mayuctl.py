"""mayuctl on a booted host: the host itself tells the boot face that it is up."""

import sys
from pathlib import Path

from tests.net.lan import PORT, SERVER, Config, Lan, StartMayu

PROGRAM = "import sys; from mayu_py.ctl import main; sys.argv[0] = 'mayuctl'; main()"


def test_a_host_tells_that_it_is_up_and_what_it_runs(lan: Lan, config: Config, start_mayu: StartMayu, tmp_path: Path) -> None:
    config.host(5)
    start_mayu()
    host = lan.client(address="10.78.0.7")
    lan.run(host, "curl", "-sSf", f"http://{SERVER}:{PORT}/ignition?serial=KC-0005")
    for name, text in (
        ("proc/cmdline", f"quiet mayu.report=http://{SERVER}:{PORT}/host/KC-0005\n"),
        ("etc/os-release", "VERSION_ID=12\n"),
    ):
        (tmp_path / "root" / name).parent.mkdir(parents=True)
        (tmp_path / "root" / name).write_text(text)
    words = ("boot-complete", "--update-versions", "--root", str(tmp_path / "root"))
    told = lan.run(host, sys.executable, "-c", PROGRAM, *words).stdout
    assert told == f"http://{SERVER}:{PORT} knows that KC-0005 is running 12\n"
    seen = lan.get("/v1/hosts/node-5")
    assert (seen["state"], seen["facts"]["os_version"]) == ("running", "12")
    stranger = lan.client(address="10.78.0.9")
    ran = lan.run(stranger, sys.executable, "-c", PROGRAM, *words, check=False)
    assert (ran.returncode, "only node-5 itself" in ran.stderr) == (1, True)
