"""Templates: parsed and compiled once, rendered for every host."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from ignition import butane, model
from ignition.document import Data, DocumentError, MapNode, Node, load, to_data
from ignition.errors import Problem, Severity
from ignition.render.filling import Fill, Filling, compile_node
from ignition.render.filters import restart_counting
from ignition.render.taint import seen
from ignition.render.text import BadText
from ignition.rules import Report, validate_document
from ignition.secrets import Secrets, redact_config, schema_secrets


@dataclass(frozen=True)
class Rendered:
    """An Ignition config and what was found in it. The config is empty when the report is fatal.

    The config is compact JSON in UTF-8, equal for equal templates and values: from Butane with keys in the order of Ignition's
    structs, from an Ignition template in the order of the template.
    """

    config: bytes = field(repr=False)
    report: Report
    secrets: Secrets = field(default_factory=Secrets)
    """What is secret in the config: what was marked, in the values or by the filter `secret`, and what its schema says."""

    @property
    def redacted(self) -> bytes:
        """The config for reading, without its secrets."""
        return redact_config(self.config, self.secrets)


class Template:
    """A compiled template; `render` makes a config of it."""

    def __init__(self, root: Node, fill: Fill | None, sha256: str) -> None:
        self._root = root
        self._fill = fill
        self.sha256 = sha256  # of the template's text, in hex

    @classmethod
    def parse(cls, text: str | bytes, file: str) -> "Template":
        """Parse and compile a template. Raises DocumentError with every problem of its YAML and its expressions."""
        root = load(text, file)
        problems: list[Problem] = []
        fill = compile_node(root, "", problems)
        if not isinstance(root, MapNode) or not {"variant", "ignition"} & root.by_key.keys():
            message = "neither a Butane document (no variant) nor an Ignition config (no ignition.version)"
            problems.append(Problem(Severity.ERROR, root.mark, "", message))
        if problems:
            raise DocumentError(problems)
        return cls(root, fill, hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest())

    def render(self, values: Mapping[str, Data]) -> Rendered:
        """Fill in the values and translate.

        What is wrong with the config is in the report. Raises DocumentError, naming the line of the template, for what is wrong
        with the values: undefined names, wrong types, too much work.
        """
        noted: list[str] = []
        token = seen.set(noted)
        try:
            document, problems = self._filled(values)
        finally:
            seen.reset(token)
        marked = Secrets.in_values(values) | Secrets(noted)
        if problems:
            raise DocumentError(map(marked.redact_problem, problems))
        return _translated(document, marked)

    def _filled(self, values: Mapping[str, Data]) -> tuple[Node, tuple[Problem, ...]]:
        restart_counting()
        filling = Filling(values)
        try:
            document = self._root if self._fill is None else self._fill(filling)
        except BadText as error:
            return self._root, (*filling.problems, error.problem)
        # What is wrong in a loop is wrong in each of its rounds.
        return document, tuple(dict.fromkeys(filling.problems))


def _translated(document: Node, marked: Secrets) -> Rendered:
    if isinstance(document, MapNode) and "variant" in document.by_key:
        translation = butane.translate(document, strict=True)
        report = Report(translation.problems)
        config = b"" if translation.config is None else model.encode(translation.config)
    else:
        report = validate_document(document)
        config = b"" if report.is_fatal else msgspec.json.encode(to_data(document))
    secrets = marked | schema_secrets(msgspec.json.decode(config) if config else to_data(document))
    return Rendered(config, replace(report, problems=tuple(map(secrets.redact_problem, report.problems))), secrets)


def render(template: str | bytes, file: str, values: Mapping[str, Data]) -> Rendered:
    """Render a template once; see Template."""
    return Template.parse(template, file).render(values)
