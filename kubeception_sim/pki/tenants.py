"""Authorities of tenants: many of them in one OpenBao, looked after by a controller that cannot leave their namespace.

A tenant has authorities of its own, a store of what several of its members share, and for each member a policy that opens the
member's certificates and the entries that it may read. All of it is in the namespace `clusters`: whoever may write policies and
make tokens can give themselves everything that a policy can name, and a policy there cannot name what is outside. The
controller's own token reads no entry of a store and writes each only once. That is no wall against a thief of that token, who can
make the token of a member; it is one between tenants and everything else that this OpenBao certifies.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import hvac
from hvac.exceptions import VaultError

from kubeception_sim.artifacts.store import Progress
from kubeception_sim.errors import HarnessError
from kubeception_sim.pki.access import Access
from kubeception_sim.pki.authority import Issued, Request
from kubeception_sim.pki.bao import BaoAuthority, parameters, policy_text, role

NAMESPACE = "clusters"
WRAP_SECONDS = 900
"""How long a token waits for its member: a node that has no image yet fetches one first."""
TOKEN_SECONDS = 1800
"""The life of a token, from when it was wrapped."""
CONTROLLER_SECONDS = 24 * 3600
"""The controller's own token ends when it was not renewed for so long; every `ensure` renews it."""
T = TypeVar("T")

_CONTROLLER = "controller"
_ALL = ("create", "read", "update", "delete", "list")
_CONTROLLER_MAY = {
    "sys/mounts": ("read",),
    "sys/mounts/pki-*": _ALL,
    "sys/mounts/secrets-*": _ALL,
    "pki-*": _ALL,
    # Never "update" nor "read": what several members share is written once, and not by the controller read.
    "secrets-*": ("create", "list"),
    "sys/policies/acl": ("list",),
    "sys/policies/acl/vm-*": _ALL,
    "auth/token/roles/vm-*": _ALL,
    "auth/token/create/vm-*": ("create", "update"),
    "auth/token/renew-self": ("update",),
    "sys/leases/revoke-prefix/auth/token/create/vm-*": ("update", "sudo"),
}


@dataclass(frozen=True)
class Member:
    """Who has a token: for exactly these certificates, and for these entries of the tenant's store."""

    requests: tuple[Request, ...]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Tenant:
    """A tenant: `name` is a DNS label, and so are those of `members`.

    `mounts` (called pki-...) are its authorities, `store` (secrets-...) holds what members share: `entries`, in the order in
    which they are written, the last of which makes it complete. `others` are certificates that the controller issues by itself;
    their names are no member's.
    """

    name: str
    mounts: tuple[str, ...]
    store: str
    entries: tuple[str, ...]
    members: Mapping[str, Member] = field(default_factory=dict)
    others: tuple[Request, ...] = ()


Entries = Mapping[str, Mapping[str, Any]]


def admit_controller(access: Access) -> Access:
    """Make the namespace if there is none, and a controller's own way into it. `access` is root's. Raises HarnessError."""

    def make(client: hvac.Client) -> str:
        client.write_data(f"sys/policies/acl/{_CONTROLLER}", data={"policy": controller_policy()})
        wanted = {"policies": [_CONTROLLER], "no_default_policy": True, "period": f"{CONTROLLER_SECONDS}s"}
        made: Any = client.write_data("auth/token/create-orphan", data=wanted)
        return str(made["auth"]["client_token"])

    # Asked for again, it stays as it is.
    _told(access, f"have the namespace {NAMESPACE}", lambda client: client.write_data(f"sys/namespaces/{NAMESPACE}", data={}))
    below = replace(access, namespace=NAMESPACE)
    return replace(below, token=_told(below, "admit a controller of clusters", make))


def controller_policy() -> str:
    """What the controller's own token may do. Pure."""
    return "".join(_allow(path, *capabilities) for path, capabilities in _CONTROLLER_MAY.items())


def member_policy(tenant: Tenant, member: Member) -> str:
    """What a member's token may do: its certificates exactly, its entries, and to look at itself and end. Pure.

    The first line tells what the roles are made of, so that who reads the policy knows whether they are as they should be.
    """
    reads = (_allow(f"{tenant.store}/{entry}", "read") for entry in sorted(member.reads))
    own = (_allow("auth/token/lookup-self", "read"), _allow("auth/token/revoke-self", "update"))
    return "".join((f"# roles: {_fingerprint(member)}\n", policy_text(member.requests), *reads, *own))


