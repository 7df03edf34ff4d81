"""A parsed Go template as one stream of text and Jinja: templates called are put in place, every pipeline is translated.

What cannot be translated becomes an expression that no template compiles, naming its place, and a line of the report.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ignition.errors import Mark
from mayu_py.importing.go_expressions import assignment, translate
from mayu_py.importing.go_templates import Action, BadTemplate, Block, Call, Defined, Part, Text, parse
from mayu_py.importing.go_values import Scope, Untranslatable, Value
from mayu_py.importing.report import Journal

MARKER = "not_translated"
MOST_TOKENS = 100_000
# What a loop's variable would hide, and what Jinja keeps for itself.
# fmt: off
_RESERVED = frozenset({
    "host", "server", "network", "values", "image", "report_url", "ignition_url", "etcd_discovery_url", "loop", "range",
    "and", "or", "not", "in", "is", "if", "else", "for", "true", "false", "none", "True", "False", "None",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Open:
    """`{% tag %}` that begins a block, goes on with another branch of it, or ends it."""

    tag: str
    mark: Mark
    turn: int = 0  # +1 begins, 0 goes on, -1 ends


@dataclass(frozen=True, slots=True)
class Shown:
    """`{{ expression }}`."""

    expression: str
    mark: Mark


Token: TypeAlias = Text | Shown | Open


def stand_in(mark: Mark, what: str) -> str:
    """An expression that `mayu check` refuses, naming the place."""
    shown = json.dumps(f"{mark}: {what}"[:200]).replace("{", "(").replace("}", ")").replace("%", "")
    return f"{shown} | {MARKER}"


@dataclass
class Flattener:
    """Walks one template. `files` are Mayu's files by `dir/name`."""

    defined: Defined
    files: Mapping[str, bytes]
    journal: Journal
    port: str = "4081"
    tokens: list[Token] = field(default_factory=list)
    _calls: list[str] = field(default_factory=list)
    _count: int = 0

    def flatten(self, parts: tuple[Part, ...]) -> list[Token]:
        """The tokens of the template."""
        self._parts(parts, Scope(port=self.port))
        return self.tokens

    def _parts(self, parts: tuple[Part, ...], scope: Scope) -> None:
        for part in parts:
            if len(self.tokens) > MOST_TOKENS:
                raise BadTemplate(part.mark, "templates that call each other make it too large")
            match part:
                case Text():
                    self.tokens.append(part)
                case Action():
                    scope = self._action(part, scope)
                case Call():
                    self._call(part, scope)
                case Block():
                    self._block(part, scope)

    def _action(self, action: Action, scope: Scope) -> Scope:
        try:
            names, words = assignment(action.words)
            value = translate(words, scope)
            if names:
                return scope.with_dot(scope.dot, **dict.fromkeys(names[:1], value))
            self.tokens.append(self._shown(value, action))
        except Untranslatable as error:
            self._give_up(action.mark, action.words, str(error))
        return scope

    def _shown(self, value: Value, action: Action) -> Token:
        if value.kind == "literal":
            return Text(str(json.loads(value.text)), action.mark)
        if value.kind != "file":
            return Shown(value.text, action.mark)
        content = self.files.get(value.text)
        if content is None:
            raise Untranslatable(f"there is no file {value.text!r}")
        if b"{{" in content:
            raise Untranslatable(f"the file {value.text!r} is a template itself: put its text into the document, as `inline`")
        return Text(base64.b64encode(content).decode(), action.mark)

    def _give_up(self, mark: Mark, words: str, why: str) -> None:
        self.journal.left(mark, f"{{{{{words}}}}}", why)
        self.tokens.append(Shown(stand_in(mark, f"{words}: {why}"), mark))

    def _call(self, call: Call, scope: Scope) -> None:
        body = self.defined.get(call.name)
        if body is None or call.name in self._calls:
            why = "there is no such template" if body is None else "it calls itself"
            self._give_up(call.mark, f'template "{call.name}"', why)
            return
        try:
            dot = scope.dot if call.argument in ("", ".", "$") else translate(call.argument, scope)
        except Untranslatable as error:
            self._give_up(call.mark, f'template "{call.name}" {call.argument}', str(error))
            return
        self._calls.append(call.name)
        self._parts(body, Scope(dot, port=scope.port))
        self._calls.pop()

    def _block(self, block: Block, scope: Scope) -> None:
        try:
            settled = self._settled(block)
            if settled is not None:
                self._parts(settled, scope)
            elif block.keyword == "range":
                self._range(block, scope)
            else:
                self._choice(block, scope)
        except Untranslatable as error:
            self._give_up(block.mark, f"{block.keyword} {block.branches[0].words}", f"{error}; the block is left out")

    def _settled(self, block: Block) -> tuple[Part, ...] | None:
        """The branch that is taken for every host: mayu's boot face has no TLS."""
        words = (block.branches[0].words or "").strip()
        if block.keyword != "if" or words not in (".NoTLS", "not .NoTLS"):
            return None
        self.journal.changed(block.mark, f"{{{{if {words}}}}}", "decided: the boot face speaks plain HTTP")
        if words == ".NoTLS":
            return block.branches[0].body
        return block.branches[1].body if len(block.branches) > 1 and block.branches[1].words is None else ()

    def _choice(self, block: Block, scope: Scope) -> None:
        conditions: list[tuple[str | None, Scope]] = []
        for branch in block.branches:
            if branch.words is None:
                conditions.append((None, scope))
                continue
            names, words = assignment(branch.words)
            value = translate(words, scope)
            inner = scope.with_dot(value if block.keyword == "with" else scope.dot, **dict.fromkeys(names[:1], value))
            conditions.append((value.condition, inner))
        for n, (branch, (condition, inner)) in enumerate(zip(block.branches, conditions, strict=True)):
            tag = "else" if condition is None else f"{'elif' if n else 'if'} {condition}"
            self.tokens.append(Open(tag, branch.mark, 1 if n == 0 else 0))
            self._parts(branch.body, inner)
        self.tokens.append(Open("endif", block.mark, -1))

    def _range(self, block: Block, scope: Scope) -> None:
        if len(block.branches) > 1:
            raise Untranslatable("`range` with `else`")
        branch = block.branches[0]
        names, words = assignment(branch.words or "")
        items = translate(words, scope)
        self._count += 1
        item = f"item{self._count}" if not names else f"each_{names[-1]}" if names[-1] in _RESERVED else names[-1]
        # `loop` is that of the innermost loop: outer rounds are not counted within.
        variables = {name: value for name, value in scope.variables.items() if value.text != "loop.index0"}
        scope = Scope(scope.dot, variables, scope.port)
        variables = {names[-1]: Value(item)} if names else {}
        if len(names) == 2:
            variables[names[0]] = Value("loop.index0")
            self.journal.changed(block.mark, f"${names[0]}", "counts the rounds of the loop; of a mapping it would be the key")
        of = f"{items.text} | default([])" if items.may_miss else items.text
        self.tokens.append(Open(f"for {item} in {of}", branch.mark, 1))
        self._parts(branch.body, scope.with_dot(Value(item), **variables))
        self.tokens.append(Open("endfor", block.mark, -1))


def flatten(text: str, file: str, snippets: Mapping[str, str], files: Mapping[str, bytes], journal: Journal) -> list[Token]:
    """A template and the snippets that define what it calls. Raises BadTemplate with the place of what cannot be read at all."""
    defined: Defined = {}
    for name, snippet in snippets.items():
        try:
            defined |= parse(snippet, name)[1]
        except BadTemplate as error:
            journal.left(error.mark, "the snippet", error.why)
    parts, own = parse(text, file)
    return Flattener(defined | own, files, journal).flatten(parts)
