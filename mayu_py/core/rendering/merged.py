"""Files that mayu adds to a rendered config: the parent that Ignition's own rules merge the config into."""

from collections.abc import Sequence
from urllib.parse import quote

from ignition import model, rules
from ignition.document import DocumentError
from ignition.merging import merge_in_spec
from ignition.specs import OLDEST
from mayu_py.core.rendering.files import File


def beneath(config: bytes, files: Sequence[File], host: str) -> bytes:
    """The config with these files. What it says of the same path itself wins, be it a file, a directory or a link.

    Raises DocumentError when they cannot stand together.
    """
    if not files:
        return config
    merged = model.encode(merge_in_spec(_parent(files), config))
    report = rules.validate(merged, f"the config of {host} with its network files")
    if report.is_fatal:
        raise DocumentError(report.problems)
    return merged


def _parent(files: Sequence[File]) -> model.Config:
    return model.Config(
        ignition=model.Ignition(version=OLDEST.version),
        storage=model.Storage(
            files=tuple(
                model.File(
                    path=file.path,
                    mode=file.mode,
                    # An image may have a file of that name already.
                    overwrite=True,
                    contents=model.Resource(source=f"data:,{quote(file.text)}"),
                )
                for file in files
            )
        ),
    )
