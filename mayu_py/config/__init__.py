"""mayu's config file: read, decode, check. All problems are reported at once, each with file, line and a way out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ignition.document import DocumentError, Problem, decode, load
from mayu_py.config import admin, hosts, names, networks, nics, services, templates
from mayu_py.config.specimens import rehearse
from mayu_py.core.causes import Source
from mayu_py.core.inventory import configured
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Settings
from mayu_py.errors import ConfigError

RULES = (*networks.RULES, *nics.RULES, *services.RULES, *admin.RULES, *hosts.RULES, *names.RULES)


@dataclass(frozen=True)
class Config:
    """A config: the settings, the renderer holding every profile's template, and the texts that both were read from.

    `sources` are the templates by their profiles' names. The files may say something else by now.
    """

    settings: Settings
    renderer: Renderer
    text: str = field(default="", repr=False)
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False)


def _of(settings: Settings, text: str, sources: Mapping[str, Source]) -> Config:
    """Raises DocumentError for arguments of images that are no templates."""
    renderer = Renderer(settings, {name: source.template for name, source in sources.items()})
    return Config(settings, renderer, text, sources)


def read(path: Path) -> Config:
    """Read and check a config file. Raises ConfigError with every problem found."""
    config, problems = check(path)
    errors = [problem for problem in problems if problem.is_error]
    if config is None or errors:
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise ConfigError("\n".join((*(problem.located for problem in problems), f"{path}: {count}")))
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
        config = _of(settings, text, dict(templates.read(settings.profiles, problems)))
        if not any(problem.is_error for problem in problems):
            problems += _rendering(settings, config.renderer)
            problems += rehearse(settings, config.renderer)
    except DocumentError as error:
        problems += error.problems
    # Sorting by place lets the reader walk through the file once; a set drops what two hosts share.
    return config, sorted(set(problems), key=lambda problem: (problem.mark, problem.message))


def reread(path: Path, text: str, texts: Mapping[str, str]) -> Config:
    """A config that another mayu has read from `path` and checked; `texts` are its templates by their profiles' names.

    It is not checked again: what it names is on the other machine. Raises DocumentError for what this mayu cannot read, KeyError
    for a profile without a template.
    """
    settings = _anchored(decode(load(text, str(path)), Settings).unwrap(), path.parent)
    return _of(settings, text, dict(templates.of_texts(settings.profiles, texts)))


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
