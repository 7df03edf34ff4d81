"""Located documents: YAML and JSON whose every value knows its file, line and column.

`load` turns text into nodes, `decode` turns nodes into frozen dataclasses and reports all problems at once. Nothing
here reads a file: text comes in, values go out, and the only exception for bad input is `DocumentError`.
"""

from ignition.document.decoder import Decoded, decode
from ignition.document.loader import MAX_DEPTH, MAX_NODES, load
from ignition.document.nodes import Data, Kind, ListNode, MapNode, Node, Origin, ScalarNode, to_data
from ignition.document.quantities import Duration, Size
from ignition.errors import DocumentError, Mark, Problem, Severity

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
