"""The values that go into and come out of a decision: requests, replies, events."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address

from mayu_py.core.hosts import Host, Identity, Stage, State
from mayu_py.core.networks import Network

UNSET = IPv4Address(0)


class DhcpKind(Enum):
    """The DHCP messages a client sends (RFC 2131, section 3)."""

    DISCOVER = 1
    REQUEST = 3
    DECLINE = 4
    RELEASE = 7
    INFORM = 8


@dataclass(frozen=True, slots=True)
class DhcpRequest:
    """A client's DHCP message, as far as it decides anything.

    It came in on `interface`, or through the relay `giaddr`; `link` is the subnet that the relay names where its own address
    does not (RFC 3527), `override` the address by which the relay wants its clients to know the server (RFC 5107). `arch` is
    option 93, `http` a firmware that loads its boot file by HTTP, `binl` that it was sent to port 4011.
    """

    kind: DhcpKind
    identity: Identity
    arch: int | None = None
    netboot: bool = False
    ipxe: bool = False
    requested: IPv4Address | None = None
    server_id: IPv4Address | None = None
    ciaddr: IPv4Address = UNSET
    interface: str = ""
    giaddr: IPv4Address = UNSET
    link: IPv4Address | None = None
    override: IPv4Address | None = None
    http: bool = False
    binl: bool = False


@dataclass(frozen=True, slots=True)
class TftpRead:
    """A TFTP read request from `source`."""

    source: IPv4Address
    file: str


@dataclass(frozen=True, slots=True)
class BootFileRead:
    """A boot file is fetched over HTTP by the firmware at `source` (UEFI HTTP Boot)."""

    source: IPv4Address | None
    file: str


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """iPXE asks what to boot. `chip` is its driver: `undionly`, `snp`, or a NIC's name when it lives in a ROM."""

    identity: Identity
    platform: str = ""
    chip: str = ""
    source: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class ImageRead:
    """A file of an image is fetched by `source`."""

    source: IPv4Address | None
    image: str
    file: str


@dataclass(frozen=True, slots=True)
class IgnitionRequest:
    """Ignition asks for the machine's config."""

    identity: Identity
    source: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A host says how far it has come. `what` is a Stage, or State.FAILED with the reason in `text`."""

    source: IPv4Address | None
    ident: str
    what: Stage | State
    text: str = ""
    os_version: str = ""


Request = DhcpRequest | TftpRead | BootFileRead | ScriptRequest | ImageRead | IgnitionRequest | Report


@dataclass(frozen=True, slots=True)
class Lease:
    """DHCPOFFER or DHCPACK.

    `yiaddr` is None in the answer to DHCPINFORM, and in a network where another server gives out the addresses. `boot_file` is
    None for who does not netboot, and for firmware that there is no file for; it is a URL where `http` or `ipxe`.
    """

    host: Host
    network: Network
    ack: bool
    yiaddr: IPv4Address | None
    boot_file: str | None
    ipxe: bool = False
    netboot: bool = False
    http: bool = False


@dataclass(frozen=True, slots=True)
class Nak:
    """DHCPNAK: the address the client holds is not its own."""

    network: Network
    why: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The host has found somebody else at the `address` that it was given (DHCPDECLINE)."""

    host: Host
    network: Network
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Enrol:
    """Write a record for this unknown machine of a network first, then decide again."""

    identity: Identity
    network: Network


@dataclass(frozen=True, slots=True)
class ChainTo:
    """iPXE loads `file` over TFTP and starts again in it."""

    file: str


@dataclass(frozen=True, slots=True)
class BootImage:
    """iPXE boots `image` as the host `host`."""

    host: Host
    image: str


@dataclass(frozen=True, slots=True)
class BootDisk:
    """The machine is installed: it boots from its disk."""

    host: Host


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Serve the host's own Ignition config."""

    host: Host


@dataclass(frozen=True, slots=True)
class Accept:
    """Yes: serve the file, or take the report in."""

    host: Host | None


class Refusal(Enum):
    """Why a request is refused; each one maps to one HTTP status."""

    NOT_READY = 503  # Ignition retries on 5xx and gives up for ever on 4xx, so "not yet" must be 503.
    UNKNOWN = 404
    FORBIDDEN = 403
    NOT_ACCEPTABLE = 406  # For this client never, whatever it does.


@dataclass(frozen=True, slots=True)
class Refuse:
    """No, with the reason for the client's console."""

    refusal: Refusal
    why: str


Reply = Lease | Nak | Conflict | Enrol | ChainTo | BootImage | BootDisk | ServeConfig | Accept | Refuse


@dataclass(frozen=True, slots=True)
class Reached:
    """The host gave a sign of having reached `stage`."""

    host: Host
    stage: Stage
    from_ipxe: bool = False


@dataclass(frozen=True, slots=True)
class Became:
    """The host is now in `state`."""

    host: Host
    state: State
    text: str = ""
    installed: bool = False  # from now on it boots from its disk


@dataclass(frozen=True, slots=True)
class Learned:
    """The machine told its serial or uuid, which its record lacks, or the version of its operating system.

    `address` is where a host that another server gives its address is now.
    """

    host: Host
    identity: Identity = field(default_factory=Identity)
    os_version: str = ""
    address: IPv4Address | None = None


Event = Reached | Became | Learned


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send (None: nothing), what to write down, and which rules decided."""

    reply: Reply | None
    events: tuple[Event, ...] = ()
    reasons: tuple[str, ...] = ()
