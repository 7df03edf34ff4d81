"""What BIRD 2 is told: the router between the racks, and each host. Pure.

Every host is an autonomous system of its own and announces the subnet of its pods to the router of its rack, as RFC 7938
has it for the servers of a datacentre. The numbers are of the range for private use in 32 bits (RFC 6996).

**What goes away when.** Keepalives go every 3 s, and a neighbour that is silent for 9 s has lost its routes. A neighbour
whose connection ends keeps them until its graceful restart has run out (RFC 4724), 9 s again: time for a BIRD that is
started anew, during which its pods are reachable.

**Whom the router believes.** Nobody: it knows which subnet is whose, and takes from a host that one and no other, with the host
itself as next hop and only system on the way. A host that says more gets nothing by it, and loses nothing but its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from kubeception_sim.network.rack import Rack

ROUTER_AS = 4_200_000_000
HOLD_SECONDS = 9
KEEPALIVE_SECONDS = 3
RECEIVE_MAX = 100
"""How many subnets of one host the router keeps, refused ones included: what a host may cost the router's memory."""


@dataclass(frozen=True)
class RouterPlan:
    """The router. `address` identifies it, `hosts` maps each host's address to the subnet of its pods."""

    address: IPv4Address
    racks: tuple[Rack, ...]
    hosts: Mapping[IPv4Address, IPv4Network]
    asn: int = ROUTER_AS


@dataclass(frozen=True)
class HostPlan:
    """A host: its router's address and number, its own, and the subnets of its pods out of the range `pods`."""

    address: IPv4Address
    asn: int
    router: IPv4Address
    subnets: tuple[IPv4Network, ...]
    pods: IPv4Network
    router_as: int = ROUTER_AS


def asn_of(address: IPv4Address) -> int:
    """The number of the host with that address: the router's plus its last two bytes."""
    return ROUTER_AS + int.from_bytes(address.packed[2:])


def bird_config(plan: RouterPlan) -> str:
    """The router's configuration file: one passive listener for each rack, with a session for every host that calls."""
    own = "\n".join(_OWN.format(host=host, asn=asn_of(host), subnet=subnet) for host, subnet in sorted(plan.hosts.items()))
    router = _ROUTER.format(plan=plan, own=own, most=RECEIVE_MAX, timers=_TIMERS)
    return "\n".join([router, *(_listener(plan, rack) for rack in plan.racks)])


def host_bird_config(plan: HostPlan) -> str:
    """A host's configuration file: one session, to the router; the subnets of its own pods go out, those of others come in."""
    routes = "".join(f"  route {subnet} unreachable;\n" for subnet in plan.subnets)
    return _HOST.format(plan=plan, routes=routes, timers=_TIMERS)


def listener_of(rack: Rack) -> str:
    """BIRD's name of the rack's listener; its sessions are called after it, with a number."""
    return f"rack_{''.join(letter if letter.isalnum() else '_' for letter in rack.name)}"


def _listener(plan: RouterPlan, rack: Rack) -> str:
    return _LISTENER.format(plan=plan, rack=rack, name=listener_of(rack))


_TIMERS = f"""\
  hold time {HOLD_SECONDS};
  keepalive time {KEEPALIVE_SECONDS};
  graceful restart on;
  graceful restart time {HOLD_SECONDS};"""

_ROUTER = """\
log stderr all;
router id {plan.address};
protocol device {{}}
protocol direct {{
  ipv4;
  interface "br-*";
}}
protocol kernel {{
  ipv4 {{ export where source = RTS_BGP; }};
}}
# A host announces its own pods, by no way but the host.
filter own_pods {{
  if bgp_next_hop != from then reject;
{own}
  reject;
}}
template bgp host {{
{timers}
  passive on;
  ipv4 {{
    import filter own_pods;
    import keep filtered on;  # `show route filtered`
    receive limit {most} action block;
    export where source = RTS_BGP || source = RTS_DEVICE;
  }};
}}
"""

_OWN = "  if from = {host} && net = {subnet} && bgp_path ~ [= {asn} =] then accept;"

# Within a rack BIRD leaves the next hop as it is, so hosts of one rack send to each other; across, it is the router.
_LISTENER = """\
protocol bgp {name} from host {{
  local {rack.gateway.ip} as {plan.asn};
  neighbor range {rack.subnet} external;
  dynamic name "{name}_";
}}
"""

_HOST = """\
router id {plan.address};
protocol device {{}}
protocol static pods {{
  ipv4;
{routes}}}
protocol kernel {{
  ipv4 {{ export where source = RTS_BGP; }};
}}
protocol bgp rack {{
  local {plan.address} as {plan.asn};
  neighbor {plan.router} as {plan.router_as};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 8;
{timers}
  ipv4 {{
    import where net ~ [ {plan.pods}+ ];
    export where proto = "pods";
  }};
}}
"""
