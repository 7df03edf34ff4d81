"""Ignition configs as values: read, checked, merged, translated, migrated, compared, rendered, and applied to a directory.

The names below are imported when they are first used, so that `import ignition` costs next to nothing. Everything but
`apply` and `Folder` is pure: bytes and values in, values out.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ignition.butane import Converted, convert
    from ignition.comparison import Difference, diff
    from ignition.errors import DocumentError, Entry, Mark, Problem, Severity
    from ignition.folder import Folder
    from ignition.legacy import Migration, migrate
    from ignition.merging import merge
    from ignition.model import Config, encode
    from ignition.render import Rendered, Template
    from ignition.rules import Parsed, Report, parse, validate
    from ignition.secrets import Secrets, redact_config
    from ignition.specs import LossyTranslation, Negotiated, UnknownSpec, negotiate, translate
    from ignition.stages import Applied, ApplyError, EngineFailed, EngineMissing, apply

_HOMES = {
    "butane": ("Converted", "convert"),
    "comparison": ("Difference", "diff"),
    "errors": ("DocumentError", "Entry", "Mark", "Problem", "Severity"),
    "folder": ("Folder",),
    "legacy": ("Migration", "migrate"),
    "merging": ("merge",),
    "model": ("Config", "encode"),
    "render": ("Rendered", "Template"),
    "rules": ("Parsed", "Report", "parse", "validate"),
    "secrets": ("Secrets", "redact_config"),
    "specs": ("LossyTranslation", "Negotiated", "UnknownSpec", "negotiate", "translate"),
    "stages": ("Applied", "ApplyError", "EngineFailed", "EngineMissing", "apply"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Applied",
    "ApplyError",
    "Config",
    "Converted",
    "Difference",
    "DocumentError",
    "EngineFailed",
    "EngineMissing",
    "Entry",
    "Folder",
    "LossyTranslation",
    "Mark",
    "Migration",
    "Negotiated",
    "Parsed",
    "Problem",
    "Rendered",
    "Report",
    "Secrets",
    "Severity",
    "Template",
    "UnknownSpec",
    "apply",
    "convert",
    "diff",
    "encode",
    "merge",
    "migrate",
    "negotiate",
    "parse",
    "redact_config",
    "translate",
    "validate",
]


if not TYPE_CHECKING:  # A type checker shall not take every name for a public one.

    def __getattr__(name: str) -> Any:
        """Import a public name at its first use (PEP 562)."""
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
