"""Pipelines of Go's templates as Jinja expressions, as far as they say the same."""

import json
import re

from mayu_py.importing.go_functions import call
from mayu_py.importing.go_values import Scope, Untranslatable, Value, field_of

_WORD = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|(?P<sign>:=|[(),|])"""
    r"""|(?P<path>\$?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\$(?:\.[A-Za-z_]\w*)+|(?:\.[A-Za-z_]\w*)+|\$|\.))""",
    re.ASCII,
)


def translate(words: str, scope: Scope) -> Value:
    """A pipeline as an expression. Raises Untranslatable."""
    reader = _Pipeline(_words(words), scope)
    value = reader.pipeline()
    if reader.rest:
        raise Untranslatable(f"`{' '.join(text for _, text in reader.rest)}` is left over")
    return value


def assignment(words: str) -> tuple[list[str], str]:
    """The variables that `$a, $b := pipeline` sets, and the pipeline."""
    names, sign, rest = words.partition(":=")
    if not sign:
        return [], words
    found = [name.strip() for name in names.split(",")]
    if not all(re.fullmatch(r"\$[A-Za-z_]\w*", name, re.ASCII) for name in found):
        raise Untranslatable(f"`{words}` sets no variables")
    return [name.removeprefix("$") for name in found], rest


def _words(text: str) -> list[tuple[str, str]]:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise Untranslatable(f"`{text[at:]}` is not read here")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        at = match.end()
    return found


class _Pipeline:
    """Recursive descent over the words of a pipeline."""

    def __init__(self, words: list[tuple[str, str]], scope: Scope) -> None:
        self.rest = words
        self._scope = scope

    def pipeline(self) -> Value:
        value = self._command(())
        while self.rest and self.rest[0] == ("sign", "|"):
            self.rest = self.rest[1:]
            value = self._command((value,))
        return value

    def _command(self, piped: tuple[Value, ...]) -> Value:
        if not self.rest:
            raise Untranslatable("an empty pipeline")
        kind, text = self.rest[0]
        is_function = kind == "path" and not text.startswith((".", "$"))
        if is_function and text not in ("true", "false", "nil"):
            self.rest = self.rest[1:]
            return call(text, (*self._operands(), *piped))
        value, *more = self._operands()
        if more or piped:
            raise Untranslatable(f"`{text}` takes no arguments")
        return value

    def _operands(self) -> list[Value]:
        found = []
        while self.rest and not (self.rest[0][0] == "sign" and self.rest[0][1] in "|)"):
            found.append(self._operand())
        return found

    def _operand(self) -> Value:
        (kind, text), self.rest = self.rest[0], self.rest[1:]
        match kind:
            case "string":
                return Value(json.dumps(_string(text)), "literal")
            case "number":
                return Value(text, "literal")
            case "path":
                return self._path(text)
        if text != "(":
            raise Untranslatable(f"`{text}` does not begin a value")
        value = self.pipeline()
        if not self.rest or self.rest[0][1] != ")":
            raise Untranslatable("a bracket that does not close")
        self.rest = self.rest[1:]
        return value

    def _path(self, text: str) -> Value:
        if text in ("true", "false"):
            return Value(text)
        if text.startswith("$"):
            name, _, fields = text[1:].partition(".")
            found = self._scope.variables.get(name) if name else Value("", "root")
            if found is None:
                raise Untranslatable(f"`${name}` is set nowhere")
        else:
            found, fields = self._scope.dot, text.removeprefix(".")
        for name in filter(None, fields.split(".")):
            found = field_of(found, name, self._scope.port)
        if found.kind == "root":
            raise Untranslatable("`.` as a value")
        return found


def _string(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Untranslatable(f"the string {text} is not read here") from error
    assert isinstance(found, str)
    return found
