"""Numbers that nobody else has, claimed through the API: see `inner.allocation`."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import VNIS, Claim, Numbers, claims_of, free, holding, lease, names, vm_indexes
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.controller.observed import LEASES, is_claim
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.wanted import owner

_TRIES = 20


class Claims:
    """The claims of one cluster. `leases` are all that there are."""

    def __init__(self, api: Api, cluster: Cluster, leases: Iterable[Document]) -> None:
        self._api, self._cluster = api, cluster
        self._leases = list(leases)

    @property
    def leases(self) -> list[Document]:
        """All claims that there are, those of whomever."""
        return list(self._leases)

    def vni(self) -> int:
        """Of the cluster's network. Raises HarnessError when there is none left."""
        return self._have(VNIS, holder(self._cluster))

    def indexes(self) -> dict[str, int]:
        """Of the machines that are wanted, by name. Raises HarnessError."""
        numbers = vm_indexes(self._cluster)
        return {name: self._have(numbers, holder(self._cluster, name)) for name in names(self._cluster)}

    def known(self) -> tuple[int, dict[str, int]]:
        """What is claimed already: the VNI, 0 if there is none, and indexes by name."""
        found = holding(claims_of(VNIS, self._leases), holder(self._cluster))
        return (found[0].number if found else 0), dict(self._held())

    def release(self, kept: Collection[str]) -> None:
        """Give up the indexes of machines that are not wanted, and of which nothing is left: `kept` are those with something."""
        numbers = vm_indexes(self._cluster)
        keep = {holder(self._cluster, name) for name in (*names(self._cluster), *kept)}
        ours = f"{holder(self._cluster)}/"
        for claim in claims_of(numbers, self._leases):
            if claim.holder.startswith(ours) and claim.holder not in keep:
                self._drop(numbers, claim)

    def _held(self) -> Iterable[tuple[str, int]]:
        claims = claims_of(vm_indexes(self._cluster), self._leases)
        for name in names(self._cluster):
            if found := holding(claims, holder(self._cluster, name)):
                yield name, found[0].number

    def _have(self, numbers: Numbers, who: str) -> int:
        for _ in range(_TRIES):
            claims = claims_of(numbers, self._leases)
            if found := holding(claims, who):
                for extra in found[1:]:
                    self._drop(numbers, extra)
                return found[0].number
            # Refused or not, others have claimed meanwhile: what there is counts.
            self._api.create(lease(numbers, free(numbers, claims), who, owner(self._cluster)))
            self._leases = [each for each in self._api.list(LEASES) if is_claim(each)]
        raise HarnessError(f"{who} finds no {numbers.kind} number in {_TRIES} tries", hint="is somebody else claiming them all?")

    def _drop(self, numbers: Numbers, claim: Claim) -> None:
        name = numbers.name(claim.number)
        self._api.delete(f"{LEASES}/{name}", claim.uid)
        self._leases = [each for each in self._leases if each["metadata"]["name"] != name]


def holder(cluster: Cluster, vm: str = "") -> str:
    """Who holds a claim: with the uid, since a later cluster of this name is another one. Pure."""
    return f"{cluster.name}/{cluster.uid}" + (f"/{vm}" if vm else "")


def is_held_by(document: Mapping[str, Any], name: str, uid: str) -> bool:
    """Whether a claim is a cluster's, or one of its machines'. Pure."""
    who: str = document["spec"].get("holderIdentity") or ""
    return who == f"{name}/{uid}" or who.startswith(f"{name}/{uid}/")
