"""Rendered configs through the real Ignition, applied to a directory: what is on disk is what the template says."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from ignition.render import render

ENGINE = Path("/usr/lib/dracut/modules.d/30ignition/ignition")

TEMPLATE = """\
variant: fcos
version: 1.4.0
storage:
  directories:
    - path: /opt/site
      mode: 0750
  files:
    - path: /etc/hostname
      mode: 0644
      contents: {inline: "{{ host.name }}\\n"}
    - path: /etc/secret
      mode: 0600
      contents: {inline: "{{ host.secret }}"}
    - path: /etc/long
      contents:
        inline: |
          {% for number in range(500) %}
          line {{ number }} of {{ host.name }}
          {% endfor %}
    - path: /etc/appended
      mode: 0640
      contents: {inline: "first\\n"}
      append:
        - inline: "second\\n"
  links:
    - path: /etc/link
      target: "{{ host.target }}"
systemd:
  units:
    - name: site.service
      enabled: true
      contents: |
        [Unit]
        Description={{ host.name }}
        [Install]
        WantedBy=multi-user.target
    - name: other.service
      dropins:
        - name: 10-site.conf
          contents: "[Service]\\nEnvironment=NAME={{ host.name }}\\n"
    - name: unwanted.service
      mask: true
"""
HOST = {"host": {"name": "node1", "secret": "é: {{ x }} \"'\n\t%\u2028", "target": "../opt/site"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory that the config has been applied to."""
    if not os.access(ENGINE, os.X_OK):
        pytest.skip(f"looked for {ENGINE}; it is in Debian's package ignition")
    root = tmp_path / "root"
    (root / "etc/selinux").mkdir(parents=True)
    (root / "etc/selinux/config").write_text("SELINUX=disabled\nSELINUXTYPE=none\n")
    # Ignition relabels whatever it wrote; in a directory there is nothing to relabel.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "setfiles").write_text("#!/bin/sh\n")
    (programs / "setfiles").chmod(0o755)
    rendered = render(TEMPLATE, "site.bu", HOST)
    assert rendered.report.problems == ()
    (tmp_path / "config.ign").write_bytes(rendered.config)
    environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin", "IGNITION_CONFIG_FILE": str(tmp_path / "config.ign")}
    for stage in ("fetch", "files"):
        argv = [str(ENGINE), "--platform=file", f"--stage={stage}", "--root", str(root), "--log-to-stdout"]
        argv += ["--config-cache", str(tmp_path / "cache.json"), "--state-file", str(tmp_path / "state.json")]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout[-4000:]
    return root


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_hold_what_the_template_says(root: Path) -> None:
    assert (root / "etc/hostname").read_text() == "node1\n"
    assert (root / "etc/secret").read_bytes() == HOST["host"]["secret"].encode()
    assert (root / "etc/long").read_text() == "".join(f"line {number} of node1\n" for number in range(500))
    assert (root / "etc/appended").read_text() == "first\nsecond\n"


def test_modes_and_links_are_as_declared(root: Path) -> None:
    assert [mode(root / path) for path in ("etc/hostname", "etc/secret", "etc/appended", "opt/site")] == [
        0o644,
        0o600,
        0o640,
        0o750,
    ]
    assert (root / "etc/link").readlink() == Path("../opt/site")


def test_units_and_drop_ins_are_in_place(root: Path) -> None:
    units = root / "etc/systemd/system"
    assert (units / "site.service").read_text() == "[Unit]\nDescription=node1\n[Install]\nWantedBy=multi-user.target\n"
    assert (units / "other.service.d/10-site.conf").read_text() == "[Service]\nEnvironment=NAME=node1\n"
    assert (units / "unwanted.service").readlink() == Path("/dev/null")
    assert (root / "etc/systemd/system-preset/20-ignition.preset").read_text() == "enable site.service\n"


def test_the_real_validator_accepts_what_was_rendered() -> None:
    tool = shutil.which("ignition-validate")
    if tool is None:
        pytest.skip("looked for ignition-validate in PATH; it is in Debian's package ignition")
    config = render(TEMPLATE, "site.bu", HOST).config
    done = subprocess.run([tool, "-"], input=config, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
