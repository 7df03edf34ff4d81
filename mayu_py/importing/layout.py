"""The stream as YAML whose strings hold Jinja, and whose structure is made by statements that stand as keys.

Go makes the text of a document; here a document is parsed first and filled then. A block that stands between the lines of a list
or a mapping becomes a key of it; a block within a string stays in the string.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ignition.errors import Mark
from mayu_py.importing.flattening import Open, Shown, Token
from mayu_py.importing.go_templates import BadTemplate, Text

# A key, or the dash of a list, whose value is a block scalar.
_BLOCK_SCALAR = re.compile(r"(\s*(?:- )*)(?:[^\s#'\"][^#]*?:\s+|- )[|>][-+0-9]*\s*(?:#.*)?$")


@dataclass
class Line:
    """Text of one line with its expressions in place. `tags` is set for a line of nothing but tags."""

    text: str
    mark: Mark
    tags: tuple[Open, ...] = ()

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip(" "))

    @property
    def is_blank(self) -> bool:
        return not self.text.strip() and not self.tags

    @property
    def in_text(self) -> str:
        """The line within a string."""
        return self.text + "".join(tag.tag for tag in self.tags)


@dataclass
class Choice:
    """A block between lines: each tag with what stands below it."""

    branches: list[tuple[Open, list["Line | Choice"]]] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """The document with words in the place of the Jinja; what each word stands for; where each line came from."""

    text: str
    words: Mapping[str, str]
    marks: tuple[Mark, ...]

    def origin(self, mark: Mark) -> Mark:
        """The place in Mayu's files of a place in the document."""
        return self.marks[mark.line - 1] if 0 < mark.line <= len(self.marks) else mark


def lay_out(tokens: Sequence[Token]) -> Layout:
    """The stream as a document.

    Jinja cannot stand there itself before the document has been read: its quotes and braces are YAML's, too. Raises BadTemplate
    for blocks that go in and out of strings.
    """
    named, words = _named(tokens)
    tree, rest = _tree(list(_in_strings(list(_lines(named)))), 0)
    if rest is not None:
        raise BadTemplate(tokens[0].mark, "an end that belongs to no block")
    written = list(_written(tree, 0))
    text = "".join(f"{line}\n" for line, _ in written)
    return Layout(text, words, tuple(mark for _, mark in written))


def _named(tokens: Sequence[Token]) -> tuple[list[Token], dict[str, str]]:
    stem, words = "Jinja", dict[str, str]()
    while any(stem in token.text for token in tokens if isinstance(token, Text)):
        stem += "X"
    found: list[Token] = []
    for n, token in enumerate(tokens):
        match token:
            case Shown():
                word, words[f"{stem}{n}S"] = f"{stem}{n}S", f"{{{{ {token.expression} }}}}"
                found.append(replace(token, expression=word))
            case Open():
                word = f"{stem}{n}{'L' if token.tag.startswith('for ') else 'T'}"
                words[word] = f"{{% {token.tag} %}}"
                # Within a line: the newline behind the tag is the line's own, and stays.
                words[f"{word}I"] = f"{{% {token.tag} +%}}"
                found.append(replace(token, tag=word))
            case _:
                found.append(token)
    return found, words


def _lines(tokens: Iterable[Token]) -> Iterator[Line]:
    """Lines; tags of a block that is not whole within one line stand in lines of their own."""
    row: list[Token] = []
    for token in tokens:
        if not isinstance(token, Text):
            row.append(token)
            continue
        first, *more = token.text.split("\n")
        row.append(Text(first, token.mark))
        for number, piece in enumerate(more, 1):
            yield from _cut(row)
            row = [Text(piece, Mark(token.mark.file, token.mark.line + number, 1))]
    yield from _cut(row)


def _cut(row: list[Token]) -> Iterator[Line]:
    if not row:
        return
    matched = _matched(row)
    indent = ""
    text, mark = "", row[0].mark
    for n, token in enumerate(row):
        match token:
            case Text():
                text += token.text
            case Open() if n not in matched:
                if text.strip():
                    yield Line(text, mark)
                    indent, text = "", ""
                else:
                    indent, text = indent + text, ""
                yield Line(indent, token.mark, (token,))
            case Open():
                text += f"{token.tag}I"
            case _:
                text += token.expression
    if text.strip() or not any(isinstance(token, Open) and n not in matched for n, token in enumerate(row)):
        yield Line(indent + text, mark)


