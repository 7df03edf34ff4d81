"""Go's text/template as a tree: text, actions, and the blocks that `if`, `range`, `with` and `define` make."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ignition.errors import Mark


class BadTemplate(Exception):
    """The text is no template, or uses what is not read here."""

    def __init__(self, mark: Mark, why: str) -> None:
        super().__init__(why)
        self.mark = mark
        self.why = why


@dataclass(frozen=True, slots=True)
class Text:
    """Text as it stands."""

    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Action:
    """`{{pipeline}}`; `words` is what stands between the braces."""

    words: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Call:
    """`{{template "name" argument}}`."""

    name: str
    argument: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Branch:
    """A condition, None for `else`, and what stands below it."""

    words: str | None
    body: tuple["Part", ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Block:
    """`if`, `range` or `with`: its branches, of which the last may be `else`."""

    keyword: str
    branches: tuple[Branch, ...]
    mark: Mark


Part: TypeAlias = Text | Action | Call | Block
Defined: TypeAlias = dict[str, tuple[Part, ...]]

_STRING = r'"(?:\\.|[^"\\\n])*"|`[^`]*`'
_DELIMITED = re.compile(rf"\{{\{{(- )?((?:{_STRING}|[^\"`{{}}]|\{{(?!\{{)|\}}(?!\}}))*?)( -)?\}}\}}", re.DOTALL)
_CALL = re.compile(rf"template\s+({_STRING})\s*(.*)", re.DOTALL)
_DEFINE = re.compile(rf"(?:define|block)\s+({_STRING})\s*(.*)", re.DOTALL)
DEEPEST = 50
LARGEST = 2_000_000


def parse(text: str, file: str) -> tuple[tuple[Part, ...], Defined]:
    """Read a template: its parts, and what it defines. Raises BadTemplate with the place."""
    if len(text) > LARGEST:
        raise BadTemplate(Mark(file, 1, 1), f"a template of more than {LARGEST} characters")
    reader = _Reader(_tokens(text, file), {}, file)
    parts = reader.body(0, until=())
    return parts, reader.defined


def _tokens(text: str, file: str) -> list[Text | Action]:
    found: list[Text | Action] = []
    at, line, trim = 0, 1, False
    for match in _DELIMITED.finditer(text):
        piece = text[at : match.start()]
        found.append(_text(piece, Mark(file, line, 1), trim, bool(match[1])))
        line += piece.count("\n")
        found.append(Action(match[2].strip(), Mark(file, line, 1)))
        line += match[0].count("\n")
        at, trim = match.end(), bool(match[3])
    found.append(_text(text[at:], Mark(file, line, 1), trim, False))
    return [token for token in found if not (isinstance(token, Text) and not token.text)]


def _text(piece: str, mark: Mark, trim_left: bool, trim_right: bool) -> Text:
    if "{{" in piece:
        line = mark.line + piece[: piece.index("{{")].count("\n")
        raise BadTemplate(Mark(mark.file, line, 1), "an action that does not end: `{{` without its `}}`")
    kept = piece.lstrip() if trim_left else piece
    return Text(kept.rstrip() if trim_right else kept, mark)


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: Sequence[Text | Action], defined: Defined, file: str) -> None:
        self._tokens = tokens
        self._at = 0
        self._file = file
        self.defined = defined

    def body(self, depth: int, until: tuple[str, ...]) -> tuple[Part, ...]:
        """Parts up to an action that begins with one of `until`, which is left to be read."""
        parts: list[Part] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if isinstance(token, Text):
                parts.append(token)
                self._at += 1
                continue
            keyword = token.words.split(None, 1)[0] if token.words else ""
            if keyword in until:
                return tuple(parts)
            self._at += 1
            parts += self._action(token, keyword, depth)
        if until:
            raise BadTemplate(Mark(self._file, 0, 0), "a block that does not end: an `{{end}}` is missing")
        return tuple(parts)

    def _action(self, token: Action, keyword: str, depth: int) -> list[Part]:
        if depth > DEEPEST:
            raise BadTemplate(token.mark, f"blocks more than {DEEPEST} deep")
        match keyword:
            case "if" | "range" | "with":
                return [self._block(token, keyword, depth)]
            case "define" | "block":
                return self._define(token, depth)
            case "template":
                found = _CALL.fullmatch(token.words)
                if found is None:
                    raise BadTemplate(token.mark, f"`{token.words}` names no template")
                return [Call(found[1][1:-1], found[2].strip(), token.mark)]
            case "end" | "else":
                raise BadTemplate(token.mark, f"an `{keyword}` that belongs to nothing")
            case "break" | "continue" | "":
                raise BadTemplate(token.mark, f"`{{{{{token.words}}}}}` is not read here")
        return [] if token.words.startswith("/*") else [token]

    def _block(self, token: Action, keyword: str, depth: int) -> Block:
        branches = []
        words: str | None = token.words.removeprefix(keyword).strip()
        while True:
            mark = self._tokens[self._at - 1].mark
            body = self.body(depth + 1, ("else", "end"))
            branches.append(Branch(words, body, mark))
            closing = self._tokens[self._at]
            assert isinstance(closing, Action)
            self._at += 1
            if closing.words.split(None, 1)[0] == "end":
                return Block(keyword, tuple(branches), token.mark)
            rest = closing.words.removeprefix("else").strip()
            if rest and not rest.startswith("if "):
                raise BadTemplate(closing.mark, f"`{closing.words}` is not read here")
            if words is None:
                raise BadTemplate(closing.mark, "a second `else`")
            words = rest.removeprefix("if ").strip() if rest else None

    def _define(self, token: Action, depth: int) -> list[Part]:
        found = _DEFINE.fullmatch(token.words)
        if found is None:
            raise BadTemplate(token.mark, f"`{token.words}` defines nothing")
        body = self.body(depth + 1, ("end",))
        self._at += 1
        name = found[1][1:-1]
        self.defined[name] = body
        return [Call(name, found[2].strip(), token.mark)] if token.words.startswith("block") else []
