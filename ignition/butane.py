"""Butane to Ignition: fcos 1.4.0 and flatcar 1.0.0, both to spec 3.3.0.

What Butane adds to Ignition is turned into Ignition's own terms before the config is read. How this differs from
Butane 0.29:

    here                                                Butane
    an unknown key is an error                          a warning, an error with --strict
    local, trees, with_mount_unit, boot_device: errors  supported (they read files, or generate units and partitions)
    gzip data is zlib's                                 Go's: same contents, other bytes; the choice between plain,
                                                        base64 and gzip may differ when their lengths nearly agree
    a value of the wrong type has its path              only its line
"""

import base64
import re
import zlib
from dataclasses import dataclass

from ignition import model, validate
from ignition.document import Kind, MapNode, Mark, Node, ScalarNode
from ignition.errors import Problem
from ignition.model import Findings, Path
from ignition.validate import UNSUPPORTED_VERSION

SPEC = "3.3.0"
_MINOR = 3
_VARIANTS = {"fcos": "1.4.0", "flatcar": "1.0.0"}
_UNSUPPORTED = {"boot_device": "partition tables of the boot disk are not generated here"}
_ESCAPED = re.compile(rb"[^A-Za-z0-9\-_.!~*'()]")
_ESCAPES = [f"%{byte:02X}".encode() for byte in range(256)]
_SMALLEST_GZIP = 40
"""No gzip stream in base64, with Butane's allowance for the compression field, is shorter."""


@dataclass(frozen=True)
class Translation:
    """A translated config, None when the document cannot be translated, and every problem found."""

    config: model.Config | None
    problems: tuple[Problem, ...]


def translate(document: Node) -> Translation:
    """Translate a Butane document and check the result; errors and warnings are located in the document."""
    findings = Findings(is_json=False)
    variant = _variant(document, findings)
    if variant is None or not isinstance(document, MapNode):
        return Translation(None, tuple(findings.problems))
    config = model.read(document, model.Config, _DIALECTS[variant], findings, _MINOR)
    config = config.in_version(SPEC)
    if findings.has_errors:
        return Translation(None, tuple(findings.problems))
    broken = validate.check(config, document, _MINOR, is_json=False)
    problems = (*findings.problems, *broken)
    return Translation(None if any(problem.is_error for problem in problems) else config, problems)


def _variant(document: Node, findings: Findings) -> str | None:
    """Return the document's variant when this module knows it in the version given."""
    listed = ", ".join(f"{variant} {version}" for variant, version in _VARIANTS.items())
    if not isinstance(document, MapNode):
        findings.error(document.mark, (), f"expected a mapping, found {document.describe()}")
        return None
    variant, version = (_text(document.by_key.get(key)) for key in ("variant", "version"))
    if not variant:
        findings.error(document.mark, (), "error parsing variant; must be specified", f"supported are: {listed}")
    elif _VARIANTS.get(variant) != version:
        mark = document.by_key["version" if version and variant in _VARIANTS else "variant"].mark
        findings.error(mark, (), f"no translator for {variant} {version or 'without version'}", f"supported are: {listed}")
    else:
        return variant
    return None


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, ScalarNode) and node.kind is not Kind.NULL else None


def _prepare_config(node: MapNode, path: Path, findings: Findings) -> MapNode:
    for key, _ in node.entries:
        if reason := _UNSUPPORTED.get(key.text):
            findings.error(key.mark, (*path, key.text), f"{key.text} is not supported", reason)
    return _without(node, "variant", "version", *_UNSUPPORTED)


def _prepare_ignition(node: MapNode, path: Path, findings: Findings) -> MapNode:
    for key, _ in node.entries:
        if key.text == "version":
            findings.error(key.mark, (*path, "version"), "unknown key 'version'", "Butane chooses the spec version")
    return _without(node, "version")


def _prepare_storage(node: MapNode, path: Path, findings: Findings) -> MapNode:
    if (trees := node.by_key.get("trees")) is not None and not _is_null(trees):
        findings.error(trees.mark, (*path, "trees"), "trees is not supported", "list the files")
    return _without(node, "trees")


def _prepare_filesystem(node: MapNode, path: Path, findings: Findings) -> MapNode:
    wanted = node.by_key.get("with_mount_unit")
    if isinstance(wanted, ScalarNode) and wanted.as_bool() is True:
        hint = "write the mount unit under systemd.units"
        findings.error(wanted.mark, (*path, "with_mount_unit"), "with_mount_unit is not supported", hint)
    return _without(node, "with_mount_unit")


def _prepare_flatcar_luks(node: MapNode, path: Path, findings: Findings) -> MapNode:
    if (clevis := node.by_key.get("clevis")) is not None and not _is_null(clevis):
        findings.error(clevis.mark, (*path, "clevis"), "clevis is not supported in this spec version")
    return node


def _prepare_file(node: MapNode, path: Path, findings: Findings) -> MapNode:
    _warn_of_decimal_mode(node, path, findings, is_directory=False)
    return node


def _prepare_directory(node: MapNode, path: Path, findings: Findings) -> MapNode:
    _warn_of_decimal_mode(node, path, findings, is_directory=True)
    return node


