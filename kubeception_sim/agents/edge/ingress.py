"""What HAProxy of an inner cluster is told: Ingresses, and what they name -> haproxy.cfg and certificates. Pure.

An Ingress (networking.k8s.io/v1) counts when its class is `kubeception`, or when it has none. One port takes both HTTP and TLS:
what a connection begins with says which. TLS of a name without a certificate is closed; a name or path that nobody has gets 404.
Order of rules, as Kubernetes has it ("Ingress", "Path types"): exact names before wildcards before none, exact paths before
prefixes, long ones before short ones. A prefix is matched element by element.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kubeception_sim.agents.api import Object
from kubeception_sim.agents.edge.config import HEAD, IDLE

PORT = 8080
CLASS = "kubeception"
CERTIFICATES = "{certificates}"
"""In the text, in place of the folder that they are in: whoever writes them knows it."""
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH = re.compile(r"/[-A-Za-z0-9._~!&()*+,;=:@%/]*")


@dataclass(frozen=True)
class Route:
    """Requests for `host` (empty: any; `*.` begins a wildcard) and `path` go to `backend`."""

    host: str
    path: str
    is_exact: bool
    backend: str

    @property
    def rank(self) -> tuple[bool, bool, int, bool, int, str, str]:
        """Smaller comes first."""
        return (
            not self.host,
            self.host.startswith("*"),
            -len(self.host),
            not self.is_exact,
            -len(self.path),
            self.host,
            self.path,
        )

    @property
    def condition(self) -> str:
        """When it is meant, in HAProxy's words; empty for always."""
        return " ".join([*self._of_host(), *self._of_path()])

    def _of_host(self) -> Iterator[str]:
        if self.host.startswith("*."):
            # One label, and no more, is what a wildcard stands for.
            labels = self.host[2:].replace(".", "[.]")
            yield f"{{ req.hdr(host),host_only -i -m reg ^[^.]+[.]{labels}$ }}"
        elif self.host:
            yield f"{{ req.hdr(host),host_only -i -m str {self.host} }}"

    def _of_path(self) -> Iterator[str]:
        if self.is_exact:
            yield f"{{ path -m str {self.path} }}"
        elif whole := self.path.rstrip("/"):
            yield f"{{ path,concat(/) -m beg {whole}/ }}"


@dataclass(frozen=True)
class Wanted:
    """A configuration: the file's text, certificates by the names of their files, and what could not be had of it."""

    text: str
    certificates: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    problems: tuple[str, ...] = ()


