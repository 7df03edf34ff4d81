"""What happens to a namespace machine before systemd: firmware or a direct boot, network, root file system, the real Ignition.

The order, the files and the reports are those of the testbed's initrd (artifacts/testbed/dracut), so that a server sees the
same of both. Runs inside the machine's network namespace.
"""

import hashlib
import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import ignition
from ignition.document import DocumentError
from ignition.stages import ApplyError, EngineFailed
from kubeception_sim.machines.fake_client import Hardware, fetch, put
from kubeception_sim.machines.fake_guest import RETRY_SECONDS, load, patiently
from kubeception_sim.machines.fake_ipxe import BootFailed
from kubeception_sim.run import run

_log = logging.getLogger("machine")

CARD = "eth0"
IGNITION_SECONDS = 900.0  # as long as the initrd's own units may take
_COMMAND_SECONDS = 30.0
_REPORT_BYTES = 65535
_JOURNAL_LINES = 100
_PRESET = Path("etc/systemd/system-preset/20-ignition.preset")


class Failure(Exception):
    """This boot cannot go on; the text says why, for the console and the server."""


@dataclass(frozen=True)
class Wiring:
    """The machine's identity and, for a direct boot, its address and gateway."""

    serial: str
    uuid: str
    mac: str
    architecture: int
    address: str
    gateway: str


@dataclass(frozen=True)
class Kernel:
    """What the initrd would find: the words of the kernel command line, and the network as it is set up now.

    `network` is a file for networkd, by which the real root keeps it; `config` is the machine's own, a URL or a path.
    """

    words: tuple[str, ...]
    network: str
    config: str

    def argument(self, name: str) -> str:
        """The last value of `name=`, empty when it is not there."""
        return next((word.partition("=")[2] for word in reversed(self.words) if word.startswith(f"{name}=")), "")


def direct(wiring: Wiring, config: str, words: tuple[str, ...]) -> Kernel:
    """Straight to the kernel, with a static address."""
    _wake_up()
    network = _static(wiring.address, wiring.gateway)
    source = (f"ignition.config.url={config}",) if urlsplit(config).netloc else ()
    return Kernel((*words, *source), network, config)


def firmware(wiring: Wiring) -> Kernel:
    """PXE and iPXE until something boots: firmware that cannot boot tries again, as in a rack."""
    _wake_up()
    machine = Hardware(wiring.serial, UUID(wiring.uuid), bytes.fromhex(wiring.mac.replace(":", "")), wiring.architecture, CARD)
    while True:
        try:
            booted = load(machine)
            break
        except (BootFailed, OSError) as error:
            _log.error("no bootable device: %s", error)
            time.sleep(RETRY_SECONDS)
    _log.info("kernel: %s", " ".join(booted.arguments))
    kernel = Kernel(booted.arguments, _DYNAMIC, "")
    if (given := kernel.argument("ip")) and not given.endswith("dhcp"):
        address, gateway = _kernel_address(given)
        return Kernel(kernel.words, _static(address, gateway), kernel.argument("ignition.config.url"))
    return Kernel(kernel.words, _DYNAMIC, kernel.argument("ignition.config.url"))


