"""The templates of profiles: read and compiled. A config of spec 2 is brought to spec 3, and what that changes is a warning."""

from collections.abc import Iterator, Mapping

from ignition.document import DocumentError, MapNode, Node, Problem, ScalarNode, load
from ignition.errors import Severity
from ignition.legacy import migrate
from ignition.model import encode
from ignition.render import Template
from mayu_py.core.causes import Source
from mayu_py.core.settings import Profile

# Read by Ignition 2.11 and newer; what older ones can read of it is found out when they ask.
MIGRATED_TO = "3.3.0"


def read(profiles: tuple[Profile, ...], problems: list[Problem]) -> Iterator[tuple[str, Source]]:
    """Each profile's name and template. What is wrong, and what a migration changed, is added to `problems`."""
    for profile in profiles:
        try:
            yield profile.name, _source(profile, profile.ignition.read_text("utf-8"), problems)
        except OSError as error:
            problems.append(profile.origin.error(f"{profile.ignition} cannot be read: {error.strerror}", "ignition"))
        except UnicodeDecodeError:
            problems.append(profile.origin.error(f"{profile.ignition} is not UTF-8 text", "ignition"))
        except DocumentError as error:
            problems += error.problems


def of_texts(profiles: tuple[Profile, ...], texts: Mapping[str, str]) -> Iterator[tuple[str, Source]]:
    """The same of texts that were read elsewhere. Raises KeyError for a profile without one, and DocumentError."""
    for profile in profiles:
        yield profile.name, _source(profile, texts[profile.name], [])


def _source(profile: Profile, text: str, problems: list[Problem]) -> Source:
    return Source(profile.ignition, text, _template(text, str(profile.ignition), problems))


def _template(text: str, file: str, problems: list[Problem]) -> Template:
    if not _version(load(text, file)).startswith("2."):
        return Template.parse(text, file)
    migration = migrate(text, MIGRATED_TO, file)
    for change in migration.changes:
        became = f" {change.became}" if change.became else ""
        why = f"{change.was}, {change.fate}{became}: {change.reason}"
        problems.append(Problem(Severity.WARNING, change.mark, change.path, why))
    problems += (problem for problem in migration.problems if not problem.is_error)
    # Its text is another than that of the file, so lines are not those of the file either.
    return Template.parse(encode(migration.unwrap()), f"{file} (migrated)")


def _version(root: Node) -> str:
    """`ignition.version`, or nothing."""
    ignition = root.by_key.get("ignition") if isinstance(root, MapNode) else None
    version = ignition.by_key.get("version") if isinstance(ignition, MapNode) else None
    return version.text if isinstance(version, ScalarNode) else ""
