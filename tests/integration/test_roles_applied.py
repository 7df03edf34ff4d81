"""What the templates of roles render to is taken by the real ignition-validate, and by the real Ignition for a directory."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ignition.stages import EngineMissing, apply
from mayu_py.cli.init import ROLES
from mayu_py.core.settings import NetworkFiles
from tests.golden.nics.cases import CASES, HOST, files
from tests.golden.roles.cases import rendered

KINDS = (NetworkFiles.NETWORKD, NetworkFiles.NETWORKMANAGER)
FOLDERS = {NetworkFiles.NETWORKD: "networkd", NetworkFiles.NETWORKMANAGER: "keyfiles"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The users of the config have to get in, and the group that they are put into is there, as in every image."""
    found = tmp_path / "root"
    found.mkdir(mode=0o755)
    (found / "etc").mkdir()
    (found / "etc/group").write_text("sudo:x:27:\n")
    return found


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("role", ROLES)
def test_ignition_validate_has_nothing_to_say(role: str, case: str, kind: NetworkFiles) -> None:
    judge = shutil.which("ignition-validate")
    if judge is None:
        pytest.skip("looked for ignition-validate; it is in Debian's package ignition")
    ran = subprocess.run([judge, "-"], input=rendered(role, case, kind).config, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, b"")


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("role", ROLES)
def test_ignition_writes_the_host_its_name_and_its_nics(role: str, case: str, kind: NetworkFiles, root: Path) -> None:
    try:
        apply(rendered(role, case, kind).config, root)
    except EngineMissing as missing:
        pytest.skip(f"{missing}")
    assert (root / "etc/hostname").read_text() == f"{HOST.name}\n"
    for file in files(case)[FOLDERS[kind]]:
        written = root / file.path.removeprefix("/")
        assert (written.read_text(), written.stat().st_mode & 0o777) == (file.text, file.mode)


@pytest.mark.integration
def test_the_scripts_of_a_worker_are_shell(root: Path) -> None:
    try:
        apply(rendered("giantnetes-worker").config, root)
    except EngineMissing as missing:
        pytest.skip(f"{missing}")
    subprocess.run(["sh", "-n", str(root / "usr/local/bin/giantnetes-joined")], check=True)
