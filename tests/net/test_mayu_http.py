"""HTTP as machines and curl see it."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.net.lan import PORT, SERVER, Config, Lan, StartMayu

URL = f"http://{SERVER}:{PORT}"


class Client:
    """curl in a namespace with the address of one host."""

    def __init__(self, lan: Lan, address: str) -> None:
        self.lan = lan
        self.name = lan.client(address=address)

    def curl(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.lan.run(self.name, "curl", "-sS", *argv)

    def status(self, *argv: str) -> tuple[int, str]:
        """Status and body."""
        body, _, status = self.curl("-w", "\n%{http_code}", *argv).stdout.rpartition("\n")
        return int(status), body


@pytest.fixture
def client(lan: Lan, config: Config, start_mayu: StartMayu) -> Client:
    config.host(5)
    config.host(6)
    start_mayu()
    return Client(lan, "10.78.0.7")


def stage_and_state(lan: Lan, name: str = "node-5") -> tuple[str | None, str]:
    host: dict[str, Any] = lan.get(f"/v1/hosts/{name}")
    return host["stage"], host["state"]


def test_a_host_boots_in_requests(client: Client, lan: Lan) -> None:
    entry = client.curl(f"{URL}/boot.ipxe").stdout
    assert f"chain --replace {URL}/script?serial=${{serial:uristring}}" in entry
    rom = client.curl(f"{URL}/script?serial=KC-0005&platform=pcbios&chip=virtio-net").stdout
    assert f"chain --autofree tftp://{SERVER}/undionly.kpxe" in rom
    script = client.curl(f"{URL}/script?serial=KC-0005&platform=pcbios&chip=undionly").stdout
    assert f"kernel {URL}/images/testbed/kernel initrd=initrd ignition.config.url={URL}/ignition?serial=KC-0005" in script
    ignition = json.loads(client.curl(f"{URL}/ignition?serial=KC-0005").stdout)
    assert ignition["storage"]["files"][0]["contents"]["source"] == "data:,node-5"
    assert client.status("-X", "PUT", f"{URL}/host/KC-0005/stage/switch-root")[0] == 202
    assert client.status("-X", "PUT", f"{URL}/host/KC-0005/boot_complete")[0] == 202
    assert stage_and_state(lan) == ("running", "running")
    events = sorted(lan.get("/v1/events"), key=lambda event: event["monotonic_ns"])
    kinds = [(event["kind"], event["detail"].get("stage") or event["detail"].get("to")) for event in events]
    assert [step for step in kinds if step[0] in ("stage", "state")] == [
        ("stage", "ipxe"),
        ("stage", "ignition"),
        ("state", "installing"),
        ("stage", "switch-root"),
        ("stage", "running"),
        ("state", "running"),
    ]


def test_a_host_cannot_report_for_another(client: Client, lan: Lan) -> None:
    status, why = client.status("-X", "PUT", f"{URL}/host/KC-0006/boot_complete")
    assert (status, why.strip()) == (403, "only node-6 itself (10.78.0.8) may report for it, not 10.78.0.7")
    assert stage_and_state(lan, "node-6") == (None, "configured")


def test_running_before_installing_is_a_conflict(client: Client) -> None:
    status, why = client.status("-X", "PUT", f"{URL}/host/KC-0005/boot_complete")
    assert (status, why.strip()) == (409, "a host that is configured cannot become running")


def test_a_failure_is_kept_with_its_text(client: Client, lan: Lan) -> None:
    assert client.status("-X", "PUT", "--data-binary", "no config\n", f"{URL}/host/KC-0005/failed")[0] == 202
    assert stage_and_state(lan)[1] == "failed"
    assert {"text": "no config\n"} in [event["detail"] for event in lan.get("/v1/events")]


def test_too_long_a_report_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 70_000)
    status, why = client.status("-X", "PUT", "--data-binary", f"@{tmp_path}/long", f"{URL}/host/KC-0005/failed")
    assert (status, why.strip()) == (413, "a body of 65536 bytes is the most")


def test_not_ready_is_503_with_a_time_to_come_back(client: Client) -> None:
    answer = client.curl("-i", f"{URL}/ignition?serial=unheard").stdout
    assert answer.startswith("HTTP/1.1 503")
    assert "retry-after: 2" in answer


def test_an_image_is_served_whole_in_part_and_by_head(client: Client, config: Config, tmp_path: Path) -> None:
    content = (config.folder / "image" / "root.img").read_bytes()
    url, out = f"{URL}/images/testbed/rootfs", tmp_path / "out"
    head = client.curl("-I", url).stdout.lower()
    assert head.startswith("http/1.1 200")
    assert f"content-length: {len(content)}" in head
    assert "accept-ranges: bytes" in head
    client.curl("-o", str(out), url)
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(content).digest()
    part = client.curl("-D", "-", "-o", str(out), "-r", "1000-1999", url).stdout.lower()
    assert part.startswith("http/1.1 206")
    assert f"content-range: bytes 1000-1999/{len(content)}" in part
    assert out.read_bytes() == content[1000:2000]
    out.write_bytes(content[:150_000])
    client.curl("-o", str(out), "-C", "-", url)
    assert out.read_bytes() == content
    assert client.status("-r", "9999999-", url)[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        "/images/testbed/../../mayu.yaml",
        "/images/testbed/%2e%2e/%2e%2e/mayu.yaml",
        "/images/../mayu.yaml",
        "/images/testbed/",
        "/images//",
        "/images/other/kernel",
        "/nothing",
        "/v1/hosts/nobody",
    ],
)
def test_what_is_not_served_does_not_exist(client: Client, path: str) -> None:
    expected = 403 if path.startswith("/v1") else 404
    assert client.status("--path-as-is", URL + path)[0] == expected


def test_mayus_image_paths_lead_to_the_image(client: Client, config: Config, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for path, file in {"KC-0005/vmlinuz": "vmlinuz", "vmlinuz": "vmlinuz", "KC-0006/initrd.cpio.gz": "initrd.img"}.items():
        client.curl("-L", "-o", str(out), f"{URL}/images/{path}")
        assert out.read_bytes() == (config.folder / "image" / file).read_bytes()


def test_the_admin_face_is_for_the_servers_own_machine(client: Client, lan: Lan) -> None:
    assert client.status(f"{URL}/v1/hosts")[0] == 403
    assert [host["name"] for host in lan.get("/v1/hosts")] == ["node-5", "node-6"]
    assert client.status(f"{URL}/healthz") == (200, "ok\n")
    assert client.status(f"{URL}/readyz") == (200, "ready\n")


ODD_REQUESTS = [
    b"",
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /script?" + b"a=1&" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /script?serial=%ff%fe%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /ignition?uuid=" + b"9" * 8000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%00%ff/../.. HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT /host/%00/failed HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"PUT /host/x/failed HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"PUT /host/x/failed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /v1/events?after=-1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/events?after=\xd9\xa1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /images/testbed/rootfs HTTP/1.1\r\nHost: x\r\nRange: bytes=" + b"0-1," * 500 + b"\r\n\r\n",
    b"GET /boot.ipxe HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    b"BREW /pot HTCPCP/1.0\r\n\r\n",
]


def test_odd_requests_take_no_worker_down(client: Client, lan: Lan) -> None:
    before = lan.get("/v1/workers")
    # The harness's own machine is not on this LAN: socat-like plain bytes are sent by a child inside the namespace.
    script = (
        "import socket, sys\n"
        "for line in sys.stdin:\n"
        f"    s = socket.create_connection(({SERVER!r}, {PORT}), 5)\n"
        "    s.settimeout(0.3)\n"
        "    try:\n"
        "        s.sendall(bytes.fromhex(line))\n"
        "        s.recv(4096)\n"
        "    except OSError:\n"
        "        pass\n"
        "    s.close()\n"
    )
    lan.run(client.name, "python3", "-c", script, input="".join(f"{raw.hex()}\n" for raw in ODD_REQUESTS), timeout=60)
    assert client.status(f"{URL}/healthz") == (200, "ok\n")
    assert lan.get("/v1/workers") == before
    assert ("http.error", "internal") not in lan.counters()


def test_forty_stalled_downloads_hold_up_nobody(client: Client, config: Config, lan: Lan) -> None:
    (config.folder / "image" / "root.img").write_bytes(bytes(64 << 20))
    script = (
        "import socket, sys\n"
        "held = []\n"
        "for _ in range(40):\n"
        "    s = socket.socket()\n"
        "    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n"
        f"    s.connect(({SERVER!r}, {PORT}))\n"
        "    s.sendall(b'GET /images/testbed/rootfs HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "    held.append(s)\n"
        "for s in held:\n"
        "    assert s.recv(100)\n"
        "print('stalled', flush=True)\n"
        "sys.stdin.read()\n"
    )
    argv = ["ip", "netns", "exec", client.name, "python3", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stalled:
        assert stalled.stdout is not None
        assert stalled.stdout.readline() == b"stalled\n"
        for _ in range(10):
            assert client.curl("--max-time", "5", f"{URL}/boot.ipxe").stdout.startswith("#!ipxe")
        assert stalled.stdin is not None
        stalled.stdin.close()