def policy_name(tenant: str, member: str) -> str:
    """No label has a dot, so a tenant's are found by their beginning. Pure."""
    return f"vm-{tenant}.{member}"


def creation_path(tenant: str) -> str:
    """What OpenBao tells of who made a wrapped token: a tenant's are made here and nowhere else. Pure."""
    return f"auth/token/create/vm-{tenant}"


class Tenants:
    """`access` is a controller's. `progress` hears of each step of `ensure` that changes something, 0 to 1."""

    def __init__(self, access: Access, progress: Progress) -> None:
        self._access = access
        self._progress = progress
        self._authority = BaoAuthority(access)

    def ensure(self, tenant: Tenant, content: Callable[[Mapping[str, str]], Entries]) -> None:
        """Everything that the tenant is to have, and nothing of members that it has no more. Raises HarnessError.

        `content` is told the authorities' certificates and gives the entries of a new store. A store that is complete is never
        touched again, and what is gone of such a tenant is not made anew: its members have certificates of what was there.
        """
        self._do("renew its own token", lambda client: client.auth.token.renew_self())
        there = self._do("list mounts", _mounts)
        kept = self._do(f"list {tenant.store}", lambda client: _listed(client, tenant.store)) if tenant.store in there else set()
        missing = [name for name in tenant.mounts if name not in there]
        is_complete = tenant.entries[-1] in kept
        if is_complete and (lost := [*missing, *(name for name in tenant.entries if name not in kept)]):
            raise HarnessError(
                f"{', '.join(lost)} of {tenant.name} is gone from OpenBao, and what was issued needs it",
                hint="bring OpenBao's data back, or delete the cluster and make it again",
            )
        roots = {name: self._root(tenant, name, new=name in missing) for name in tenant.mounts}
        if not is_complete:
            self._new_store(tenant, content(roots), again=tenant.store in there)
        self._do(f"have the roles of {tenant.name}", lambda client: self._have_members(client, tenant))

    def token(self, tenant: str, member: str) -> str:
        """A new token of a member, wrapped: it opens once, within WRAP_SECONDS. Earlier ones stay. Raises HarnessError."""
        wanted = {"policies": [policy_name(tenant, member)], "no_default_policy": True, "ttl": f"{TOKEN_SECONDS}s"}
        made: Any = self._do(
            f"make a token for {member} of {tenant}",
            lambda client: client.write_data(creation_path(tenant), data=wanted, wrap_ttl=f"{WRAP_SECONDS}s"),
        )
        return str(made["wrap_info"]["token"])

    def issue(self, request: Request) -> Issued:
        """One of a tenant's `others`, with a new key. Raises HarnessError."""
        made: Any = self._do(
            f"issue {request.name} of {request.mount}",
            lambda client: client.write_data(f"{request.mount}/issue/{request.name}", data=parameters(request)),
        )
        return Issued(f"{made['data']['certificate']}\n", f"{made['data']['private_key']}\n")

    def root(self, mount: str) -> str:
        """The certificate of an authority that there is, PEM. Raises HarnessError."""
        made: Any = self._do(f"read {mount}", lambda client: client.read(f"{mount}/cert/ca"))
        if made is None:
            raise HarnessError(f"OpenBao has no authority {mount}")
        return f"{made['data']['certificate'].rstrip()}\n"

    def intermediate(self, mount: str, common_name: str) -> Issued:
        """See `Authority`."""
        return self._authority.intermediate(mount, common_name)

    def drop(self, tenant: Tenant) -> None:
        """Nothing of it is left: tokens, policies, store, authorities, whatever its members are. Raises HarnessError."""
        self._do(f"remove {tenant.name}", lambda client: _drop(client, tenant))

    def _root(self, tenant: Tenant, mount: str, *, new: bool) -> str:
        if new:
            self._progress(f"{tenant.name}: authority {mount}", tenant.mounts.index(mount) / 10)
        return self._authority.mount(mount)

    def _new_store(self, tenant: Tenant, content: Entries, *, again: bool) -> None:
        """Who was killed before has left a store that nobody was told of, with entries that may not be written twice."""
        self._progress(f"{tenant.name}: what its machines share", 0.3)

        def make(client: hvac.Client) -> None:
            if again:
                client.delete(f"sys/mounts/{tenant.store}")
            client.write_data(f"sys/mounts/{tenant.store}", data={"type": "kv", "options": {"version": "1"}})
            for name in tenant.entries:
                client.write_data(f"{tenant.store}/{name}", data=dict(content[name]))

        self._do(f"keep what members of {tenant.name} share", make)

    def _have_members(self, client: hvac.Client, tenant: Tenant) -> None:
        wanted = {"allowed_policies_glob": [policy_name(tenant.name, "*")], **_TOKENS}
        made: Any = client.read(_token_role(tenant.name))
        if made is None or {key: made["data"].get(key) for key in wanted} != wanted:
            client.write_data(_token_role(tenant.name), data=wanted)
        has = {name: _listed(client, f"{name}/roles") for name in tenant.mounts}
        for number, (name, member) in enumerate(sorted(tenant.members.items())):
            policy, text = f"sys/policies/acl/{policy_name(tenant.name, name)}", member_policy(tenant, member)
            found: Any = client.read(policy)
            if found and found["data"]["policy"] == text and all(each.name in has[each.mount] for each in member.requests):
                continue
            self._progress(f"{tenant.name}: roles of {name}", 0.4 + 0.6 * number / len(tenant.members))
            # The policy last: it says that the roles are there.
            _write_roles(client, member.requests)
            client.write_data(policy, data={"policy": text})
        _write_roles(client, (each for each in tenant.others if each.name not in has[each.mount]))
        _prune(client, tenant, has)

    def _do(self, what: str, question: Callable[[hvac.Client], T]) -> T:
        return _told(self._access, what, question)


