"""Dataclasses from mappings, and unions of dataclasses told apart by one field."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ignition.document.nodes import Kind, MapNode, Node, Origin, ScalarNode, join
from ignition.document.outcome import INVALID, Decoder, Problems, nearest, report, wrong

Compile = Callable[[Any], Decoder]


def record(type_: type, compile_: Compile) -> Decoder:
    """Return the decoder of a dataclass. Fields are looked at when first used, so a dataclass may contain itself."""
    return _Record(type_, compile_).decode


def tagged_union(members: tuple[Any, ...], compile_: Compile) -> Decoder:
    """Return the decoder of dataclasses told apart by their one Literal field of the same key."""
    tag, by_choice = _discriminator(members)
    decoders = {choice: compile_(member) for choice, member in by_choice.items()}
    listed = ", ".join(decoders)

    def decode_union(node: Node, path: str, problems: Problems) -> Any:
        if not isinstance(node, MapNode):
            return wrong(node, path, problems, f"expected a mapping with {tag!r}, found {node.describe()}")
        choice = node.by_key.get(tag)
        if choice is None:
            return wrong(node, path, problems, f"{tag!r} is missing; it is one of: {listed}", _misspelt(tag, node))
        if not isinstance(choice, ScalarNode) or choice.kind is Kind.NULL:
            return wrong(choice, join(path, tag), problems, f"expected one of: {listed}; found {choice.describe()}")
        if choice.text not in decoders:
            hint = nearest(choice.text, decoders)
            return wrong(choice, join(path, tag), problems, f"{choice.text!r} is none of: {listed}", hint)
        return decoders[choice.text](node, path, problems)

    return decode_union


def _misspelt(tag: str, node: MapNode) -> str:
    close = difflib.get_close_matches(tag, node.by_key, n=1)
    return f"did you mean {tag!r} by {close[0]!r}?" if close else ""


def _discriminator(members: tuple[Any, ...]) -> tuple[str, Mapping[str, type]]:
    """Return the key that tells the members apart, and the member for each of its choices."""
    tags: list[dict[str, tuple[str, ...]]] = []
    for member in members:
        if not (isinstance(member, type) and dataclasses.is_dataclass(member)):
            raise TypeError(f"a union in a document is of dataclasses or with None, not of {member!r}")
        hints = get_type_hints(member)
        literals = ((_key(field), hints[field.name]) for field in dataclasses.fields(member))
        tags.append({key: tuple(map(str, get_args(hint))) for key, hint in literals if get_origin(hint) is Literal})
    for key in tags[0]:
        if all(key in tag for tag in tags):
            choices = [(choice, member) for member, tag in zip(members, tags, strict=True) for choice in tag[key]]
            if len(dict(choices)) == len(choices):
                return key, dict(choices)
    raise TypeError(f"no Literal field tells apart {', '.join(member.__name__ for member in members)}")


def _key(field: "dataclasses.Field[Any]") -> str:
    return str(field.metadata.get("key", field.name))


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    decode: Decoder
    is_mandatory: bool


class _Record:
    """The decoder of one dataclass."""

    def __init__(self, type_: type, compile_: Compile) -> None:
        self.type = type_
        self.compile = compile_

    @cached_property
    def plan(self) -> tuple[Mapping[str, _Field], tuple[str, ...]]:
        """The fields by key, and the names of those that take an Origin."""
        hints = get_type_hints(self.type)
        fields: dict[str, _Field] = {}
        origins: list[str] = []
        for field in dataclasses.fields(self.type):
            if hints[field.name] is Origin:
                origins.append(field.name)
            elif field.init:
                is_mandatory = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
                fields[_key(field)] = _Field(field.name, self.compile(hints[field.name]), is_mandatory)
        return fields, tuple(origins)

    def decode(self, node: Node, path: str, problems: Problems) -> Any:
        if not isinstance(node, MapNode):
            return wrong(node, path, problems, f"expected a mapping, found {node.describe()}")
        fields, origins = self.plan
        present = node.by_key if node.by_key.keys() <= fields.keys() else self.known(node, path, problems)
        values: dict[str, Any] = {}
        is_complete = True
        for key, field in fields.items():
            child = present.get(key)
            if child is not None:
                value = field.decode(child, join(path, key), problems)
                if value is not INVALID:
                    values[field.name] = value
                    continue
            elif field.is_mandatory:
                report(node.mark, path, problems, f"{key!r} is missing")
            is_complete = is_complete and not field.is_mandatory
        if not is_complete:
            return INVALID
        values.update(dict.fromkeys(origins, Origin(node.mark, present, path)) if origins else ())
        return self.build(values, node, path, problems)

    def build(self, values: dict[str, Any], node: Node, path: str, problems: Problems) -> Any:
        """Construct the dataclass, whose own checks may still refuse the values."""
        try:
            return self.type(**values)
        except ValueError as error:
            return wrong(node, path, problems, str(error))

    def known(self, node: MapNode, path: str, problems: Problems) -> Mapping[str, Node]:
        """Report the unknown keys, and return the values by known key.

        A misspelt key counts as the absent one it resembles, so that one mistake is one problem.
        """
        fields, _ = self.plan
        present = {key: value for key, value in node.by_key.items() if key in fields}
        for key, value in node.entries:
            if key.text in fields:
                continue
            close = difflib.get_close_matches(key.text[:100], fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(fields)}"
            report(key.mark, join(path, key.text[:100]), problems, "unknown key", hint)
            if close:
                present.setdefault(close[0], value)
        return present
