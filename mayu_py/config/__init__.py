"""mayu's config file: read, decode, check. All problems are reported at once, each with file, line and a way out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ignition.document import DocumentError, Problem, decode, load
from mayu_py.config import admin, hosts, names, networks, nics, services
from mayu_py.config.specimens import rehearse
from mayu_py.config.templates import templates
from mayu_py.core.inventory import configured
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Settings
from mayu_py.errors import ConfigError

RULES = (*networks.RULES, *nics.RULES, *services.RULES, *admin.RULES, *hosts.RULES, *names.RULES)


@dataclass(frozen=True)
class Config:
    """A checked config: the settings, and the renderer holding every profile's template."""

    settings: Settings
    renderer: Renderer


def read(path: Path) -> Config:
    """Read and check a config file. Raises ConfigError with every problem found."""
    config, problems = check(path)
    errors = [problem for problem in problems if problem.is_error]
    if config is None or errors:
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise ConfigError("\n".join((*(problem.located for problem in problems), f"{path}: {count}; nothing was started")))
    return config


def check(path: Path) -> tuple[Config | None, list[Problem]]:
    """Read a config file and find everything that is wrong with it. The config is None when it cannot be decoded."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path} cannot be read: {why}", hint="name the config file with --config") from error
    try:
        decoded = decode(load(text, str(path)), Settings)
    except DocumentError as error:
        return None, list(error.problems)
    problems = list(decoded.problems)
    if decoded.value is None:
        return None, problems
    settings = _anchored(decoded.value, path.absolute().parent)
    for rule in RULES:
        problems += rule(settings)
    config = None
    try:
        renderer = Renderer(settings, dict(templates(settings.profiles, problems)))
        config = Config(settings, renderer)
        if not any(problem.is_error for problem in problems):
            problems += _rendering(settings, renderer)
            problems += rehearse(settings, renderer)
    except DocumentError as error:
        problems += error.problems
    # Sorting by place lets the reader walk through the file once; a set drops what two hosts share.
    return config, sorted(set(problems), key=lambda problem: (problem.mark, problem.message))


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Paths mean the config file's own folder, not the one mayu was started in; decoded ones already do."""
    return replace(settings, state=folder / settings.state)


def _rendering(settings: Settings, renderer: Renderer) -> Iterator[Problem]:
    """Every host's config must render and be valid now, or it would fail on the machine."""
    for host, entry in zip(configured(settings), settings.hosts, strict=True):
        try:
            renderer.config(host)
            renderer.arguments(host)
        except DocumentError as error:
            for problem in error.problems:
                yield replace(problem, message=f"for host {host.name} ({entry.origin.mark}): {problem.message}")
