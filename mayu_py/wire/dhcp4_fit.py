"""A DHCP message no longer than its receiver takes: option 57, option overload (RFC 2131, section 4.1), and what is left out."""

from collections.abc import Mapping
from dataclasses import replace

from mayu_py.wire import dhcp4
from mayu_py.wire.dhcp4 import Message, Option

# Every client takes an IP datagram of 576 bytes (RFC 2131, section 2); none is promised more than an Ethernet carries.
SMALLEST_DATAGRAM = 576
LARGEST_DATAGRAM = 1500
_IP_AND_UDP = 28

FIRST_TO_GO = (
    Option.DOMAIN_SEARCH,  # a convenience
    Option.NTP_SERVERS,  # the host's config names them too
    Option.BROADCAST_ADDRESS,  # follows from the mask
    Option.TFTP_SERVER_NAME,  # stands in siaddr too
    Option.DOMAIN_NAME,
    Option.HOST_NAME,
    Option.CLASSLESS_STATIC_ROUTE,  # the router stays
    Option.DOMAIN_NAME_SERVER,
    Option.MESSAGE,
    Option.CLIENT_IDENTIFIER,  # its echo is for clients that share a hardware address
)
"""What is left out of a message that is too long, in this order. What is not named here always stays."""

# A relay looks for its option at the end of the options field, and only there (RFC 3046, section 2.1).
_STAYS = frozenset({Option.MESSAGE_TYPE, Option.SERVER_IDENTIFIER, Option.RELAY_AGENT_INFORMATION})
_FILE, _SNAME = 128, 64


def room(request: Message) -> int:
    """The longest UDP payload that the sender of `request` takes, in bytes. Option 57 counts the whole IP datagram."""
    raw = request.options.get(Option.MAXIMUM_MESSAGE_SIZE, b"")
    told = int.from_bytes(raw, "big") if len(raw) == 2 else 0
    return min(max(told, SMALLEST_DATAGRAM), LARGEST_DATAGRAM) - _IP_AND_UDP


def build(message: Message, room: int) -> tuple[bytes, tuple[int, ...]]:
    """The datagram, of at most `room` bytes if that can be done, and the options that were left out of it.

    A message that fits is written as it is. One that does not has options in `file` and `sname` where these are free, and
    only then loses options. What must stay may still be too long: a relay's option 82 is never touched.
    """
    datagram = dhcp4.build(message)
    left_out: list[int] = []
    options = dict(message.options)
    for code in (None, *FIRST_TO_GO):
        if len(datagram) <= room:
            break
        if code is not None:
            if code not in options:
                continue
            del options[code]
            left_out.append(code)
        datagram = _overloaded(replace(message, options=options), room)
    return datagram, tuple(left_out)


def _overloaded(message: Message, room: int) -> bytes:
    """With options in `file` and `sname`: each one whole, the first that fit in the options field."""
    fields = {1: _FILE - 1 if not message.file else 0, 2: _SNAME - 1 if not message.sname else 0}  # One byte for END.
    held: dict[int, dict[int, bytes]] = {0: {}, 1: {}, 2: {}}
    # Header, cookie, END and option 52 itself, and what may stand nowhere else.
    left = room - dhcp4.OPTIONS_AT - 1 - 3 - sum(_size(message.options, code) for code in _STAYS)
    for code in sorted(message.options, key=_rank):  # `sorted` is stable: what is of one rank keeps its order.
        size = _size(message.options, code)
        if code in _STAYS:
            continue
        if size <= left:
            left -= size
            held[0][code] = message.options[code]
            continue
        place = next((field for field in (1, 2) if size <= fields[field]), 0)
        fields[place] = fields.get(place, 0) - size
        held[place][code] = message.options[code]
    used = (1 if held[1] else 0) | (2 if held[2] else 0)
    first = {code: message.options[code] for code in message.options if code in _STAYS and code != Option.RELAY_AGENT_INFORMATION}
    last = {code: message.options[code] for code in message.options if code == Option.RELAY_AGENT_INFORMATION}
    overload: dict[int, bytes] = {Option.OVERLOAD: bytes((used,))} if used else {}
    raw = bytearray(dhcp4.build(replace(message, options={**first, **overload, **held[0], **last})))
    for field, (at, width) in {1: (dhcp4.FILE_AT, _FILE), 2: (dhcp4.SNAME_AT, _SNAME)}.items():
        if held[field]:
            raw[at : at + width] = (dhcp4.encode_options(held[field]) + b"\xff").ljust(width, b"\0")
    return bytes(raw)


def _rank(code: int) -> int:
    """What goes last stands first, where the most clients read it."""
    return -FIRST_TO_GO.index(Option(code)) if code in FIRST_TO_GO else -len(FIRST_TO_GO)


def _size(options: Mapping[int, bytes], code: int) -> int:
    return len(dhcp4.encode_options({code: options[code]})) if code in options else 0
