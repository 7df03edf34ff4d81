"""What operators may do to hosts: the record that comes of it, its line in the history, and what is refused."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.boot import decide
from mayu_py.core.exchange import Became, BootDisk, BootImage, Reached, Report, ScriptRequest
from mayu_py.core.hosts import ENROLLED, Facts, Host, Identity, Mac, Stage, State
from mayu_py.core.inventory import Changes, Edits, Inventory, Note, Told, compose
from mayu_py.core.networks import Network
from mayu_py.core.settings import HostEntry, Image, Install, Profile, Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.core.verbs import Delete, Fact, Label, Override, Pin, Reinstall, SetFact, UseImage, Verb, carry_out
from mayu_py.errors import VerbRefused

NAMED_MAC, MAC = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")
SETTINGS = Settings(
    networks=(Network("rack", IPv4Network("10.1.0.0/24"), interface="br0", address=IPv4Address("10.1.0.1")),),
    images={"os": Image(Path("os")), "new": Image(Path("new"))},
    profiles=(Profile("node", "os", Path("n.bu")), Profile("disk", "os", Path("d.bu"), install=Install.ONCE)),
    hosts=(HostEntry("named", "node", IPv4Address("10.1.0.11"), (NAMED_MAC,), values={"a": 1}),),
)
ENROLLED_HOST = Host("10-1-0-12", IPv4Address("10.1.0.12"), (MAC,), profile="node", origin=ENROLLED)
INVENTORY = Inventory(1, (ENROLLED_HOST,))


def changes(verb: Verb, name: str = "10-1-0-12", inventory: Inventory = INVENTORY) -> Changes:
    hosts = {host.name: host for host in compose(SETTINGS, inventory)}
    return carry_out(verb, hosts[name], "ann", inventory, SETTINGS)


def after(*verbs: Verb, name: str = "10-1-0-12") -> Host:
    inventory = INVENTORY
    for verb in verbs:
        inventory = Inventory(1, INVENTORY.enrolled, {}, {**inventory.edits, **changes(verb, name, inventory).edits})
    return next(host for host in compose(SETTINGS, inventory) if host.name == name)


def test_facts_and_labels_are_noted_and_forgotten() -> None:
    host = after(SetFact(Fact.CABINET, "3"), Label("rack", "x"), Label("row", "y"), SetFact(Fact.CABINET, ""), Label("row", None))
    assert host.facts == Facts(metadata={"rack": "x"})


def test_overrides_lie_over_the_config_and_other_hosts_do_not_see_them() -> None:
    assert after(Override("a", [2]), Override("b", None), name="named").values == {"a": [2], "b": None}
    assert after(Override("a", [2]), Override("a", remove=True), name="named").values == {"a": 1}
    assert after(Override("a", [2])).values == {"a": [2]}
    assert SETTINGS.hosts[0].values == {"a": 1}


def test_each_change_has_its_line_in_the_history() -> None:
    assert changes(Pin("disk")) == Changes(
        edits={"10-1-0-12": Edits(profile="disk")},
        notes=(Note("pin", ENROLLED_HOST, {"by": "ann", "from": "node", "to": "disk"}),),
    )
    assert changes(Delete()).notes == (Note("deleted", ENROLLED_HOST, {"by": "ann", "address": "10.1.0.12"}),)
    assert changes(Reinstall()).notes == (Note("reinstall", ENROLLED_HOST, {"by": "ann"}),)


def test_a_pinned_profile_and_an_image_of_its_own_decide_what_boots() -> None:
    assert after(Pin("disk")).profile == "disk"
    assert after(Pin("disk"), Pin(None)).profile == "node"
    host = after(UseImage("new"))
    reply = decide(ScriptRequest(Identity(mac=MAC)), Snapshot.of(SETTINGS, (host,))).reply
    assert reply == BootImage(host, "new")


@pytest.mark.parametrize(
    ("verb", "name", "why"),
    [
        (Pin("disk"), "named", "the config gives named its profile (:0)"),
        (Pin("dsk"), "10-1-0-12", "there is no profile 'dsk'"),
        (UseImage("nwe"), "10-1-0-12", "there is no image 'nwe'"),
        (Delete(), "named", "named is named in the config (:0)"),
    ],
)
def test_what_contradicts_the_config_is_refused(verb: Verb, name: str, why: str) -> None:
    with pytest.raises(VerbRefused) as refusal:
        changes(verb, name)
    assert refusal.value.message == why
    assert refusal.value.hint


def test_a_host_that_installs_once_boots_from_its_disk_until_it_is_wanted_afresh() -> None:
    inventory = Inventory(1, INVENTORY.enrolled, {}, {"10-1-0-12": Edits(profile="disk")})
    host = next(host for host in compose(SETTINGS, inventory) if host.name == "10-1-0-12")
    asked = ScriptRequest(Identity(mac=MAC))
    assert decide(asked, Snapshot.of(SETTINGS, (host,))).reply == BootImage(host, "os")
    report = Report(host.address, host.ident, Stage.RUNNING)
    assert decide(report, Snapshot.of(SETTINGS, (host,))).events == (
        Reached(host, Stage.RUNNING),
        Became(host, State.RUNNING, installed=True),
    )
    installed = next(
        host
        for host in compose(SETTINGS, Inventory(1, INVENTORY.enrolled, {"10-1-0-12": Told(installed=True)}, inventory.edits))
        if host.name == "10-1-0-12"
    )
    assert decide(asked, Snapshot.of(SETTINGS, (installed,))).reply == BootDisk(installed)
