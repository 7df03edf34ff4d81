"""Numbers that nobody else has, whoever asks when: the API server is a model that makes an object of a name once."""

from collections import defaultdict
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import (
    VNIS,
    Claim,
    Numbers,
    address,
    claims_of,
    free,
    holding,
    lease,
    machines,
    names,
    vm_indexes,
)
from kubeception_sim.inner.resource import Cluster, Masters, Network, Pool, Spec

FEW = Numbers("vni", "vni", 100, 104)
HOLDERS = ("blue/1", "red/2", "green/3", "grey/4")


class Interleaved(RuleBasedStateMachine):
    """Several controllers claim for several clusters. Each step of each may come between any two steps of another."""

    def __init__(self) -> None:
        super().__init__()
        self.leases: dict[str, dict[str, Any]] = {}
        self.seen: dict[tuple[int, str], tuple[Claim, ...]] = {}
        self.used: dict[str, int] = {}

    @rule(life=st.integers(0, 2), who=st.sampled_from(HOLDERS))
    def read(self, life: int, who: str) -> None:
        self.seen[life, who] = claims_of(FEW, self.leases.values())

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """With what was read, perhaps long ago."""
        life, who = data.draw(st.sampled_from(sorted(self.seen)))
        claims = self.seen.pop((life, who))
        if found := holding(claims, who):
            for extra in found[1:]:
                self.leases.pop(FEW.name(extra.number), None)
            if FEW.name(found[0].number) in self.leases:
                self.used[who] = found[0].number
            return
        try:
            document = lease(FEW, free(FEW, claims), who, {"uid": who})
        except HarnessError:
            assert len(claims) == FEW.last - FEW.first + 1
            return
        # The API server makes an object of a name once.
        self.leases.setdefault(document["metadata"]["name"], document)

    @rule(who=st.sampled_from(HOLDERS))
    def leave(self, who: str) -> None:
        """All lives of a cluster's controller know that it goes, and what they read of it is no longer asked for."""
        self.leases = {name: each for name, each in self.leases.items() if each["spec"]["holderIdentity"] != who}
        self.seen = {key: each for key, each in self.seen.items() if key[1] != who}
        self.used.pop(who, None)

    @invariant()
    def nobody_uses_what_another_uses(self) -> None:
        assert len(set(self.used.values())) == len(self.used)

    @invariant()
    def who_uses_a_number_has_the_claim_to_it(self) -> None:
        for who, number in self.used.items():
            assert self.leases[FEW.name(number)]["spec"]["holderIdentity"] == who


Interleaved.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestInterleaved = Interleaved.TestCase


def test_the_lowest_number_that_is_free_is_taken() -> None:
    assert free(VNIS, [Claim(100, "a"), Claim(102, "b")]) == 101


def test_when_all_are_taken_a_person_is_told_where_to_look() -> None:
    with pytest.raises(HarnessError, match="all vni numbers from 100 to 104 are taken") as caught:
        free(FEW, [Claim(number, "a") for number in range(100, 105)])
    assert "kubeception.io/claim=vni" in caught.value.hint


def test_claims_of_another_kind_are_none_of_ours() -> None:
    cluster = Cluster("blue", uid="1")
    documents = [lease(VNIS, 100, "blue/1", {}), lease(vm_indexes(cluster), 3, "blue/1/master-0", {})]
    assert claims_of(VNIS, documents) == (Claim(100, "blue/1"),)
    assert claims_of(vm_indexes(cluster), documents) == (Claim(3, "blue/1/master-0"),)
    assert claims_of(vm_indexes(Cluster("lue")), documents) == ()


@given(st.integers(20, 28))
def test_no_two_machines_share_an_address_nor_the_bridges(prefix: int) -> None:
    network = Network(vms=IPv4Network((172 << 24, prefix)))
    numbers = vm_indexes(Cluster("blue", Spec(network=network)))
    by_subnet = defaultdict(list)
    for index in range(numbers.first, numbers.last + 1):
        found = address(network, index)
        assert found in network.vms
        assert found not in (network.vms.network_address, network.vms.broadcast_address)
        by_subnet[IPv4Network((int(found) & ~3, 30))].append(found)
    assert all(len(each) == 1 for each in by_subnet.values())


def test_machines_are_named_after_their_pools_masters_first() -> None:
    cluster = Cluster("blue", Spec(masters=Masters(3), pools=(Pool("fast", 2), Pool("none", 0))))
    assert names(cluster) == ("master-0", "master-1", "master-2", "fast-0", "fast-1")
    found = machines(cluster, {name: number for number, name in enumerate(names(cluster), 1)})
    assert [str(vm.address) for vm in found] == [f"172.23.0.{4 * number + 2}" for number in range(1, 6)]
    assert [vm.name for vm in machines(cluster, {"master-1": 7, "fast-0": 2})] == ["master-1", "fast-0"]
