"""Keys of a config that Ignition does not use (coreos/ignition, config/validate/validate.go: ValidateUnusedKeys).

Ignition walks its structs and looks each of them up in the text by its exact path. So nothing is said of what lies below an
unused key or one that is spelt in another case, and the last of equal keys is the one that is looked at.
"""

from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode
from ignition.model import Config, Findings, Part, Path, dotted
from ignition.model.gotypes import is_pointer
from ignition.model.reader import known_keys

_NO_CONTEXT = (
    "context tree does not match content tree at {}."
    " Line and column reporting may be inconsistent. Unused keys may not be reported"
)


def report_unused_keys(config: Config, document: Node, minor: int, findings: Findings) -> None:
    """Add a warning for every key that spec 3.`minor` does not know, and for every null where Ignition has a struct."""
    _Walk(minor, findings).part(Config, config, document, ())


class _Walk:
    def __init__(self, minor: int, findings: Findings) -> None:
        self.minor = minor
        self.findings = findings

    def part(self, type_: type[Part], part: Part | None, node: Node, path: Path) -> None:
        if not isinstance(node, MapNode):
            self.findings.warning(node.mark, path, _NO_CONTEXT.format(dotted(path)))
            return
        known = known_keys(type_, True, self.minor)
        keys = {key.text: (key, child) for key, child in node.entries}
        for key, _ in keys.values():
            if key.text not in known:
                self.findings.warning(key.mark, (*path, key.text), f"unused key {key.text}")
        for field in known.values():
            if not field.is_part or field.key not in keys:
                continue
            child = keys[field.key][1]
            value = getattr(part, field.attribute) if part is not None else None
            if field.is_list:
                self.items(field.type, value or (), child, (*path, field.key))
            elif value is not None or not (is_pointer(type_, field, self.minor) and _is_null(child)):
                self.part(field.type, value, child, (*path, field.key))

    def items(self, type_: type[Part], values: tuple[Part, ...], node: Node, path: Path) -> None:
        if isinstance(node, ListNode):
            for index, (value, child) in enumerate(zip(values, node.items, strict=False)):
                self.part(type_, value, child, (*path, index))


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.kind is Kind.NULL