def render(
    ingresses: Iterable[Object],
    services: Iterable[Object],
    endpoints: Iterable[Object],
    secrets: Iterable[Object],
    *,
    folder: str,
    port: int = PORT,
) -> Wanted:
    """What is wanted now. What of an Ingress makes no sense is left out, and told in `problems`. `folder` is HAProxy's own."""
    problems: list[str] = []
    ports = {_key(each): each["spec"].get("ports") or () for each in services}
    ready = {_key(each): each.get("subsets") or () for each in endpoints}
    keys = {_key(each): each.get("data") or {} for each in secrets}
    routes: list[Route] = []
    backends: dict[str, tuple[str, ...]] = {}
    certificates: dict[str, bytes] = {}
    for each in sorted(filter(_is_ours, ingresses), key=_key):
        namespace, name = _key(each)
        for host, path, is_exact, backend in _rules(each["spec"], problems, f"{namespace}/{name}"):
            service = backend.get("service") or {}
            target = _port(ports.get((namespace, service.get("name", "")), ()), service.get("port") or {})
            if target is None:
                problems.append(f"{namespace}/{name}: no service {service.get('name')!r} with this port")
            known = f"{namespace}_{service.get('name')}_{target['port'] if target else 0}"
            backends[known] = _servers(ready.get((namespace, service.get("name", "")), ()), target) if target else ()
            routes.append(Route(host, path, is_exact, known))
        for tls in each["spec"].get("tls") or ():
            secret = namespace, tls.get("secretName", "")
            try:
                pair = [base64.b64decode(keys[secret][part], validate=True) for part in ("tls.crt", "tls.key")]
            except (KeyError, binascii.Error):
                problems.append(f"{namespace}/{name}: no secret {secret[1]!r} with tls.crt and tls.key")
            else:
                certificates[f"{'_'.join(secret)}.pem"] = b"\n".join(pair)
    text = _text(sorted(set(routes), key=lambda route: route.rank), backends, certificates != {}, folder, port)
    return Wanted(text, certificates, tuple(problems))


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _is_ours(ingress: Object) -> bool:
    noted = (ingress["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    return (ingress["spec"].get("ingressClassName") or noted or CLASS) == CLASS


def _rules(spec: Object, problems: list[str], who: str) -> Iterator[tuple[str, str, bool, Object]]:
    """Host, path, whether it is exact, and what it leads to."""
    for rule in spec.get("rules") or ():
        host = (rule.get("host") or "").lower()
        for path in (rule.get("http") or {}).get("paths") or ():
            text = path.get("path") or "/"
            # What is written into the file must be a name and a path, and nothing that HAProxy understands.
            if (host and not _HOST.fullmatch(host)) or not _PATH.fullmatch(text):
                problems.append(f"{who}: {host!r} {text!r} is no host and path")
                continue
            yield host, text, path.get("pathType") == "Exact", path["backend"]
    if backend := spec.get("defaultBackend"):
        yield "", "/", False, backend


def _port(ports: Iterable[Object], wanted: Object) -> Object | None:
    number, name = wanted.get("number"), wanted.get("name")
    return next((each for each in ports if (each["port"] == number if number else each.get("name") == name)), None)


def _servers(subsets: Iterable[Object], port: Object) -> tuple[str, ...]:
    """Addresses of pods that are ready, with the port that the service's means there."""
    found = {
        f"{address['ip']}:{each['port']}"
        for subset in subsets
        for each in subset.get("ports") or ()
        if each.get("name", "") == port.get("name", "")
        for address in subset.get("addresses") or ()
    }
    return tuple(sorted(found))


def _text(routes: Iterable[Route], backends: Mapping[str, tuple[str, ...]], has_tls: bool, folder: str, port: int) -> str:
    entry = ["frontend entry", f"  bind :{port} accept-proxy", "  tcp-request inspect-delay 5s"]
    # HAProxy knows the beginning of TLS by its first five bytes, and that of HTTP by its method.
    entry += ["  tcp-request content accept if { req.ssl_hello_type 1 } or HTTP"]
    entry += ["  use_backend to-https if { req.ssl_hello_type 1 }"] if has_tls else []
    entry += ["  tcp-request content reject if !HTTP"] if not has_tls else []
    entry += ["  default_backend to-http", ""]
    inner = ["backend to-http", f"  server http unix@{folder}/http.sock send-proxy-v2", ""]
    inner += ["backend to-https", f"  server https unix@{folder}/https.sock send-proxy-v2", ""] if has_tls else []
    web = ["frontend web", "  mode http", f"  bind unix@{folder}/http.sock accept-proxy", IDLE]
    if has_tls:
        web += [
            f"  bind unix@{folder}/https.sock accept-proxy ssl strict-sni alpn h2,http/1.1 ssl-min-ver TLSv1.2 crt {CERTIFICATES}"
        ]
    web += ["  option forwardfor", "  http-request set-header X-Forwarded-Proto https if { ssl_fc }"]
    web += [f"  use_backend {each.backend}" + (f" if {each.condition}" if each.condition else "") for each in routes]
    web += ["  default_backend nobody", "", "backend nobody", "  mode http", "  http-request deny deny_status 404"]
    lines = [HEAD.format(folder=folder), *entry, *inner, *web]
    for name, servers in sorted(backends.items()):
        lines += ["", f"backend {name}", "  mode http"]
        lines += [f"  server {number} {address} check inter 2s" for number, address in enumerate(servers)]
    return "\n".join(lines) + "\n"
