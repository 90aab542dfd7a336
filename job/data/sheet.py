"""One table of named columns: what all kinds have in common, and its lines where it is text."""

import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from job.data import decoding
from job.data.packed import unpacked
from job.errors import DataError
from job.files.reading import explained

if TYPE_CHECKING:
    import pyarrow

KINDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")
"""The endings of tables; those of text may be followed by one of `PACKED`."""
PACKED = (".gz", ".zst")
MAX_TEXT = 16 << 20
"""Characters of a cell at most."""
MAX_LINE = 5 * MAX_TEXT
"""Bytes of a line at most: a label, and as many characters as are read, in any encoding."""
BLOCK = 1 << 16
"""Characters that are read of a text at a time."""

Cells = dict[str, Any]
"""A row's values by column: texts in .csv, .tsv and .txt, JSON values in .jsonl and .json, Python values in .parquet."""


def kind(path: Path) -> str | None:
    """The ending of a table's name, without that of its packing; None where it is no table's."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in KINDS else None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what can go wrong while a file of data is read into the errors of the contract.

    Raises:
        DataError: Its content is damaged.
        MissingInputError, InputOutputError: As in `files.reading.explained`.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: holds a text that is not {error.encoding} ({error.reason})") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: is cut off or damaged ({error}); fetch it again") from None
    except OSError as error:
        # Libraries report damaged content as a plain OSError without a number.
        if error.errno is None:
            raise DataError(f"{path}: cannot be read, its content is damaged ({one_line(error)})") from None
        with explained(path, "a file that this user may read"):
            raise


def one_line(error: object) -> str:
    """An error's text in a line of bounded length."""
    return " ".join(str(error).split())[:200]


class Sheet(ABC):
    """A table that can be read row by row, as often as one likes.

    Args:
        path, encoding, header: As `open_sheet` takes them.
    """

    columns: list[str]
    """In order. Rows of JSON may have more than the first one's, which these are, or fewer."""

    def __init__(self, path: Path, encoding: str | None, header: bool) -> None:
        self.path, self._encoding, self.header = path, encoding, header
        self.notices: list[str] = []
        """What was decided in reading, a sentence each; complete once all rows have been read, as are the warnings."""
        self.warnings: list[str] = []
        """What may be misread, a sentence each."""
        self.columns = self._columns()
        if not self.columns:
            raise DataError(f"{path}: is empty; expected rows of named columns")

    @abstractmethod
    def _columns(self) -> list[str]: ...

    @abstractmethod
    def _rows(self, columns: Collection[str] | None) -> Iterator[tuple[int, Cells]]: ...

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Cells]]:
        """Yields each row's number, from 1, and its values.

        Args:
            columns: Those that are needed; by default all.

        Raises:
            DataError: A row is not as the format demands, or there is none.
            MissingInputError, InputOutputError: The file cannot be read any more.
        """
        number = 0
        with reading(self.path):
            for number, cells in self._rows(columns):
                yield number, cells
        if not number:
            raise DataError(f"{self.path}: has columns but no rows")

    @property
    def schema(self) -> "pyarrow.Schema | None":
        """The columns' types, of a .parquet file alone."""
        return None

    def class_names(self, column: str) -> list[str] | None:
        """What the numbers of a column stand for, where the file says so itself."""
        return None

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _lines(self) -> Iterator[str]:
        """The file's lines as text, with their ends, without a byte-order mark.

        Raises:
            DataError: A line is no text of this encoding, or longer than `MAX_LINE`: of files that have no line ends at all.
        """
        with unpacked(self.path) as stream:
            encoding, mark = self._find_encoding(stream)
            if _is_wide(encoding):
                stream.read(len(mark))
                yield from self._decoded_lines(stream, encoding, "\n")
                return
            if self._has_bare_returns(stream.peek(BLOCK)):
                stream.read(len(mark))
                yield from self._decoded_lines(stream, encoding, "\r")
                return
            for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
                self._check_length(number, len(line))
                if number == 1:
                    line = line.removeprefix(mark)
                if b"\0" in line:
                    raise DataError(
                        f"{self.path}, line {number}: holds a zero byte, so this is no text file, or UTF-16 without a byte-order mark; save it as UTF-8, or name its encoding with --encoding"
                    )
                try:
                    yield line.decode(encoding)
                except UnicodeDecodeError as error:
                    raise self._not_of(encoding, f", line {number}: byte 0x{line[error.start]:02x}") from None

    def _blocks(self) -> Iterator[str]:
        """The file's text in pieces of bounded length, wherever its lines end, without a byte-order mark."""
        with unpacked(self.path) as stream:
            encoding, mark = self._find_encoding(stream)
            stream.read(len(mark))
            with io.TextIOWrapper(stream, encoding, newline="\n") as text:
                try:
                    while block := text.read(BLOCK):
                        yield block
                except UnicodeDecodeError as error:
                    raise self._not_of(encoding, f": byte 0x{error.object[error.start]:02x}") from None

    def _find_encoding(self, stream: io.BufferedReader) -> tuple[str, bytes]:
        """The encoding, and the byte-order mark that the file begins with."""
        encoding, mark = decoding.of_mark(stream.peek(4)[:4], self._encoding)
        if encoding.startswith(("utf-16", "utf-32")) and mark:
            self._notice(f"{self.path.name} is read as {encoding.upper()}, as its byte-order mark says")
        return encoding, mark

    def _has_bare_returns(self, start: bytes) -> bool:
        """Whether lines end with a carriage return alone, as old Macs and some exports of tables end them."""
        found = b"\n" not in start and b"\r" in start[:-1]
        if found:
            self._notice(f"the lines of {self.path.name} end with a carriage return alone")
        return found

    def _decoded_lines(self, stream: io.BufferedReader, encoding: str, end: str) -> Iterator[str]:
        with io.TextIOWrapper(stream, encoding, newline=end) as text:
            for number, line in enumerate(iter(lambda: text.readline(MAX_LINE + 1), ""), 1):
                self._check_length(number, len(line))
                yield line if end == "\n" else line.removesuffix(end) + "\n"

    def _check_length(self, number: int, length: int) -> None:
        if length > MAX_LINE:
            raise DataError(f"{self.path}, line {number}: has more than {MAX_LINE} bytes; expected one row or text a line")

    def _about_header(self) -> str:
        """What else may be unusual of a table that is not in UTF-8."""
        return ""

    def _not_of(self, encoding: str, where: str) -> DataError:
        return DataError(
            f"{self.path}{where} is not {encoding.upper()}; save the file as UTF-8, or name its encoding (--encoding cp1252 or latin-1 for most old files in Western languages){self._about_header()}"
        )


def _is_wide(encoding: str) -> bool:
    """Whether a newline is more than one byte."""
    return encoding.replace("_", "-").lower().startswith(("utf-16", "utf-32"))
