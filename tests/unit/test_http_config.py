"""What the config says of the admin face, and what is wrong with it."""

import re
from pathlib import Path

import pytest
import trustme

from mayu_py import config
from mayu_py.core.access import Access, Role, Token, digest_of

CONFIG = """\
networks: [{name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24}]
tftp: {root: tftp}
images: {}
profiles: []
"""
A, B = digest_of("a"), digest_of("b")


def tokens(*named: tuple[str, str]) -> str:
    rows = (f"{{name: {name}, role: read, sha256: {digest}}}" for name, digest in named)
    return f"{{tokens: [{', '.join(rows)}]}}"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, ca: trustme.CA) -> Path:
    for file in ("undionly.kpxe", "snponly.efi"):
        (tmp_path / "tftp").mkdir(exist_ok=True)
        (tmp_path / "tftp" / file).write_bytes(b"x")
    served = ca.issue_cert("mayu.example")
    served.private_key_pem.write_to_path(tmp_path / "a.key")
    served.cert_chain_pems[0].write_to_path(tmp_path / "a.crt")
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    ca.issue_cert("other.example").private_key_pem.write_to_path(tmp_path / "other.key")
    (tmp_path / "not.pem").write_text("no certificate")
    return tmp_path


def problems(folder: Path, admin: str) -> list[str]:
    (folder / "mayu.yaml").write_text(f"{CONFIG}admin: {admin}\n")
    return [problem.message for problem in config.check(folder / "mayu.yaml")[1]]


@pytest.mark.parametrize(
    ("admin", "problem"),
    [
        ("{port: 0}", "0 is no TCP port"),
        ("{port: 4081}", "the boot face has port 4081"),
        ("{address: 0.0.0.0}", "without TLS the admin face listens on the loopback only"),
        ("{files: nowhere}", "there is no folder {folder}/nowhere"),
        ("{tls: {certificate: b.crt, key: a.key}, tokens: [T]}", "there is no file {folder}/b.crt"),
        ("{tls: {certificate: not.pem, key: a.key}, tokens: [T]}", "{folder}/not.pem and {folder}/a.key cannot be used: "),
        ("{tls: {certificate: a.crt, key: other.key}, tokens: [T]}", "{folder}/a.crt and {folder}/other.key cannot be used: "),
        (
            "{tls: {certificate: a.crt, key: a.key, client_ca: ca.crt}, tokens: [T]}",
            "there is no `certificates` beside `client_ca`",
        ),
        ("{tls: {certificate: a.crt, key: a.key, certificates: {ann: read}}}", "there is no `client_ca` beside `certificates`"),
        (
            "{tls: {certificate: a.crt, key: a.key, client_ca: not.pem, certificates: {ann: read}}}",
            "{folder}/not.pem holds no certificate: ",
        ),
        ("{tls: {certificate: a.crt, key: a.key}}", "nobody has credentials, so only this machine may use the admin face"),
        ("{tokens: [{name: a, role: read, sha256: secret}]}", "this is no SHA-256"),
        (tokens(("a b", A)), "'a b' cannot name a token"),
        (tokens(("a", A), ("a", B)), "the token name a is used twice"),
        (tokens(("a", A), ("b", A)), f"the digest {A} is used twice"),
    ],
)
def test_each_mistake_is_named(folder: Path, admin: str, problem: str) -> None:
    (found,) = problems(folder, admin.replace("T", f"{{name: t, role: read, sha256: {A}}}", 1) if "[T]" in admin else admin)
    assert found.startswith(problem.replace("{folder}", str(folder)))


def test_a_good_one_says_who_may_come_in_and_where(folder: Path) -> None:
    tls = "tls: {certificate: a.crt, key: a.key, client_ca: ca.crt, certificates: {ann: operate}}"
    assert problems(folder, f"{{{tls}, tokens: [{{name: ci, role: admin, sha256: {A}}}]}}") == []
    face = config.read(folder / "mayu.yaml").settings.admin
    assert face.access == Access((Token("ci", Role.ADMIN, A),), {"ann": Role.OPERATE})
    assert (str(face.listen), face.port) == ("0.0.0.0", 4080)


def test_without_a_section_it_is_for_the_own_machine(folder: Path) -> None:
    assert problems(folder, "{}") == []
    face = config.read(folder / "mayu.yaml").settings.admin
    assert (str(face.listen), face.access.is_open) == ("127.0.0.1", True)


@pytest.mark.parametrize("page", ["api.md", "mayu.md"])
def test_the_sections_in_the_documentation_are_good(folder: Path, ca: trustme.CA, page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    (section,) = (block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("admin:"))
    for there, named in {"a.crt": "admin.crt", "a.key": "admin.key", "ca.crt": "clients.crt"}.items():
        (folder / named).write_bytes((folder / there).read_bytes())
    (folder / "files").mkdir()
    (folder / "mayu.yaml").write_text(CONFIG + section.replace("/srv/files", "files"))
    assert [problem.message for problem in config.check(folder / "mayu.yaml")[1]] == []
