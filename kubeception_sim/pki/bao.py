"""OpenBao as an authority: a PKI engine for each mount, a role for each certificate, a token for each host.

A role holds a certificate's organization and usages, but OpenBao does not check common names that are no host names, such as
system:kube-proxy, nor addresses. So the policy of a host's token names the exact parameters too: it opens its own certificates
and nothing beside them. The token reaches the host wrapped: whoever unwraps it second is refused, so who comes first knows that
nobody read it.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import hvac
from cryptography import x509
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError

from kubeception_sim.errors import HarnessError
from kubeception_sim.pki import keys
from kubeception_sim.pki.authority import Issued, Refused, Request
from kubeception_sim.pki.embedded import ROOT_DAYS

_ROOT_TTL = f"{ROOT_DAYS * 24}h"
_TOKEN_TTL = "1h"
_WRAP_TTL = "60s"
_KEY = {"key_type": "ec", "key_bits": 256}
T = TypeVar("T")


class Asked(Protocol):
    """A way to OpenBao: a lab's `Server`, or an `Access`."""

    def ask(self, question: Callable[[hvac.Client], T], token: str | None = None) -> T:
        """What `question` returns for a client that holds `token`, or what the way has by itself."""
        ...


class BaoAuthority:
    """See `Authority`. `server` is the way to OpenBao."""

    def __init__(self, server: Asked) -> None:
        self.server = server

    def mount(self, name: str) -> str:
        """An engine with an internal root: its key cannot be read, not even by us."""

        def make(client: hvac.Client) -> str:
            if f"{name}/" not in client.sys.list_mounted_secrets_engines()["data"]:
                client.sys.enable_secrets_engine("pki", path=name, config={"max_lease_ttl": _ROOT_TTL})
            # Whoever was killed between the two has left an engine without a root.
            if not (found := _root_of(client, name)):
                client.secrets.pki.generate_root("internal", name, extra_params={**_KEY, "ttl": _ROOT_TTL}, mount_point=name)
                found = _root_of(client, name)
            return found

        return self._do(f"have the mount {name}", make)

    def issuer(self, host: str, requests: Sequence[Request]) -> "BaoIssuer":
        """A wrapped token for the roles of these requests."""

        def make(client: hvac.Client) -> str:
            for request in requests:
                client.secrets.pki.create_or_update_role(request.name, role(request), mount_point=request.mount)
            policy = f"pki-{host}"
            client.sys.create_or_update_policy(policy, policy_text(requests))
            wrapped = client.auth.token.create(
                policies=[policy], no_default_policy=True, renewable=False, ttl=_TOKEN_TTL, wrap_ttl=_WRAP_TTL
            )
            return str(wrapped["wrap_info"]["token"])

        return BaoIssuer(self.server, host, self._do(f"make a token for {host}", make))

    def intermediate(self, mount: str, common_name: str) -> Issued:
        """Our key, signed by the mount's root as an authority that may not make others."""
        key = keys.new_key()
        request = keys.signing_request(key, common_name)
        extra = {"max_path_length": 0, "ttl": f"{ROOT_DAYS * 12}h", "use_csr_values": False}
        answer: Any = self._do(
            f"sign an authority below {mount}",
            lambda client: client.secrets.pki.sign_intermediate(request, common_name, extra_params=extra, mount_point=mount),
        )
        return Issued(f"{answer['data']['certificate']}\n", keys.pem(key))

    def revoke(self, mount: str, cert: str) -> None:
        """By its serial number, which OpenBao wants as pairs of hex digits with dashes or colons between them."""
        number = f"{x509.load_pem_x509_certificate(cert.encode()).serial_number:x}"
        serial = bytes.fromhex(number.zfill(len(number) + len(number) % 2)).hex(":")
        self._do(f"revoke {serial} of {mount}", lambda client: client.secrets.pki.revoke_certificate(serial, mount_point=mount))

    def crl(self, mount: str) -> str:
        """As OpenBao signs it when a certificate is revoked."""
        return str(self._do(f"list what {mount} revoked", lambda client: client.secrets.pki.read_crl(mount_point=mount)))

    def unmount(self, name: str) -> None:
        """The engine, and every certificate that it knows."""
        self._do(f"remove the mount {name}", lambda client: client.sys.disable_secrets_engine(name))

    def _do(self, what: str, question: Callable[[hvac.Client], T]) -> T:
        try:
            return self.server.ask(question)
        except VaultError as error:
            raise HarnessError(f"OpenBao cannot {what}: {error}") from error


