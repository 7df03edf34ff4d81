"""A config of spec 2 whose strings hold Jinja, as a Butane template of spec 3."""

from collections.abc import Iterator, Sequence
from typing import Any

from ignition.document import MapNode, Mark, Node, ScalarNode
from mayu_py.importing.spec2 import SECTIONS, VARIANT
from mayu_py.importing.tables import Document, lay, record


def butane(root: Node, document: Document) -> dict[str, Any]:
    """The Butane document."""
    if not isinstance(root, MapNode):
        document.journal.left(root.mark, "the template", f"a config is expected, here is {root.describe()}")
        return dict(VARIANT)
    always = MapNode(tuple(entry for entry in root.entries if document.statement(entry[0].text) is None), root.mark)
    found = {**VARIANT, **record(document, always, SECTIONS)}
    for choice in _choices(root, document):
        _push_down(found, choice, document)
    _merge_units(found, document, root.mark)
    return found


def _choices(root: MapNode, document: Document) -> Iterator[list[tuple[ScalarNode, Node]]]:
    """The statements around whole sections, each with its branches."""
    choice: list[tuple[ScalarNode, Node]] = []
    for key, value in root.entries:
        statement = document.statement(key.text)
        if statement is None:
            continue
        if choice and statement.startswith(("{% if ", "{% for ")):
            yield choice
            choice = []
        choice.append((key, value))
    if choice:
        yield choice


def _push_down(found: dict[str, Any], choice: Sequence[tuple[ScalarNode, Node]], document: Document) -> None:
    """A section may stand once, so what a statement chooses are the items of the section's lists."""
    bodies = [(document.filled(key.text), record(document, value, SECTIONS)) for key, value in choice]
    paths = dict.fromkeys((section, key) for _, body in bodies for section in body for key in body[section])
    for section, key in paths:
        branches = {statement: body.get(section, {}).get(key, []) for statement, body in bodies}
        if all(isinstance(branch, list) for branch in branches.values()):
            lay(found, (section, key), [branches])
        else:
            document.journal.left(choice[0][0].mark, f"{section}.{key}", "only lists can depend on a condition here")


def _merge_units(found: dict[str, Any], document: Document, mark: Mark) -> None:
    """Units with one name are one unit: the last contents, all drop-ins, and the first `enabled`, which is what systemd obeys."""
    systemd = found.get("systemd")
    if not isinstance(systemd, dict) or not isinstance(units := systemd.get("units"), list):
        return
    merged: dict[str, dict[str, Any]] = {}
    kept: list[Any] = []
    for unit in units:
        name = unit.get("name") if isinstance(unit, dict) else None
        if name is None or name not in merged:
            kept.append(unit)
            if name is not None:
                merged[name] = unit
            continue
        first = merged[name]
        first["dropins"] = [*_sequence(first.get("dropins")), *_sequence(unit.get("dropins"))]
        first.update({key: value for key, value in unit.items() if key in ("contents", "mask")})
        first.setdefault("enabled", unit.get("enabled", False))
        if not first["dropins"]:
            del first["dropins"]
        document.journal.changed(mark, f"unit {name}", "given twice, and made one unit")
    systemd["units"] = kept


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
