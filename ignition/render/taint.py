"""What is made of a secret is secret.

A `Secret` stays one through filters, operators, methods and indexes, so that its upper case or its second half is hidden as well.
Numbers and booleans made of one are not: a template that asks for the length of a password, or whether there is one, may say so.
"""

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

from jinja2.exceptions import TemplateRuntimeError
from jinja2.runtime import Undefined

from ignition.secrets import SHORTEST, Secret

seen: ContextVar[list[str] | None] = ContextVar("seen", default=None)
"""The secrets that got into what is being rendered, when somebody asks."""


def reveal(text: str) -> str:
    """Return a text as a plain string to be put into a document, noting it if it is secret."""
    if not isinstance(text, Secret):
        return text
    plain = text.reveal()
    if 0 < len(plain.strip()) < SHORTEST:
        raise TemplateRuntimeError(f"a part of a secret with fewer than {SHORTEST} characters cannot be kept secret")
    if (noted := seen.get()) is not None and plain.strip():
        noted.append(plain)
    return plain


def marked(value: Any) -> Secret:
    """Mark a text as secret: the filter `secret`."""
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is undefined
    if not isinstance(value, str):
        raise TemplateRuntimeError("only text can be secret")
    return value if isinstance(value, Secret) else Secret(value)


def holds_secret(value: Any) -> bool:
    """Whether a value is secret or a collection has a secret in it."""
    if isinstance(value, Mapping):
        return any(holds_secret(key) or holds_secret(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(map(holds_secret, value))
    return isinstance(value, Secret)


def as_secret(value: Any) -> Any:
    """Return texts, and the texts in lists, as secrets; anything else as it is."""
    if isinstance(value, str):
        return Secret.derived(value)
    if isinstance(value, list | tuple):
        return [as_secret(item) for item in value]
    return value


def tainting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter that takes values and makes text: the text is secret when one of the values is."""

    @wraps(function)
    def filtered(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Iterator):
            # What `map` and its like make can be looked at only once.
            value = list(value)
        result = function(value, *args, **kwargs)
        return as_secret(result) if holds_secret([value, *args, *kwargs.values()]) else result

    return cast("Callable[..., Any]", filtered)


def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter that makes a number: a secret that became one could not be told from others."""

    @wraps(function)
    def filtered(value: Any, *args: Any, **kwargs: Any) -> Any:
        if holds_secret([value, *args, *kwargs.values()]):
            raise TemplateRuntimeError("a secret stays text")
        return function(value, *args, **kwargs)

    return cast("Callable[..., Any]", filtered)
