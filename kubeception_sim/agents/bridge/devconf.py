"""IPv4 switches of links, set by netlink: in a container /proc/sys can be read, but not written.

The message is RTM_NEWLINK for the link's index, with IFLA_AF_SPEC > AF_INET > IFLA_INET_CONF and a number for each setting
(rtnetlink(7); include/uapi/linux/ip.h).
"""

import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from kubeception_sim.agents.bridge.plan import ARP_IGNORE, FORWARDING, PROXY_ARP, ROUTE_LOCALNET, SEND_REDIRECTS

NUMBERS = {FORWARDING: 1, PROXY_ARP: 3, SEND_REDIRECTS: 6, ARP_IGNORE: 19, ROUTE_LOCALNET: 26}
"""IPV4_DEVCONF_*."""
_CONF = Path("/proc/sys/net/ipv4/conf")
_RTM_NEWLINK, _NLMSG_ERROR = 16, 2
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_IFLA_AF_SPEC, _IFLA_INET_CONF = 26, 1
_HEADER, _LINK, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")
_SECONDS = 5.0


def read(link: str) -> Mapping[str, int]:
    """The settings of a link. Raises OSError when there is no such link."""
    return {name: int((_CONF / link / name).read_text()) for name in NUMBERS}


def write(link: str, settings: Mapping[str, int]) -> None:
    """Set some of them. Raises OSError."""
    values = b"".join(_attribute(NUMBERS[name], struct.pack("=I", value)) for name, value in settings.items())
    nested = _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET, _attribute(_IFLA_INET_CONF, values)))
    body = _LINK.pack(socket.AF_UNSPEC, 0, socket.if_nametoindex(link), 0, 0) + nested
    header = _HEADER.pack(_HEADER.size + len(body), _RTM_NEWLINK, _NLM_F_REQUEST | _NLM_F_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.send(header + body)
        answer = kernel.recv(4096)
    _, kind, *_ = _HEADER.unpack_from(answer)
    (error,) = struct.unpack_from("=i", answer, _HEADER.size)
    if kind != _NLMSG_ERROR or error:
        raise OSError(-error, os.strerror(-error), link)


def _attribute(kind: int, content: bytes) -> bytes:
    whole = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content
    return whole + bytes(-len(whole) % 4)
