"""Label selectors, as `metav1.LabelSelector`: all requirements must hold; one without requirements matches everything."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Labels = Mapping[str, str]


class Operator(StrEnum):
    """How a requirement compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True)
class Requirement:
    """One requirement. `values` is empty for the two operators that ask for existence only."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Labels) -> bool:
        """A label that is missing is in no set, and so satisfies NotIn."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True)
class Selector:
    """Requirements of which all must hold."""

    requirements: frozenset[Requirement] = frozenset()

    @classmethod
    def read(cls, selector: Mapping[str, Any]) -> "Selector":
        """From the API's form. Raises ValueError for an operator that is none, KeyError for what lacks a field."""
        equal = (Requirement(key, Operator.IN, frozenset([value])) for key, value in (selector.get("matchLabels") or {}).items())
        compared = (
            Requirement(each["key"], Operator(each["operator"]), frozenset(each.get("values") or ()))
            for each in selector.get("matchExpressions") or ()
        )
        return cls(frozenset([*equal, *compared]))

    def matches(self, labels: Labels) -> bool:
        """Whether something with these labels is selected."""
        return all(requirement.holds(labels) for requirement in self.requirements)
