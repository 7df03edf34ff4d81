"""Pipelines of Go's templates as Jinja expressions, as far as they say the same.

Mayu gives its templates a struct; here they see `host`, `network`, `server` and `values`. A value's `kind` is what struct its
fields are looked up in.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_WORD = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|(?P<sign>:=|[(),|])"""
    r"""|(?P<path>\$?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\$(?:\.[A-Za-z_]\w*)+|(?:\.[A-Za-z_]\w*)+|\$|\.))""",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Methods of mappings, which an attribute of that name would be.
_METHODS = frozenset({"get", "items", "keys", "values"})

HOST: Mapping[str, str] = {
    "Serial": "host.serial",
    "Hostname": "host.name",
    "Name": "host.name",
    "InternalAddr": "host.address",
    "Profile": "host.profile",
    "ProviderId": "host.provider_id",
    "Cabinet": "host.cabinet",
    "EtcdClusterToken": "host.etcd_token",
    "MachineID": "values.MachineID",
}
ROOT: Mapping[str, str] = {
    "EtcdDiscoveryUrl": "etcd_discovery_url",
    "MayuHost": "server.address",
    "MayuURL": "server.url",
    "PostBootURL": '(report_url ~ "/boot_complete")',
}
PRIMARY: Mapping[str, str] = {
    "SubnetSize": "network.prefix",
    "SubnetGateway": "network.gateway",
    "DNS": "network.dns",
}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


class Untranslatable(Exception):
    """Says the same in no Jinja expression that is made here."""


@dataclass(frozen=True, slots=True)
class Value:
    """A Jinja expression. `may_miss`: Go makes nothing of it when it is not there, Jinja an error."""

    text: str
    kind: str = "plain"
    may_miss: bool = False

    @property
    def condition(self) -> str:
        """As a test: what is not there is false."""
        return f"{self.text} | default(false)" if self.may_miss else self.text

    @property
    def argument(self) -> str:
        """Within an operator."""
        return self.text if re.fullmatch(r'[\w.\[\]"]+', self.text) else f"({self.text})"


@dataclass(frozen=True, slots=True)
class Scope:
    """What `.` is, and the variables. `port` is mayu's own."""

    dot: Value = Value("", "root")
    variables: Mapping[str, Value] = field(default_factory=dict)
    port: str = "4081"

    def with_dot(self, dot: Value, **variables: Value) -> "Scope":
        """Within a `range`, `with` or `template`."""
        return Scope(dot, {**self.variables, **variables}, self.port)


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
            return _call(text, (*self._operands(), *piped))
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
            found = self._field(found, name)
        if found.kind == "root":
            raise Untranslatable("`.` as a value")
        return found

    def _field(self, of: Value, name: str) -> Value:
        match of.kind, name:
            case "root", "Host":
                return Value("host", "host")
            case "root", "TemplatesEnv":
                return Value("values", "env")
            case "root", "ClusterNetwork":
                return Value("values.ClusterNetwork", "cluster")
            case "root", "Files":
                return Value("", "files")
            case "root", "MayuPort":
                return Value(json.dumps(self._scope.port), "literal")
            case "root", "NoTLS":
                return Value("true", "literal")
            case "host", "Overrides":
                return Value("values", "env")
            case "host", "AdditionalAddrs":
                return Value("host.addresses", "env")
            case "host", "MacAddresses":
                return Value("host.mac", "macs")
            case "cluster", "PrimaryNIC":
                return Value("values.ClusterNetwork.PrimaryNIC", "primary")
            case "cluster", "NTP":
                return Value("network.ntp")
        for kind, names in (("host", HOST), ("root", ROOT), ("primary", PRIMARY)):
            if of.kind == kind and name in names:
                return Value(names[name])
            if of.kind == kind and kind != "primary":
                raise Untranslatable(f"there is nothing here like `.{name}` of {'Host' if kind == 'host' else 'the template'}")
        if of.kind in ("files", "macs", "literal"):
            raise Untranslatable(f"`.{name}` of what has no fields")
        return member(of, name)


