"""The resource `clusters.kubeception.io` as the API server checks it. Pure.

One schema is all there is: the API server has it in the definition of the resource, and `problems` goes by it for documents
that no API server has seen. It uses what Kubernetes 1.20 knows (no CEL); what a schema cannot say is asked in `resource`.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

GROUP, VERSION, KIND, PLURAL = "kubeception.io", "v1alpha1", "Cluster", "clusters"
API_VERSION = f"{GROUP}/{VERSION}"
RESOURCE = f"{PLURAL}.{GROUP}"
NAME_LENGTH = 11
LARGEST_POOL = 60

Schema = Mapping[str, Any]
_NETWORK = r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$"
_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_QUANTITY = {"type": "string", "pattern": r"^[1-9]\d{0,5}(Mi|Gi)$"}
_CPUS = {"type": "integer", "minimum": 1, "maximum": 32, "default": 2, "description": "Virtual processors of a machine."}


def _memory(default: str) -> Schema:
    return _QUANTITY | {"default": default, "description": "What the guest sees; the pod needs more."}


def _network(default: str, what: str) -> Schema:
    return {"type": "string", "pattern": _NETWORK, "default": default, "description": what}


def _object(properties: Schema, *, what: str, required: tuple[str, ...] = (), whole: bool = True) -> dict[str, Any]:
    """`whole`: an empty one is what somebody gets who says nothing, so that the defaults inside count."""
    found: dict[str, Any] = {"type": "object", "description": what, "properties": dict(properties)}
    return found | ({"required": list(required)} if required else {}) | ({"default": {}} if whole else {})


_MASTERS = _object(
    {
        # Two members of etcd bear no more than one does: both must be there.
        "count": {"type": "integer", "enum": [1, 3], "default": 1},
        "cpus": _CPUS,
        "memory": _memory("3Gi"),
        "etcdDisk": _QUANTITY | {"default": "2Gi", "description": "The disk that outlives a master's pod."},
    },
    what="Machines with a control plane.",
)
_POOL = _object(
    {
        "name": {"type": "string", "pattern": _LABEL, "maxLength": 20, "description": "Its machines are NAME-0, NAME-1, ..."},
        "replicas": {"type": "integer", "minimum": 0, "maximum": LARGEST_POOL, "default": 1},
        "cpus": _CPUS,
        "memory": _memory("2Gi"),
        "labels": {
            "type": "object",
            "default": {},
            "description": "Labels of the nodes.",
            "additionalProperties": {
                "type": "string",
                "maxLength": 63,
                "pattern": r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
            },
        },
    },
    what="Equal workers.",
    required=("name",),
    whole=False,
)
SPEC: Schema = _object(
    {
        "kubernetes": {"type": "string", "pattern": r"^v1\.\d{1,3}\.\d{1,3}$", "default": "v1.20.2"},
        # Without a default: API servers of 1.20 that Debian built take an empty one for null, and refuse it.
        "os": {
            "type": "string",
            "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            "maxLength": 63,
            "description": "Of the images that are served for this version; without it, the last of them by name.",
        },
        "rotation": {
            "type": "string",
            "maxLength": 63,
            "description": "Another value: every machine gets new certificates, and runs on.",
        },
        "masters": _MASTERS,
        "pools": {
            "type": "array",
            "items": _POOL,
            "maxItems": 16,
            "default": [{"name": "worker", "replicas": 1, "cpus": 2, "memory": "2Gi", "labels": {}}],
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "network": _object(
            {
                "vms": _network("172.23.0.0/24", "Of the machines, a /30 each; every cluster may have the same."),
                "pods": _network("10.80.0.0/16", "Of the pods inside, a /24 for each machine."),
                "services": _network("10.81.0.0/16", "Of the services inside."),
                "domain": {
                    "type": "string",
                    "default": "cluster.local",
                    "maxLength": 100,
                    "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
                    "description": "Of the names of services inside.",
                },
            },
            what="Cannot be changed once the cluster is there.",
        ),
        "paused": {"type": "boolean", "default": False, "description": "The controller changes nothing, and deletes nothing."},
        "hibernated": {"type": "boolean", "default": False, "description": "No machine runs; disks and addresses are kept."},
    },
    what="The cluster that is wanted.",
)

_TEXT = {"type": "string"}
_CONDITION = _object(
    {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer"},
    },
    what="As in KEP-1623.",
    required=("type", "status", "reason", "lastTransitionTime"),
    whole=False,
)
_VM = _object(
    {
        **{"name": _TEXT, "role": _TEXT, "index": {"type": "integer"}, "address": _TEXT, "phase": _TEXT, "node": _TEXT},
        "rotation": _TEXT | {"description": "The last that it has certificates of."},
        "certificatesUntil": _TEXT | {"format": "date-time", "description": "When the first of its certificates ends."},
    },
    what="One machine; node is the one of the outer cluster.",
    required=("name",),
    whole=False,
)
STATUS: Schema = _object(
    {
        "phase": _TEXT,
        "observedGeneration": {"type": "integer"},
        "vni": {"type": "integer"},
        "endpoint": _TEXT,
        "machines": {"type": "string", "description": "How many are ready, of how many: 1/2."},
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        "vms": {"type": "array", "items": _VM, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    },
    what="The cluster that there is.",
    whole=False,
)


def crd() -> dict[str, Any]:
    """The definition of the resource, apiextensions.k8s.io/v1."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"kind": KIND, "plural": PLURAL, "singular": "cluster", "shortNames": ["kc"], "categories": ["kubeception"]},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": deepcopy(dict(_whole()))},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(_columns()),
                }
            ],
        },
    }


