"""Verbs that move a host, and several verbs in one step."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py.core.exchange import Became, Learned
from mayu_py.core.hosts import ENROLLED, Facts, Host, State
from mayu_py.core.inventory import Changes, Edits, Inventory, Note
from mayu_py.core.networks import Network
from mayu_py.core.settings import Install, Profile, Settings
from mayu_py.core.verbs import Fact, Label, MarkFresh, MarkInstalled, Override, Pin, SetFact, SetState, Together, Verb, carry_out
from mayu_py.errors import Outdated, VerbRefused

SETTINGS = Settings(
    networks=(Network("rack", IPv4Network("10.1.0.0/24"), interface="br0", address=IPv4Address("10.1.0.1")),),
    images={},
    profiles=(Profile("node", "os", Path("n.bu")), Profile("disk", "os", Path("d.bu"), install=Install.ONCE)),
)
HOST = Host("a", IPv4Address("10.1.0.2"), profile="disk", origin=ENROLLED)
LIVE = replace(HOST, profile="node")


def changes(verb: Verb, host: Host = HOST) -> Changes:
    return carry_out(verb, host, "ann", Inventory(1, (host,)), SETTINGS)


def test_a_move_is_an_event_and_running_from_a_disk_is_being_installed() -> None:
    note = Note("set-state", HOST, {"by": "ann", "to": State.RUNNING})
    assert changes(SetState(State.RUNNING, os_version="12")) == Changes(
        events=(Became(HOST, State.RUNNING, installed=True), Learned(HOST, os_version="12")), notes=(note,)
    )
    assert changes(SetState(State.RUNNING), LIVE).events == (Became(LIVE, State.RUNNING),)
    assert changes(SetState(State.FAILED, "smoke")).events == (Became(HOST, State.FAILED, "smoke"),)


def test_a_host_without_a_profile_is_not_configured() -> None:
    with pytest.raises(VerbRefused, match="a has no profile"):
        changes(SetState(State.CONFIGURED), replace(HOST, profile=None))


def test_fresh_begins_anew_and_installed_is_for_disks() -> None:
    assert changes(MarkFresh()) == Changes(fresh=("a",), anew=("a",), notes=(Note("fresh", HOST, {"by": "ann"}),))
    assert changes(MarkInstalled()) == Changes(settled=("a",), notes=(Note("installed", HOST, {"by": "ann"}),))
    with pytest.raises(VerbRefused, match="a is given its image at every boot"):
        changes(MarkInstalled(), LIVE)


def test_several_verbs_are_one_step_in_which_each_sees_those_before_it() -> None:
    verbs = (Label("row", "1"), SetFact(Fact.CABINET, "3"), Label("row", None), Override("k", "v"), Pin("node"))
    found = changes(Together((*verbs, MarkFresh())))
    assert found.edits == {"a": Edits("node", None, {"k": "v"}, Facts(cabinet="3"))}
    assert (found.fresh, found.anew) == (("a",), ("a",))
    assert [note.kind for note in found.notes] == ["label", "set", "label", "override", "pin", "fresh"]
    assert changes(Together(())) == Changes()


def test_one_refusal_refuses_all_and_so_does_a_host_that_has_changed() -> None:
    with pytest.raises(VerbRefused, match="there is no profile 'nod'"):
        changes(Together((Label("row", "1"), Pin("nod"))))
    with pytest.raises(Outdated):
        changes(Together((Label("row", "1"),), seen=LIVE))
    assert changes(Together((Label("row", "1"),), seen=HOST)).edits


def test_the_history_does_not_tell_secrets() -> None:
    notes = changes(Together((SetFact(Fact.ETCD_TOKEN, "hush"), Override("password", "hush")))).notes
    assert [note.detail for note in notes] == [{"by": "ann", "etcd_token": "(secret)"}, {"by": "ann", "password": "(set)"}]