_TOKENS = {
    "orphan": True,  # or they would end with the controller's
    "renewable": False,
    "token_explicit_max_ttl": TOKEN_SECONDS,
    "token_no_default_policy": True,
    "token_type": "service",  # of the other kind, none can be revoked
}


def _told(access: Access, what: str, question: Callable[[hvac.Client], T]) -> T:
    try:
        return access.ask(question)
    except VaultError as error:
        raise HarnessError(f"OpenBao cannot {what}: {error}") from error


def _mounts(client: hvac.Client) -> set[str]:
    return {path.rstrip("/") for path in client.sys.list_mounted_secrets_engines()["data"]}


def _listed(client: hvac.Client, path: str) -> set[str]:
    """Nothing and no such list are the same to OpenBao."""
    found: Any = client.list(path)
    return set(found["data"]["keys"]) if found else set()


def _write_roles(client: hvac.Client, requests: Iterable[Request]) -> None:
    for request in requests:
        client.write_data(f"{request.mount}/roles/{request.name}", data=role(request))


def _prune(client: hvac.Client, tenant: Tenant, has: Mapping[str, set[str]]) -> None:
    """The policy first: with it, a token of somebody who is gone ends to open anything."""
    wanted = {policy_name(tenant.name, member) for member in tenant.members}
    for name in sorted(_policies(client, tenant.name) - wanted):
        client.delete(f"sys/policies/acl/{name}")
    requests = [each for member in tenant.members.values() for each in member.requests]
    keep = {(each.mount, each.name) for each in (*requests, *tenant.others)}
    for mount, names in has.items():
        for name in sorted(name for name in names if (mount, name) not in keep):
            client.delete(f"{mount}/roles/{name}")


def _drop(client: hvac.Client, tenant: Tenant) -> None:
    # All that was made by the role of the tenant, in a wrapper or out of it. The prefix ends at a slash: it is nobody else's.
    client.write_data(f"sys/leases/revoke-prefix/{creation_path(tenant.name)}", data={"sync": True})
    for name in sorted(_policies(client, tenant.name)):
        client.delete(f"sys/policies/acl/{name}")
    client.delete(_token_role(tenant.name))
    for mount in (tenant.store, *tenant.mounts):
        client.delete(f"sys/mounts/{mount}")


def _policies(client: hvac.Client, tenant: str) -> set[str]:
    return {name for name in _listed(client, "sys/policies/acl") if name.startswith(policy_name(tenant, ""))}


def _token_role(tenant: str) -> str:
    return f"auth/token/roles/vm-{tenant}"


def _allow(path: str, *capabilities: str) -> str:
    return f"path {json.dumps(path)} {{\n  capabilities = {json.dumps(capabilities)}\n}}\n"


def _fingerprint(member: Member) -> str:
    roles = {f"{each.mount}/{each.name}": role(each) for each in member.requests}
    return hashlib.sha256(json.dumps(roles, sort_keys=True).encode()).hexdigest()[:16]
