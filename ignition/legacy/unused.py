"""Keys that the spec of a config does not know. Ignition warns of them and goes on."""

from ignition.document import ListNode, MapNode, Node
from ignition.legacy.outcome import Journal
from ignition.model import Part, Path
from ignition.model.reader import known_keys

_NEWEST_MINOR = 4


def report_unused_keys(node: Node, type_: type[Part], journal: Journal, path: Path = ()) -> None:
    """Warn of every key below `node` that the part it was read as has not. Letters must match in case here, too."""
    if not isinstance(node, MapNode):
        return
    known = known_keys(type_, True, journal.minor)
    later = known_keys(type_, True, _NEWEST_MINOR)
    for key, child in node.entries:
        inner: Path = (*path, key.text)
        field = known.get(key.text)
        if field is None:
            hint = f"it came with spec 2.{later[key.text].since}.0" if key.text in later else ""
            journal.findings.warning(key.mark, inner, f"Unused key {key.text}", hint)
        elif field.is_part and field.is_list and isinstance(child, ListNode):
            for index, item in enumerate(child.items):
                report_unused_keys(item, field.type, journal, (*inner, index))
        elif field.is_part:
            report_unused_keys(child, field.type, journal, inner)
