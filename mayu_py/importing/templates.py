"""Mayu's Ignition template and its snippets as one Butane template."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ignition.document import DocumentError, Mark, load
from mayu_py.importing.butane_of import butane
from mayu_py.importing.flattening import MARKER, flatten, stand_in
from mayu_py.importing.go_templates import BadTemplate
from mayu_py.importing.layout import Layout, lay_out
from mayu_py.importing.report import Journal
from mayu_py.importing.spec2 import VARIANT
from mayu_py.importing.tables import Document
from mayu_py.importing.yaml_text import dump


def translate(text: str, file: str, snippets: Mapping[str, str], files: Mapping[str, bytes], journal: Journal) -> str:
    """The Butane template. What is not translated is a line in it that no template compiles, and an item of the report."""
    try:
        layout = lay_out(flatten(text, file, snippets, files, journal))
    except BadTemplate as error:
        journal.left(error.mark, "the template", error.why)
        return _untranslated(text, error.mark, error.why)
    try:
        root = load(layout.text, file)
    except DocumentError as error:
        problem = error.problems[0]
        mark = layout.origin(problem.mark)
        journal.left(mark, "the template", problem.message)
        return _untranslated(text, mark, problem.message)
    own = Journal()
    found = butane(root, Document(layout.words, own))
    journal.items += (replace(item, mark=layout.origin(item.mark)) for item in own.items)
    return dump(_marked(found, layout, own))


def _marked(found: dict[str, Any], layout: Layout, journal: Journal) -> dict[str, Any]:
    """With a line for each thing that a person has to do, which keeps the template from being served as it is."""
    left = [item for item in journal.sorted() if item.fate == "left"]
    if not left:
        return found
    notes = [_note(layout.origin(item.mark), f"{item.what}: {item.why}") for item in left]
    storage = found.setdefault("storage", {})
    if isinstance(storage, dict):
        storage["files"] = [*notes, *storage.get("files", ())]
    return found


def _note(mark: Mark, what: str) -> dict[str, Any]:
    return {"path": f"{{{{ {stand_in(mark, what)} }}}}"}


def _untranslated(text: str, mark: Mark, why: str) -> str:
    old = "".join(f"# {line.rstrip()}\n" for line in text.splitlines())
    shown = "".join(character if character.isprintable() or character == "\n" else "?" for character in old)
    head = f"# Mayu's template could not be read as a whole; `{MARKER}` below keeps this one from being served.\n"
    return head + dump({**VARIANT, "storage": {"files": [_note(mark, why)]}}) + shown