def _prepare_resource(node: MapNode, path: Path, findings: Findings) -> MapNode:
    """Turn inline contents into a data URL."""
    inline, local = node.by_key.get("inline"), node.by_key.get("local")
    if inline is None and local is None:
        return node
    given = [key for key in ("local", "inline", "source") if not _is_null(node.by_key.get(key))]
    if len(given) > 1:
        mark = node.by_key[given[-1]].mark
        findings.error(mark, (*path, given[-1]), "only one of the following can be set: inline, local, source")
    elif local is not None and not _is_null(local):
        findings.error(local.mark, (*path, "local"), "local is not supported", "use inline or source")
    rest = _without(node, "inline", "local")
    if len(given) != 1 or inline is None or _is_null(inline):
        return rest
    if not isinstance(inline, ScalarNode):
        findings.error(inline.mark, (*path, "inline"), f"expected a string, found {inline.describe()}")
        return rest
    return _with_data_url(rest, inline)


def _prepare_config_reference(node: MapNode, path: Path, findings: Findings) -> MapNode:
    """Turn an inline config into a data URL, if Ignition would accept it."""
    inline = node.by_key.get("inline")
    if isinstance(inline, ScalarNode) and not _is_null(inline):
        for problem in validate.validate(inline.text.encode()).problems:
            if problem.message == UNSUPPORTED_VERSION:
                # Whoever fetches it may be newer than this library.
                findings.warning(inline.mark, (*path, "inline"), f"not validated: {problem.message}")
            elif problem.is_error:
                message = f"config is not valid: {problem.path + ': ' if problem.path else ''}{problem.message}"
                findings.error(inline.mark, (*path, "inline"), message)
    return _prepare_resource(node, path, findings)


def _with_data_url(node: MapNode, inline: ScalarNode) -> MapNode:
    is_compressed = bool(_text(node.by_key.get("compression")))
    url, compression = data_url(inline.text.encode(), may_compress=not is_compressed)
    added = [("source", url)] if is_compressed else [("source", url), ("compression", compression)]
    kept = node if is_compressed else _without(node, "compression")
    entries = ((_scalar(key, inline.mark), _scalar(value, inline.mark)) for key, value in added)
    return MapNode((*kept.entries, *entries), node.mark)


def data_url(contents: bytes, *, may_compress: bool = True) -> tuple[str, str]:
    """Return the shortest data URL for `contents`, and its compression: "" or "gzip" (butane, base/util/url.go).

    Percent-encoded text wins over base64, and that over gzip in base64, unless the latter is shorter.
    """
    url = "," + _ESCAPED.sub(lambda found: _ESCAPES[found[0][0]], contents).decode("ascii")
    in_base64 = ";base64," + base64.b64encode(contents).decode("ascii")
    if len(in_base64) < len(url):
        url = in_base64
    if may_compress and len(url) > _SMALLEST_GZIP:
        compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: a gzip header, without a time
        zipped = ";base64," + base64.b64encode(compressor.compress(contents) + compressor.flush()).decode("ascii")
        if len(zipped) + len("gzip") < len(url):
            return f"data:{zipped}", "gzip"
    return f"data:{url}", ""


def _warn_of_decimal_mode(node: MapNode, path: Path, findings: Findings, *, is_directory: bool) -> None:
    mode = node.by_key.get("mode")
    if not isinstance(mode, ScalarNode) or mode.kind is not Kind.INT:
        return
    value = int(mode.value() or 0)
    digits = str(value)
    if set(digits) <= set("01234567") and not _is_typical(value, is_directory) and _is_typical(int(digits, 8), is_directory):
        message = "unreasonable mode would be reasonable if specified in octal; remember to add a leading zero"
        findings.warning(mode.mark, (*path, "mode"), message)


def _is_typical(mode: int, is_directory: bool) -> bool:
    """Whether a mode surprises nobody: no class may do what a closer one may not, and who may write or execute may read."""
    if mode == 0:
        return True
    if not 0 < mode <= 0o777:
        return False
    owner, group, other = mode >> 6, mode >> 3 & 7, mode & 7
    if group & ~owner or other & ~group:
        return False
    needed = 5 if is_directory else 4
    return all(bits == 0 or bits & needed == needed for bits in (owner, group, other))


def _is_null(node: Node | None) -> bool:
    return node is None or (isinstance(node, ScalarNode) and node.kind is Kind.NULL)


def _without(node: MapNode, *keys: str) -> MapNode:
    if not any(key in node.by_key for key in keys):
        return node
    return MapNode(tuple(entry for entry in node.entries if entry[0].text not in keys), node.mark)


def _scalar(text: str, mark: Mark) -> ScalarNode:
    return ScalarNode(text, Kind.STR, mark, '"')


_FCOS = model.Dialect(
    is_json=False,
    prepare={
        model.CaReference: _prepare_resource,
        model.Config: _prepare_config,
        model.ConfigReference: _prepare_config_reference,
        model.Directory: _prepare_directory,
        model.File: _prepare_file,
        model.Filesystem: _prepare_filesystem,
        model.Ignition: _prepare_ignition,
        model.Resource: _prepare_resource,
        model.Storage: _prepare_storage,
    },
)
_FLATCAR = model.Dialect(is_json=False, prepare={**_FCOS.prepare, model.Luks: _prepare_flatcar_luks})
_DIALECTS = {"fcos": _FCOS, "flatcar": _FLATCAR}
