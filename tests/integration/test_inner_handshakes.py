"""A real API server takes up certificates that are written into its files while it serves, and no client is turned away."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from kubeception_sim.agents.vm.renewal import File, packed
from kubeception_sim.artifacts import node
from kubeception_sim.checks.handshakes import Entrance, HandshakeProbe
from kubeception_sim.giantnetes.door import Door
from kubeception_sim.lab import Lab
from tests.api_server import OUTSIDE, Kubernetes, serving

pytestmark = pytest.mark.timeout(240)

TAKER = node.HERE / "root/usr/libexec/testbed/files"
LOOK_SECONDS = 120.0
"""The API server looks once a minute."""


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[Kubernetes]:
    with Lab.create(tmp_path / "lab") as lab, serving(lab) as found:
        yield found


def given(files: list[File], folder: Path) -> bytes:
    """What the program of the node image answers to them."""
    near, far = socket.socketpair()
    environment = {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(folder)}
    with near, subprocess.Popen(["bash", str(TAKER)], stdin=far.fileno(), stdout=far.fileno(), env=environment) as taker:
        far.close()
        archive = packed(files)
        near.sendall(b"files %d\n" % len(archive) + archive)
        said = near.recv(200)
        taker.kill()
    return said


def test_a_certificate_becomes_another_and_no_handshake_fails(kubernetes: Kubernetes, tmp_path: Path) -> None:
    other = trustme.CA()
    issued = other.issue_cert("127.0.0.1", OUTSIDE)
    trusted = tmp_path / "both.crt"
    trusted.write_bytes(kubernetes.ca.read_bytes() + other.cert_pem.bytes())
    entrance = Entrance(Door(lambda: socket.socket(), "127.0.0.1", kubernetes.port, trusted), OUTSIDE)
    folder, work = kubernetes.logs, tmp_path / "work"
    work.mkdir()
    pair = {"tls.crt": issued.cert_chain_pems[0].bytes(), "tls.key": issued.private_key_pem.bytes()}
    before = entrance.serial()
    with HandshakeProbe("handshakes", entrance, 0.05, time.monotonic) as probe:
        assert probe.steady(1.0, time.monotonic() + 20), probe.trouble()
        assert given([File(str(folder / name), 0o600, data) for name, data in pair.items()], work) == b"done\n"
        deadline = time.monotonic() + LOOK_SECONDS
        while probe.serials == {before}:
            assert time.monotonic() < deadline, "it shows the certificate that it had"
            time.sleep(0.2)
        assert probe.steady(2.0, time.monotonic() + 30), probe.trouble()
    assert (probe.result().failures, len(probe.serials)) == (0, 2), probe.result().problem
    assert entrance.serial() != before