def root_image(kernel: Kernel, own: Path, own_sha256: str, directory: Path) -> Path:
    """The squashfs to mount: our own when it is the one that the server names, else the server's, kept for the next boot."""
    wanted = kernel.argument("testbed.sha256") or own_sha256
    if wanted == own_sha256:
        return own
    image = directory / f"rootfs-{wanted}.squashfs"
    if not image.exists():
        url = kernel.argument("testbed.rootfs")
        try:
            content = patiently(fetch, url)
        except (BootFailed, OSError) as error:
            raise Failure(f"no root file system: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != wanted:
            raise Failure(f"sha256 of {url} is {found}, not {wanted}")
        draft = image.with_suffix(".new")
        draft.write_bytes(content)
        draft.rename(image)
    return image


def provision(kernel: Kernel, root: Path, name: str) -> None:
    """Let Ignition write the machine's config, and apply the preset it leaves. Raises Failure with Ignition's last words."""
    hostname = root / "etc" / "hostname"
    if hostname.read_text().strip() in ("", "localhost"):
        hostname.write_text(f"{name}\n")
    if not kernel.config:
        raise Failure("no ignition.config.url on the kernel command line")
    if urlsplit(kernel.config).netloc:
        # Ignition itself fetches it, with the headers by which a server knows what it can read.
        source = {"ignition": {"version": "3.0.0", "config": {"replace": {"source": kernel.config}}}}
        config = json.dumps(source).encode()
    else:
        config = Path(kernel.config).read_bytes()
    try:
        applied = ignition.apply(config, root, partial=True, timeout=IGNITION_SECONDS)
    except EngineFailed as error:
        raise Failure("\n".join((error.message, *error.journal[-_JOURNAL_LINES:]))) from error
    except (ApplyError, DocumentError, OSError) as error:
        raise Failure(f"Ignition: {error}") from error
    for line in applied.journal:
        _log.debug("ignition: %s", line)
    _log.info("ignition: config of version %s applied", applied.spec)
    for part in applied.skipped:
        _log.warning("ignition: a namespace has no %s, left out", part)
    _apply_preset(root)


def _apply_preset(root: Path) -> None:
    """As the initrd does (testbed/dracut/initrd/usr/libexec/testbed/presets): a first boot of systemd would cost seconds."""
    preset = root / _PRESET
    if not preset.exists():
        return
    for line in preset.read_text().splitlines():
        verb, *rest = line.split() or [""]
        if verb not in ("enable", "disable") or not rest:
            continue
        unit, *instances = rest
        units = [unit.replace("@.", f"@{instance}.") for instance in instances] or [unit]
        done = run(["chroot", root, "systemctl", "--root=/", verb, *units], timeout=_COMMAND_SECONDS, check=False)
        if done.code != 0:
            # As with a real preset, a name that is no unit is told and does not stop the boot.
            _log.warning("cannot %s %s: %s", verb, " ".join(units), done.stderr.strip())


def keep_network(kernel: Kernel, root: Path) -> None:
    """Tell networkd of the real root to leave the address as it is."""
    folder = root / "run" / "systemd" / "network"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-testbed.network").write_text(kernel.network)


def tell_failure(kernel: Kernel, failure: Failure, name: str, seconds: float) -> None:
    """On the console, and to the server if it wanted reports."""
    text = f"boot failed on {name}, {seconds:.2f} s after power-on\n{failure}"
    _log.error("%s", text)
    with suppress(BootFailed, OSError):
        patiently(lambda url: put(url, text.encode()[:_REPORT_BYTES]), f"{kernel.argument('testbed.report')}/failed")


def tell_handover(kernel: Kernel) -> None:
    """The initrd's last report. A server that is away for a moment must not keep a good machine from running."""
    try:
        patiently(put, f"{kernel.argument('testbed.report')}/stage/switch-root")
    except (BootFailed, OSError) as error:
        _log.warning("not reported: %s", error)


_HEAD = f"[Match]\nName={CARD}\n\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
_DYNAMIC = f"""{_HEAD}DHCP=ipv4
KeepConfiguration=dhcp-on-stop

[DHCPv4]
ClientIdentifier=mac
UseHostname=no
UseDNS=no
UseNTP=no
UseTimezone=no
SendRelease=no
"""


def _static(address: str, gateway: str) -> str:
    commands = [f"address flush dev {CARD}", f"address add {address} brd + dev {CARD}"]
    if gateway:
        commands.append(f"route add default via {gateway} dev {CARD}")
    _ip(*commands)
    _log.info("%s has %s", CARD, address)
    route = f"Gateway={gateway}\n" if gateway else ""
    return f"{_HEAD}Address={address}\n{route}KeepConfiguration=static\n"


def _kernel_address(given: str) -> tuple[str, str]:
    """Address and gateway of `ip=CLIENT:[SERVER]:[GATEWAY]:NETMASK:...` (the kernel's nfsroot.rst)."""
    client, _, gateway, netmask = given.split(":")[:4]
    return str(IPv4Interface(f"{client}/{netmask}")), "" if gateway == "0.0.0.0" else gateway


def _wake_up() -> None:
    # A reply may come from an address that we have no route to yet.
    for card in ("all", "default", CARD):
        Path(f"/proc/sys/net/ipv4/conf/{card}/rp_filter").write_text("0")
    _ip("link set lo up", f"link set {CARD} up")


def _ip(*lines: str) -> None:
    run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines).encode(), timeout=_COMMAND_SECONDS)
