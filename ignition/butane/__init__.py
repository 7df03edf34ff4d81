"""Butane documents to Ignition configs, as Butane 0.29.0 translates them: fcos 1.0.0 to 1.7.0, flatcar 1.0.0 and 1.1.0.

`translate` works on a located document, `convert` on text and gives what the tool prints. Nothing here reads a file: what a
document embeds comes from a `Files`, such as `ignition.folder.Folder`.
"""

from ignition.butane.contents import data_url
from ignition.butane.conversion import Converted, convert
from ignition.butane.files import FileKind, Files, LocalFileError, TreeEntry
from ignition.butane.translation import Translation, translate

__all__ = [
    "Converted",
    "FileKind",
    "Files",
    "LocalFileError",
    "Translation",
    "TreeEntry",
    "convert",
    "data_url",
    "translate",
]
