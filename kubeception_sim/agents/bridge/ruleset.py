"""The rules of a machine's pod, as a text of nftables. Pure.

Everything is dropped, in every direction, but for what is named here:

    machine <-> its peers        frames between the cable and the VXLAN device, of the machine's own MAC and addresses
    machine  -> pod              ARP for the gateway; answers to what came through the entrance
    entrance -> machine          TCP to one port of the pod, handed on with the gateway as its source
    peers   <-> pod              VXLAN, from and to the addresses in the set `peers`
    anybody  -> pod              health, ping
    pod      -> anybody          TCP that its own programs open

Two tables: `bridge` sees frames, on their way in before all else, so that nothing of what is forged gets any further; `inet` sees
packets of the pod's own, and, where br_netfilter is loaded, the bridge's as well. There, destinations are translated back before
frames come to the bridge's input: what an answer is, is therefore judged at prerouting. VXLAN is not tracked: who is no peer any
more has no connection that lasts.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from kubeception_sim.agents.bridge.flannel import PORT
from kubeception_sim.agents.bridge.place import Place

TABLE = "kubeception-machine"
PEERS = "peers"
COUNTERS = {
    "bridge": ("spoofed", "spoofed_by_peer", "unwanted"),
    "inet": ("forged", "refused_input", "refused_forward", "refused_output"),
}
HEALTH_PORTS = (9080, 9081)


def render(place: Place, uplink: str, peers: Iterable[IPv4Address] = ()) -> str:
    """Both tables, in the place of what there was of them: taken whole or not at all. `uplink` is the pod's own link."""
    return f"{removal()}{_bridge(place)}{_inet(place, uplink, tuple(sorted(peers)))}"


def removal() -> str:
    """Takes both tables away, whether they are there or not."""
    return "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in COUNTERS)


def change_peers(added: Iterable[IPv4Address], removed: Iterable[IPv4Address]) -> str:
    """Changes the set of peers; empty when there is nothing to change."""
    return "".join(
        f"{verb} element inet {TABLE} {PEERS} {{ {', '.join(map(str, sorted(addresses)))} }}\n"
        for verb, addresses in (("delete", tuple(removed)), ("add", tuple(added)))
        if addresses
    )


def _counters(family: str) -> str:
    return "\n".join(f"  counter {name} {{ }}" for name in COUNTERS[family])


def _bridge(place: Place) -> str:
    cable, vxlan, machine, gateway = place.cable, place.vxlan, place.machine, place.gateway
    pods = f", {place.pods_block}" if place.pods_block else ""
    others = f", {place.pods}" if place.pods else ""
    return f"""\
table bridge {TABLE} {{
{_counters("bridge")}

  chain prerouting {{
    type filter hook prerouting priority dstnat; policy drop;
    iifname "{cable}" goto from_machine
    iifname "{vxlan}" goto from_peers
    counter name unwanted drop
  }}
  chain from_machine {{
    ether saddr != {place.machine_mac} counter name spoofed drop
    ether type {{ 8021q, 8021ad }} counter name spoofed drop
    ether daddr {place.bridge_mac} goto to_gateway
    arp saddr ether {place.machine_mac} arp saddr ip {machine} accept
    ip saddr {{ {machine}{pods} }} accept
    counter name spoofed drop
  }}
  chain to_gateway {{
    arp saddr ether {place.machine_mac} arp saddr ip {machine} arp daddr ip {gateway} accept
    ip saddr {machine} ip daddr {gateway} tcp sport {place.port} accept
    ip saddr {machine} ip daddr {gateway} icmp type destination-unreachable accept
    counter name unwanted drop
  }}
  chain from_peers {{
    ether saddr {{ {place.machine_mac}, {place.bridge_mac} }} counter name spoofed_by_peer drop
    ether daddr {place.bridge_mac} counter name unwanted drop
    ether type {{ 8021q, 8021ad }} counter name spoofed_by_peer drop
    arp saddr ip {{ {machine}, {gateway} }} counter name spoofed_by_peer drop
    arp saddr ip {place.subnet} accept
    ip saddr {{ {machine}, {gateway}{pods} }} counter name spoofed_by_peer drop
    ip saddr {{ {place.subnet}{others} }} accept
    counter name spoofed_by_peer drop
  }}

  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname "{cable}" oifname "{vxlan}" arp daddr ip != {gateway} accept
    iifname "{cable}" oifname "{vxlan}" meta protocol ip accept
    iifname "{vxlan}" oifname "{cable}" accept
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "{cable}" arp daddr ip {gateway} accept
    iifname "{cable}" ether daddr {place.bridge_mac} meta protocol ip accept
  }}
  chain output {{
    type filter hook output priority filter; policy drop;
    oifname "{cable}" arp saddr ip {gateway} accept
    oifname "{cable}" ip saddr {gateway} ip daddr {machine} tcp dport {place.port} accept
  }}
}}
"""


def _inet(place: Place, uplink: str, peers: tuple[IPv4Address, ...]) -> str:
    elements = f"; elements = {{ {', '.join(map(str, peers))} }}" if peers else ""
    bridge, machine, health = place.bridge, place.machine, ", ".join(map(str, HEALTH_PORTS))
    return f"""\
table inet {TABLE} {{
{_counters("inet")}
  set {PEERS} {{ type ipv4_addr{elements}; }}

  chain untracked_in {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{uplink}" udp dport {PORT} notrack
  }}
  chain untracked_out {{
    type filter hook output priority raw; policy accept;
    oifname "{uplink}" udp dport {PORT} notrack
  }}
  chain hand_on {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{uplink}" ip daddr {place.pod} tcp dport {place.port} dnat ip to {machine}
  }}
  chain as_gateway {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{bridge}" ip daddr {machine} ct status dnat snat ip to {place.gateway}
  }}

  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    iifname != "{uplink}" counter name refused_input drop
    udp dport {PORT} ip saddr @{PEERS} ip daddr {place.pod} accept
    udp dport {PORT} counter name forged drop
    ct state established,related accept
    ip daddr {place.pod} tcp dport {{ {health} }} accept
    icmp type {{ echo-request, destination-unreachable }} accept
    counter name refused_input drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname "{bridge}" oifname "{bridge}" accept
    iifname "{uplink}" oifname "{bridge}" ip daddr {machine} tcp dport {place.port} ct status dnat accept
    iifname "{bridge}" oifname "{uplink}" ct direction reply ct status dnat ct state established,related accept
    counter name refused_forward drop
  }}
  chain output {{
    type filter hook output priority filter; policy drop;
    oifname "lo" accept
    oifname != "{uplink}" counter name refused_output drop
    udp dport {PORT} ip daddr @{PEERS} accept
    udp dport {PORT} counter name refused_output drop
    ct state established,related accept
    meta l4proto tcp accept
    counter name refused_output drop
  }}
}}
"""
