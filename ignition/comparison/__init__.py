"""What differs between two configs, as machines would notice it.

Configs are compared by their normal forms: objects by kind and name, each with its properties. Equal are

    data URLs           with equal contents, percent-encoded, in base64 or gzip; `source: ""` is an empty one
    defaults            a flag that is absent and one that says what its absence says (see `defaults.DEFAULTS`)
    empty things        an empty list or object and none; a unit or drop-in without contents and one with empty contents
    spec versions       apart from the version itself: the same settings in another spec are one change, of the version
    special bits        of a mode before spec 3.6, and their absence: Ignition does not set them there

An absent mode, `enabled` or `mask` is not equal to any value: it leaves alone what the machine has. Hashes are compared as they
are written, and a config inside a config (`ignition.config.merge` of a data URL) byte by byte.

Order has no meaning, but for these:

    kernel arguments, configs to merge          later ones win
    partitions without a number, of one disk    they are numbered and placed as they come
    users without uid, groups without gid       they are numbered as they come
    appended resources, raid devices, options of mkfs, mount, mdadm and cryptsetup

Nothing secret is shown: what `ignition.secrets` calls secret by the schema, and the secrets given. Such a value that differs is
a change without its values.
"""

from ignition.comparison.difference import Difference, diff
from ignition.comparison.normal import Kind, NormalForm, Subject, normal_form
from ignition.comparison.values import Action, Binary, Change, Hidden, PropertyChange, Shown, Text

__all__ = [
    "Action",
    "Binary",
    "Change",
    "Difference",
    "Hidden",
    "Kind",
    "NormalForm",
    "PropertyChange",
    "Shown",
    "Subject",
    "Text",
    "diff",
    "normal_form",
]