class BaoIssuer:
    """See `Issuer`. The token is unwrapped at the first use, on the side of the host."""

    def __init__(self, server: Asked, host: str, wrapped: str) -> None:
        self._server = server
        self._host = host
        self._wrapped = wrapped
        self._token = ""

    def issue(self, request: Request) -> Issued:
        """Through the request's own role."""
        if not self._token:
            self._token = self._unwrap()
        wanted = parameters(request)
        common_name = wanted.pop("common_name")
        try:
            answer: Any = self._server.ask(
                lambda client: client.secrets.pki.generate_certificate(
                    request.name, common_name, extra_params=wanted, mount_point=request.mount
                ),
                self._token,
            )
        except (Forbidden, InvalidRequest, InvalidPath) as error:
            raise Refused(f"{self._host} may not have {request.name} of {request.mount}: {error}") from error
        except VaultError as error:
            raise HarnessError(f"OpenBao does not issue {request.name} of {request.mount}: {error}") from error
        data = answer["data"]
        return Issued(f"{data['certificate']}\n", f"{data['private_key']}\n")

    def _unwrap(self) -> str:
        try:
            answer: Any = self._server.ask(lambda client: client.sys.unwrap(), self._wrapped)
        except (Forbidden, InvalidRequest) as error:
            raise Refused(f"the token of {self._host} was unwrapped before, or waited longer than {_WRAP_TTL}") from error
        return str(answer["auth"]["client_token"])


def role(request: Request) -> dict[str, Any]:
    """What the role of the request's name allows: this certificate. Pure; options as in "PKI secrets engine, create role"."""
    return {
        **_KEY,
        "allowed_domains": sorted({request.common_name, *request.dns}),
        "allow_bare_domains": True,
        "allow_subdomains": False,
        "allow_glob_domains": False,
        "allow_any_name": False,
        "allow_localhost": False,
        "allow_ip_sans": bool(request.addresses),
        "enforce_hostnames": False,
        "cn_validations": ["disabled"],  # the policy is what holds the common name
        "organization": [request.organization] if request.organization else [],
        "client_flag": request.client,
        "server_flag": request.server,
        "key_usage": ["DigitalSignature"],
        "max_ttl": f"{request.ttl_hours}h",
        "not_before_duration": "5m",
    }


def policy_text(requests: Sequence[Request]) -> str:
    """What the token of a host may do: ask for its certificates with the very parameters that make them. Pure."""
    return "".join(rule(request) for request in sorted(requests, key=lambda each: (each.mount, each.name)))


def rule(request: Request) -> str:
    """The part of a policy that is about one certificate. Pure."""
    allowed = "".join(f'    "{name}" = [{json.dumps(value)}]\n' for name, value in parameters(request).items())
    path = json.dumps(f"{request.mount}/issue/{request.name}")
    return f'path {path} {{\n  capabilities = ["update"]\n  allowed_parameters = {{\n{allowed}  }}\n}}\n'


def parameters(request: Request) -> dict[str, str]:
    """What the API is asked with ("PKI secrets engine, generate certificate and key"). Pure."""
    return {
        "common_name": request.common_name,
        "alt_names": ",".join(request.dns),
        "ip_sans": ",".join(map(str, request.addresses)),
        # Else a common name that looks like a host's becomes an alternative name too: an administrator could serve as a host.
        "exclude_cn_from_sans": "true",
        "ttl": f"{request.ttl_hours}h",
        "private_key_format": "pkcs8",
    }


def _root_of(client: hvac.Client, mount: str) -> str:
    """Its certificate, empty when there is none: OpenBao then has no content to answer with (204)."""
    found = client.secrets.pki.read_ca_certificate(mount_point=mount)
    return f"{found.rstrip()}\n" if isinstance(found, str) and found else ""