def _matched(row: list[Token]) -> set[int]:
    """The tags of blocks that begin and end in this line."""
    found: set[int] = set()
    open_: list[list[int]] = []
    for n, token in enumerate(row):
        if not isinstance(token, Open):
            continue
        if token.turn > 0:
            open_.append([n])
        elif open_:
            open_[-1].append(n)
            if token.turn < 0:
                found.update(open_.pop())
    return found


def _in_strings(lines: list[Line]) -> Iterator[Line]:
    """Turn tags within block scalars into text of theirs."""
    parent, depth, inner = -1, 0, 0
    for n, line in enumerate(lines):
        if line.is_blank:
            yield line
            continue
        if parent >= 0 and line.tags:
            tag = line.tags[0]
            following = next((each for each in lines[n + 1 :] if not each.tags and not each.is_blank), None)
            if depth or (tag.turn > 0 and following is not None and following.indent > parent):
                depth += tag.turn
                if not inner:
                    inner = line.indent if line.indent > parent or following is None else following.indent
                yield Line(" " * max(inner, parent + 1) + line.in_text.strip(), line.mark)
                continue
            parent = -1
        elif parent >= 0 and line.indent > parent:
            inner = inner or line.indent
            yield line
            continue
        elif parent >= 0:
            if depth:
                raise BadTemplate(line.mark, "a block that begins within a text and ends behind it")
            parent = -1
        if not line.tags and _BLOCK_SCALAR.match(line.text):
            parent, inner = _parent(line.text), 0
        yield line


def _parent(text: str) -> int:
    """The indentation that the lines of a block scalar must pass: that of its key, or of its list's dash."""
    at = len(text) - len(text.lstrip(" "))
    while text[at:].startswith("- ") and re.match(r"- +[^|>\s]", text[at:]):
        rest = text[at + 2 :]
        at += 2 + len(rest) - len(rest.lstrip(" "))
    return at


def _tree(lines: list[Line], at: int) -> tuple[list[Line | Choice], int | None]:
    """The lines from `at` with their blocks, and where the tag stands that ends it."""
    found: list[Line | Choice] = []
    while at < len(lines):
        line = lines[at]
        if not line.tags:
            found.append(line)
            at += 1
            continue
        if line.tags[0].turn <= 0:
            return found, at
        choice = Choice()
        end: int | None = at
        while end is not None and (tag := lines[end].tags[0]).turn >= 0:
            body, end = _tree(lines, end + 1)
            choice.branches.append((tag, body))
        if end is None:
            raise BadTemplate(line.mark, "a block that does not end")
        found.append(choice)
        at = end + 1
    return found, None


def _written(tree: list[Line | Choice], shift: int) -> Iterator[tuple[str, Mark]]:
    for part in tree:
        if isinstance(part, Line):
            yield (" " * shift + part.text if part.text.strip() else ""), part.mark
        else:
            yield from _statement(part, shift)


def _statement(choice: Choice, shift: int) -> Iterator[tuple[str, Mark]]:
    first = next((line for _, body in choice.branches for line in _content(body)), None)
    if first is None:
        return
    is_list = first.text.lstrip().startswith("- ")
    head, deeper = " " * (shift + first.indent), 4 if is_list else 2
    if not is_list and choice.branches[0][0].tag.endswith("L"):
        raise BadTemplate(choice.branches[0][0].mark, "a loop that makes keys of a mapping")
    for n, (tag, body) in enumerate(choice.branches):
        for line in _content(body):
            if line.indent < first.indent:
                raise BadTemplate(line.mark, "a block that holds parts of several lists or mappings")
        lead = ("- " if n == 0 else "  ") if is_list else ""
        yield f"{head}{lead}{tag.tag}:{'' if any(_content(body)) else ' []' if is_list else ' {}'}", tag.mark
        yield from _written(body, shift + deeper)


def _content(tree: list[Line | Choice]) -> Iterator[Line]:
    for part in tree:
        if isinstance(part, Line):
            if not part.is_blank and not part.text.lstrip().startswith("#"):
                yield part
        else:
            for _, body in part.branches:
                yield from _content(body)
