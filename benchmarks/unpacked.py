"""atftpd, unpacked and not installed: its package and that of tftpd-hpa exclude each other (`Conflicts: tftpd`)."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parents[1] / "out" / "atftpd"
PROGRAM = HERE / "usr" / "sbin" / "atftpd"


def atftpd() -> Path:
    """The program, which is downloaded once. Raises CalledProcessError where apt-get cannot."""
    if not PROGRAM.exists():
        HERE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-q", "download", "atftpd"], cwd=HERE, check=True, capture_output=True)
        subprocess.run(["dpkg-deb", "-x", str(_package()), str(HERE)], check=True)
    return PROGRAM


def version() -> dict[str, str]:
    """Its version by its name, or nothing where it has not been unpacked."""
    if not PROGRAM.exists():
        return {}
    argv = ["dpkg-deb", "-f", str(_package()), "Version"]
    return {"atftpd": subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()}


def _package() -> Path:
    return next(HERE.glob("atftpd_*.deb"))
