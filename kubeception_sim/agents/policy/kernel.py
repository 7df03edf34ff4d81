"""The node's kernel: takes a ruleset whole or not at all, and says whether it lets us see what we must.

Agents stand alone, so this is their own door to a program: `nft`, with an argument list and never a shell.
"""

import json
import re
import subprocess
from pathlib import Path

from kubeception_sim.agents.policy.ruleset import Ruleset
from kubeception_sim.agents.policy.table import BASE, REMOVAL, TABLE, Held, generation, render

NFT = "nft"
SECONDS = 30.0
BRIDGE = Path("/proc/sys/net/bridge")
SWITCHES = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")


class Refused(Exception):
    """nft did not do it: what it says of it. The kernel has what it had before."""


def apply(ruleset: Ruleset) -> None:
    """Put a ruleset in the place of the one before. Raises Refused; the one before is in force then."""
    texts = render(ruleset, held())
    _nft("-f", "-", given=texts.prepare)
    _nft("-f", "-", given=texts.switch)


def tidy() -> None:
    """Delete what was in force before: by now no packet is on its way through it. Raises Refused."""
    if old := "".join(held().deletions()):
        _nft("-f", "-", given=old)


def remove() -> None:
    """Take the table away, if it is there. Raises Refused."""
    _nft("-f", "-", given=REMOVAL)


def present() -> bool:
    """Whether there is a table of ours: a restart of the node's own firewall empties the kernel. Raises Refused."""
    return f"table inet {TABLE}" in _nft("list", "tables", "inet").splitlines()


def held() -> Held:
    """What there is of the table. Raises Refused."""
    if not present():
        return Held()
    entries = json.loads(_nft("--json", "--terse", "list", "table", "inet", TABLE))["nftables"]
    names = {kind: tuple(entry[kind]["name"] for entry in entries if kind in entry) for kind in ("map", "chain", "set")}
    rules = (json.dumps(entry["rule"]["expr"]) for entry in entries if entry.get("rule", {}).get("chain") == BASE)
    # The base chain names maps and sets of one generation; it has none of either where no pod is isolated.
    used = max((generation(word) for rule in rules for word in re.findall(r"@(\w+)", rule)), default=0)
    return Held(names["map"], names["chain"], names["set"], used)


def problem(bridge: Path = BRIDGE) -> str:
    """Why packets between two pods of this node would not come by, empty if they do. A network namespace has its own switches."""
    for switch in SWITCHES:
        try:
            state = (bridge / switch).read_text().strip()
        except OSError as error:
            return f"{bridge / switch}: {error.strerror}: without br_netfilter, traffic within the node is not judged"
        if state != "1":
            return f"net.bridge.{switch} is {state}, not 1: traffic within the node is not judged"
    return ""


def _nft(*arguments: str, given: str = "") -> str:
    try:
        done = subprocess.run([NFT, *arguments], input=given, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{NFT}: {error}") from error
    if done.returncode != 0:
        raise Refused(f"{NFT} ended with {done.returncode}: {done.stderr.strip()[:2000]}")
    return done.stdout
