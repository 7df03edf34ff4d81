"""Located documents: YAML and JSON whose every value knows its file, line and column.

`load` turns text into nodes, `decode` turns nodes into frozen dataclasses and reports all problems at once. Nothing
here reads a file: text comes in, values go out, and the only exception for bad input is `DocumentError`.

The names below are imported when they are first used: who reads JSON alone does not wait for YAML.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ignition.document.decoder import Decoded, decode
    from ignition.document.loader import MAX_DEPTH, MAX_NODES, load
    from ignition.document.nodes import Data, Kind, ListNode, MapNode, Node, Origin, ScalarNode, to_data
    from ignition.document.quantities import Duration, Size
    from ignition.errors import DocumentError, Mark, Problem, Severity

_HOMES = {
    "ignition.document.decoder": ("Decoded", "decode"),
    "ignition.document.loader": ("MAX_DEPTH", "MAX_NODES", "load"),
    "ignition.document.nodes": ("Data", "Kind", "ListNode", "MapNode", "Node", "Origin", "ScalarNode", "to_data"),
    "ignition.document.quantities": ("Duration", "Size"),
    "ignition.errors": ("DocumentError", "Mark", "Problem", "Severity"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "Data",
    "Decoded",
    "DocumentError",
    "Duration",
    "Kind",
    "ListNode",
    "MapNode",
    "Mark",
    "Node",
    "Origin",
    "Problem",
    "ScalarNode",
    "Severity",
    "Size",
    "decode",
    "load",
    "to_data",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value
