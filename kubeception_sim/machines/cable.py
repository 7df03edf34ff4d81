"""The cable of a machine without a network card of its own: a veth pair from its namespace's eth0 to the fabric.

A container has a new network namespace at every boot, which gets a name here, and the pair ends with it.
"""

from contextlib import suppress
from dataclasses import dataclass

from kubeception_sim.errors import CommandFailed
from kubeception_sim.run import run

CARD = "eth0"
_COMMAND_SECONDS = 10.0


@dataclass(frozen=True)
class Cable:
    """From the machine `name` with the given MAC to `bridge` in the namespace `fabric`; `network` is the name it gets."""

    name: str
    mac: str
    network: str
    fabric: str
    bridge: str

    @property
    def link(self) -> str:
        """The fabric's end; its alias in `ip link` is the machine's name."""
        return f"m{self.mac.replace(':', '')}"

    def connect(self, pid: int, *, up: bool) -> None:
        """To the network namespace that the process `pid` is in. What an earlier boot has left is removed first."""
        self.disconnect()
        _ip("netns", "attach", self.network, str(pid))
        self.plug(up=up)

    def plug(self, *, up: bool) -> None:
        """Into the machine's network namespace, which is there already under its name."""
        peer = ("peer", "name", CARD, "address", self.mac, "netns", self.network)
        _ip("-netns", self.fabric, "link", "add", self.link, "type", "veth", *peer)
        settings = ("alias", self.name, "addrgenmode", "none", "master", self.bridge)
        _ip("-netns", self.fabric, "link", "set", "dev", self.link, *settings, "up" if up else "down")

    def unplug(self) -> None:
        """Remove the pair. The kernel would do so with the namespace, but in its own time."""
        _ip("-netns", self.fabric, "link", "delete", self.link)

    def disconnect(self) -> None:
        """Remove both; nothing happens when there is nothing."""
        with suppress(CommandFailed):  # gone with the container already, or not yet there
            self.unplug()
        with suppress(CommandFailed):
            _ip("netns", "delete", self.network)

    def set(self, *, up: bool) -> None:
        """Take the fabric's end down, or up: both ends lose their carrier."""
        _ip("-netns", self.fabric, "link", "set", "dev", self.link, "up" if up else "down")


def _ip(*words: str) -> None:
    run(["ip", *words], timeout=_COMMAND_SECONDS)
