"""DHCP against real clients, and against datagrams nobody should send."""

from pathlib import Path

from tests.net.lan import SERVER, Config, Lan, StartMayu

UDHCPC_SCRIPT = """\
#!/bin/sh
env | grep -E '^(ip|subnet|router|siaddr|boot_file|tftp|hostname|lease|serverid)=' > "$OUT.$1"
"""


def udhcpc(lan: Lan, where: str, folder: Path, *more: str) -> dict[str, str]:
    """What the lease says, as udhcpc hands it to its script."""
    script = folder / "udhcpc.sh"
    script.write_text(UDHCPC_SCRIPT)
    script.chmod(0o755)
    out = folder / f"lease-{where}"
    options = ("-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", str(script))
    lan.run(where, "env", f"OUT={out}", "udhcpc", *options, *more)
    return dict(line.split("=", 1) for line in out.with_suffix(".bound").read_text().splitlines())


def test_udhcpc_gets_its_own_address(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    lease = udhcpc(lan, lan.client(mac="52:54:00:00:00:05"), config.folder)
    assert lease == {
        "ip": "10.78.0.7",
        "subnet": "255.255.252.0",
        "router": SERVER,
        "serverid": SERVER,
        "hostname": "node-5",
        "lease": "3600",
    }


def test_a_firmware_is_told_its_boot_file(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    asks = ("-V", "PXEClient:Arch:00007:UNDI:003000", "-x", "0x5d:0007", "-O", "bootfile", "-O", "tftp")
    lease = udhcpc(lan, client, config.folder, *asks)
    assert (lease["boot_file"], lease["siaddr"], lease["tftp"]) == ("snponly.efi", SERVER, SERVER)


def test_strangers_are_ignored(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    start_mayu()
    client = lan.client()
    script = ("-s", "/bin/true")
    ran = lan.run(client, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "2", "-T", "1", *script, check=False)
    assert ran.returncode == 1
    assert lan.counters()["dhcp.unanswered", "discover"] >= 2


def test_strangers_enrol_and_keep_their_address(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.data["unknown_hosts"] = "enrol"
    mayu = start_mayu()
    client = lan.client(mac="52:54:00:0a:0b:0c")
    first = udhcpc(lan, client, config.folder)
    assert first["ip"] == "10.78.3.1"
    assert mayu.stop() == 0
    start_mayu()
    assert udhcpc(lan, client, config.folder) == first
    (host,) = lan.get("/v1/hosts")
    assert (host["name"], host["macs"], host["state"]) == ("10-78-3-1", ["52:54:00:0a:0b:0c"], "discovered")


def perfdhcp(lan: Lan, where: str, *options: str) -> str:
    ran = lan.run(where, "perfdhcp", "-4", *options, timeout=60, check=False)
    # perfdhcp ends with 3 when some exchanges were not complete; what it prints decides.
    assert ran.returncode in (0, 3), ran.stdout + ran.stderr
    return ran.stdout


def lines(output: str, name: str) -> list[int]:
    """perfdhcp prints each figure once for DISCOVER-OFFER and once for REQUEST-ACK."""
    return [int(line.split(":")[1].split()[0]) for line in output.splitlines() if line.startswith(name)]


def test_perfdhcp_completes_every_exchange(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.data["unknown_hosts"] = "enrol"
    start_mayu()
    client = lan.client(address="10.78.0.250")
    output = perfdhcp(lan, client, "-l", "eth0", "-r", "100", "-R", "150", "-n", "300", "-W", "2000000", SERVER)
    assert lines(output, "drops:") == [0, 0]
    assert lines(output, "received packets:") == [300, 300]
    addresses = [host["address"] for host in lan.get("/v1/hosts")]
    assert len(addresses) == len(set(addresses)) == 150


def test_an_exhausted_range_refuses_by_name_and_the_server_stays_up(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    config.data["unknown_hosts"] = "enrol"
    config.data["networks"][0]["range"]["end"] = "10.78.3.20"
    mayu = start_mayu()
    client = lan.client(address="10.78.0.250")
    perfdhcp(lan, client, "-l", "eth0", "-r", "50", "-R", "40", "-n", "40", SERVER)
    assert len(lan.get("/v1/hosts")) == 1 + 20
    assert "the range of network rack at" in mayu.log.read_text()
    assert "(10.78.3.1 to 10.78.3.20) has no free address" in mayu.log.read_text()
    assert udhcpc(lan, lan.client(mac="52:54:00:00:00:05"), config.folder)["ip"] == "10.78.0.7"
