"""mayuctl and its servers: contexts, tokens, TLS, the stream of events, and servers that do not answer."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.ctl_runs import Ctl
from tests.integration.ctl_server import admin_face
from tests.integration.http_face import tokens


def certificate(folder: Path, name: str, subject: str, *signed_by: str) -> tuple[Path, Path]:
    """A certificate for this machine and its key, signed by itself if not otherwise; skips without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl in the PATH to make certificates with (Debian package openssl)")
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", f"/CN={subject}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(paths[0]), "-keyout", str(paths[1]), *signed_by),
        ],
        check=True,
        capture_output=True,
    )
    return paths


def test_contexts_name_servers_and_never_show_a_token(tmp_path: Path) -> None:
    with admin_face(tmp_path, tokens()) as served:
        ctl = Ctl(tmp_path)
        assert ctl("context", "list").stderr.startswith("no contexts yet\n")
        added = ctl("context", "add", "lab", "--server", served.url, "--token-stdin", typed="token-of-reader\n")
        assert (added.returncode, added.stdout) == (0, "lab is added and in use\n")
        assert (tmp_path / ".config/mayuctl/config.yaml").stat().st_mode & 0o777 == 0o600
        assert [host["name"] for host in ctl.json("list")] == ["node-1", "node-2"]
        assert ctl.refused("set", "node-1", "cabinet", "1")[0] == "mayuctl: token reader has the role read; this needs operate"
        assert ctl.json("context", "show") == {
            "name": "lab",
            "current": True,
            "server": served.url,
            "token": "(set)",
            "token_file": None,
            "ca": None,
            "client_cert": None,
            "client_key": None,
        }
        assert "token-of-reader" not in ctl.out("context", "list") + ctl.out("context", "show")
        (tmp_path / "token").write_text("token-of-worker\n")
        ctl.out("context", "add", "work", "--server", served.url, "--token-file", str(tmp_path / "token"))
        assert ctl.out("--context", "work", "set", "node-1", "cabinet", "1") == "node-1 has cabinet 1\n"
        assert ctl.out("context", "use", "work") == "work is in use\n"
        assert ctl.out("set", "node-1", "cabinet", "2") == "node-1 has cabinet 2\n"
        assert ctl.refused("--server", served.url, "list")[0] == "mayuctl: who are you?"
        assert Ctl(tmp_path, {"MAYU_SERVER": served.url, "MAYU_TOKEN": "token-of-reader"}).json("list")
        assert ctl.out("context", "remove", "work") == "work is removed\n"
        assert [each["name"] for each in ctl.json("context", "list")] == ["lab"]


def test_tls_is_verified_and_a_certificate_is_a_credential(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server", "mayu")
    mine, my_key = certificate(tmp_path, "ann", "ann")
    tls = {"certificate": str(cert), "key": str(key), "client_ca": str(mine), "certificates": {"ann": "operate"}}
    with admin_face(tmp_path, f"admin: {json.dumps({'tls': tls})}\n") as served:
        ctl = Ctl(tmp_path, {"MAYU_SERVER": served.url})
        assert "is not to be trusted" in ctl.refused("list")[0]
        assert ctl.refused("list")[1] == "hint: --ca FILE names the authority that signed it"
        trusting = ("--ca", str(cert))
        assert ctl.refused(*trusting, "list")[0] == "mayuctl: who are you?"
        known = (*trusting, "--client-cert", str(mine), "--client-key", str(my_key))
        assert ctl.out(*known, "set", "node-1", "cabinet", "1") == "node-1 has cabinet 1\n"
        assert ctl.json(*known, "status", "node-1")["facts"]["cabinet"] == "1"
        assert "cannot be used" in ctl.refused("--ca", str(key), "list")[0]


def test_a_token_is_not_sent_in_the_clear(tmp_path: Path) -> None:
    ctl = Ctl(tmp_path, {"MAYU_SERVER": "http://192.0.2.1:4080", "MAYU_TOKEN": "t"})
    assert ctl.refused("list") == ["mayuctl: a token would go to http://192.0.2.1:4080 in the clear", "hint: use https://"]


def test_the_stream_is_taken_up_where_it_broke_and_ends_cleanly_with_ctrl_c(tmp_path: Path) -> None:
    with admin_face(tmp_path) as served:
        port = int(served.url.rpartition(":")[2])
        ctl = Ctl(tmp_path, {"MAYU_SERVER": served.url})
        ctl.out("set", "node-1", "cabinet", "1")
        following = ctl.start("events", "--follow", "--json", "--kind", "set")
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["detail"] == {"by": "local", "cabinet": "1"}
    try:
        with admin_face(tmp_path, port=port, fresh=False):
            ctl.out("set", "node-2", "cabinet", "2")
            assert json.loads(following.stdout.readline())["detail"] == {"by": "local", "cabinet": "2"}
            following.send_signal(signal.SIGINT)
            out, told = following.communicate(timeout=20)
        assert (following.returncode, out) == (130, "")
        assert told.endswith("stopped\n")
    finally:
        following.kill()


def test_the_boot_complete_of_a_host_is_sent_where_the_kernel_was_told(tmp_path: Path) -> None:
    ctl = Ctl(tmp_path)
    for name, text in (
        ("proc/cmdline", "quiet testbed.report=http://127.0.0.1:9/host/KC-1 ro\n"),
        ("etc/os-release", 'ID=debian\nVERSION_ID="12"\n'),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    words = ("boot-complete", "--update-versions", "--timeout", "0", "--root", str(tmp_path))
    assert ctl.refused(*words)[0].startswith("mayuctl: http://127.0.0.1:9 does not answer")
    (tmp_path / "proc/cmdline").write_text("quiet\n")
    assert ctl.refused(*words)[0] == "mayuctl: the kernel's command line has no mayu.report= and no testbed.report="