def member(of: Value, name: str) -> Value:
    """The member of a mapping that may lack it."""
    is_name = _NAME.fullmatch(name) and name not in _METHODS
    return Value(f"{of.text}.{name}" if is_name else f"{of.text}[{json.dumps(name)}]", "plain", may_miss=True)


def _string(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Untranslatable(f"the string {text} is not read here") from error
    assert isinstance(found, str)
    return found


def _call(name: str, values: tuple[Value, ...]) -> Value:
    if name in _COMPARISONS and len(values) >= 2:
        tests = [f"{values[0].argument} {_COMPARISONS[name]} {other.argument}" for other in values[1:]]
        if any(value.may_miss for value in values):
            tests = [_with_defaults(values[0], _COMPARISONS[name], other) for other in values[1:]]
        return Value(" or ".join(tests) if name == "eq" else tests[0])
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Untranslatable(f"the function `{name}` is not known here")
    return function(values)


def _with_defaults(one: Value, sign: str, other: Value) -> str:
    left, right = (f'({v.text} | default(""))' if v.may_miss else v.argument for v in (one, other))
    return f"{left} {sign} {right}"


def _joined(word: str) -> Callable[[tuple[Value, ...]], Value]:
    def join(values: tuple[Value, ...]) -> Value:
        if len(values) < 2:
            raise Untranslatable(f"`{word}` of fewer than two values")
        return Value(f" {word} ".join(f"({v.condition})" if v.may_miss else v.argument for v in values))

    return join


def _not(values: tuple[Value, ...]) -> Value:
    (value,) = _exactly(values, 1)
    return Value(f"not ({value.condition})")


def _index(values: tuple[Value, ...]) -> Value:
    if len(values) < 2:
        raise Untranslatable("`index` of one value")
    found = values[0]
    for key in values[1:]:
        if found.kind == "files":
            return Value(_literal(key), "file")
        if found.kind == "macs":
            if key.text != "0":
                raise Untranslatable("only the first MAC is known to templates here")
            found = Value("host.mac")
        elif key.kind == "literal" and key.text.startswith('"'):
            found = member(found, _literal(key))
        else:
            found = Value(f"{found.argument}[{key.text}]", may_miss=True)
    return found


def _literal(value: Value) -> str:
    if value.kind != "literal":
        raise Untranslatable("`index .Files` of what is only known when a host asks")
    return str(json.loads(value.text))


def _join(values: tuple[Value, ...]) -> Value:
    items, by = _exactly(values, 2)
    return Value(f"{items.argument} | join({by.text})")


def _length(values: tuple[Value, ...]) -> Value:
    (value,) = _exactly(values, 1)
    return Value(f"{value.argument} | length")


def _print(values: tuple[Value, ...]) -> Value:
    (value,) = _exactly(values, 1)
    return value


def _printf(values: tuple[Value, ...]) -> Value:
    if not values or values[0].kind != "literal":
        raise Untranslatable("`printf` without a literal format")
    pieces = re.split(r"(%[sdv])", str(json.loads(values[0].text)))
    if any("%" in piece for piece in pieces[::2]) or len(pieces) // 2 != len(values) - 1:
        raise Untranslatable(f"`printf {values[0].text}`: only %s, %d and %v are known here")
    arguments = iter(values[1:])
    parts = [json.dumps(piece) if n % 2 == 0 else next(arguments).argument for n, piece in enumerate(pieces) if piece]
    return Value(" ~ ".join(parts) or '""')


def _exactly(values: tuple[Value, ...], count: int) -> tuple[Value, ...]:
    if len(values) != count:
        raise Untranslatable(f"a function with {len(values)} arguments, where {count} are expected")
    return values


_FUNCTIONS: Mapping[str, Callable[[tuple[Value, ...]], Value]] = {
    "index": _index,
    "join": _join,
    "len": _length,
    "not": _not,
    "and": _joined("and"),
    "or": _joined("or"),
    "print": _print,
    "printf": _printf,
}
