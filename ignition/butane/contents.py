"""Contents as data URLs, in the form that Butane chooses (base/util/url.go), and the modes that it doubts (base/util/file.go)."""

import base64
import re
import zlib

_ESCAPED = re.compile(rb"[^A-Za-z0-9\-_.!~*'()]")
_ESCAPES = [f"%{byte:02X}".encode() for byte in range(256)]
_SMALLEST_GZIP = 40
"""No gzip stream in base64, with Butane's allowance for the compression field, is shorter."""


def data_url(contents: bytes, *, may_compress: bool = True) -> tuple[str, str]:
    """Return the shortest data URL for `contents`, and its compression: "" or "gzip".

    Percent-encoded text wins over base64, and that over gzip in base64, unless the latter is shorter.
    """
    url = plain_data_url(contents).removeprefix("data:")
    in_base64 = ";base64," + base64.b64encode(contents).decode("ascii")
    if len(in_base64) < len(url):
        url = in_base64
    if may_compress and len(url) > _SMALLEST_GZIP:
        compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: a gzip header, without a time
        zipped = ";base64," + base64.b64encode(compressor.compress(contents) + compressor.flush()).decode("ascii")
        if len(zipped) + len("gzip") < len(url):
            return f"data:{zipped}", "gzip"
    return f"data:{url}", ""


def plain_data_url(contents: bytes) -> str:
    """Return a data URL in percent-encoding, which is all that Butane's first release had."""
    return "data:," + _ESCAPED.sub(lambda found: _ESCAPES[found[0][0]], contents).decode("ascii")


def is_decimal_by_mistake(mode: int, *, is_directory: bool) -> bool:
    """Whether a mode is odd, and its decimal digits read as octal are not."""
    digits = str(mode)
    if not 0 <= mode <= 7777 or not set(digits) <= set("01234567"):
        return False
    return not _is_typical(mode, is_directory) and _is_typical(int(digits, 8), is_directory)


def _is_typical(mode: int, is_directory: bool) -> bool:
    """Whether a mode surprises nobody: no class may do what a closer one may not, and who may write or execute may read."""
    if mode == 0:
        return True
    owner, group, other = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    if group & ~owner or other & ~group or not owner & 4:
        return False
    if any(_is_odd(bits, closer) for bits, closer in ((other, 0), (group, other), (owner, group))):
        return False
    return _has_typical_special_bits(mode, is_directory)


def _is_odd(bits: int, farther: int) -> bool:
    """Whether a class may write or execute what it may not read, or executes what a farther class only reads."""
    return bool(bits & 3 and not bits & 4) or bool(bits & 1 and farther & 4 and not farther & 1)


def _has_typical_special_bits(mode: int, is_directory: bool) -> bool:
    executes, writes = mode & 0o111, mode & 0o222
    if is_directory:
        return bool(executes) and not mode & 0o4000 and not (mode & 0o3000 and not writes)
    return not mode & 0o1000 and not (mode & 0o6000 and (not executes or mode & 0o002))