def _whole() -> Schema:
    # Metadata is checked by the API server itself, but for what a definition says of the name.
    # The authorities of a cluster are called pki-NAME, pki-NAME-etcd and pki-NAME-front-proxy: `x-etcd` would have one of `x`.
    name = {"type": "string", "pattern": _LABEL, "maxLength": NAME_LENGTH, "not": {"pattern": "-(etcd|front-proxy)$"}}
    metadata = {"type": "object", "properties": {"name": name}}
    return {"type": "object", "properties": {"metadata": metadata, "spec": SPEC, "status": STATUS}}


def _columns() -> Iterator[Mapping[str, Any]]:
    yield {"name": "Phase", "type": "string", "jsonPath": ".status.phase"}
    yield {"name": "Kubernetes", "type": "string", "jsonPath": ".spec.kubernetes"}
    yield {"name": "Machines", "type": "string", "jsonPath": ".status.machines"}
    yield {"name": "VNI", "type": "integer", "jsonPath": ".status.vni"}
    yield {"name": "Endpoint", "type": "string", "jsonPath": ".status.endpoint", "priority": 1}
    yield {"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].reason", "priority": 1}
    yield {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def name_problems(name: str) -> Iterator[str]:
    """What is wrong with a cluster's name."""
    yield from problems(_whole()["properties"]["metadata"]["properties"]["name"], name, "metadata.name")


def completed(schema: Schema, value: Any) -> Any:
    """`value` with the defaults of what it does not say, as the API server stores it. What is not of its type stays as it is."""
    match schema["type"], value:
        case "object", dict():
            properties: Schema = schema.get("properties", {})
            missing = {key: each["default"] for key, each in properties.items() if "default" in each and key not in value}
            whole = value | deepcopy(missing)
            return {key: completed(properties[key], each) if key in properties else each for key, each in whole.items()}
        case "array", list():
            return [completed(schema["items"], each) for each in value]
        case _:
            return value


def problems(schema: Schema, value: Any, where: str) -> Iterator[str]:
    """Everything that is wrong with a completed value, each with its path; unknown keys too, which an API server prunes."""
    if not _is(schema["type"], value):
        yield f"{where}: {value!r} is not {_ARTICLES[schema['type']]}"
        return
    match value:
        case dict():
            yield from _keys(schema, value, where)
        case list():
            yield from _items(schema, value, where)
        case _:
            yield from _scalar(schema, value, where)


_ARTICLES = {"object": "an object", "array": "a list", "string": "text", "integer": "a whole number", "boolean": "true or false"}
_TYPES: Mapping[str, type] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def _is(kind: str, value: Any) -> bool:
    # For Python a truth value is a number, for JSON it is not.
    return isinstance(value, _TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))


def _keys(schema: Schema, value: Mapping[str, Any], where: str) -> Iterator[str]:
    properties: Schema = schema.get("properties", {})
    yield from (f"{where}.{key}: is missing" for key in schema.get("required", ()) if key not in value)
    for key, each in value.items():
        inner = properties.get(key, schema.get("additionalProperties"))
        if inner is None:
            yield f"{where}.{key}: is not known; there are {', '.join(sorted(properties))}"
        else:
            yield from problems(inner, each, f"{where}.{key}")


def _items(schema: Schema, value: list[Any], where: str) -> Iterator[str]:
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{where}: has {len(value)} entries, {schema['maxItems']} are allowed"
    for number, each in enumerate(value):
        yield from problems(schema["items"], each, f"{where}[{number}]")
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        names = [each.get(key) for each in value if isinstance(each, dict)]
        yield from (
            f"{where}: {name!r} is there twice" for name in sorted({str(name) for name in names if names.count(name) > 1})
        )


def _scalar(schema: Schema, value: Any, where: str) -> Iterator[str]:
    if value not in schema.get("enum", (value,)):
        yield f"{where}: {value!r} is none of {', '.join(map(str, schema['enum']))}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"
    if "not" in schema and re.search(schema["not"]["pattern"], value):
        yield f"{where}: {value!r} must not match {schema['not']['pattern']}"
    if len(str(value)) > schema.get("maxLength", len(str(value))):
        yield f"{where}: {value!r} has more than {schema['maxLength']} characters"
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: {value} is not within {schema.get('minimum')} and {schema.get('maximum')}"
