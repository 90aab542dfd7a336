"""From bytes to text: what a byte-order mark says, else what the user says, else UTF-8."""

import codecs

from job.errors import ConfigurationError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16's, with which they begin.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte-order marks and the encodings that they stand for."""


def checked(encoding: str | None) -> str | None:
    """The name of an encoding, for which `None` is UTF-8 unless a mark says otherwise.

    Raises:
        ConfigurationError: Python knows none of this name that makes text of bytes.
    """
    if encoding is None:
        return None
    try:
        b"a".decode(encoding)
    except (LookupError, ValueError):
        raise ConfigurationError(
            f"--encoding {encoding}: no such encoding; expected utf-8, latin-1, cp1252 or another that Python knows"
        ) from None
    return encoding


def of_mark(start: bytes, encoding: str | None) -> tuple[str, bytes]:
    """The encoding of content that begins so, and its byte-order mark, which is no part of the text.

    Args:
        start: The first four bytes.
        encoding: What the user says; a mark of the same family still counts.
    """
    for mark, name in MARKS:
        if start.startswith(mark) and (encoding is None or codecs.lookup(encoding).name.startswith(name[:6])):
            return name, mark
    return encoding or "utf-8", b""


def decode(content: bytes, encoding: str | None) -> str:
    """The text of a whole file; raises UnicodeDecodeError where it is something else."""
    name, mark = of_mark(content[:4], encoding)
    return content[len(mark) :].decode(name)


def without_lone_surrogates(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair, which an escape in JSON can leave, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
