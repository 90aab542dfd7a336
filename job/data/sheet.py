"""One table of named columns: what all kinds have in common, and its lines where it is text."""

import codecs
import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from job.data import decoding
from job.errors import DataError
from job.files.reading import explained

if TYPE_CHECKING:
    import pyarrow

KINDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")
"""The endings of tables; those of text may be followed by one of `PACKED`."""
PACKED = (".gz", ".zst")
MAX_TEXT = 16 << 20
"""Characters of a cell at most."""
_BLOCK = 1 << 16

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

    def _lines(self, longest: int | None = None) -> Iterator[str]:
        """The file's lines as text, with their ends, without a byte-order mark.

        Args:
            longest: Lines of more bytes are refused before they fill the memory: in files that may have no line ends at all.
        """
        with _unpacked(self.path) as stream:
            encoding, mark = self._find_encoding(stream)
            if encoding.replace("_", "-").lower().startswith(("utf-16", "utf-32")):
                yield from self._wide_lines(stream, encoding, mark, longest)
                return
            lines = stream if longest is None else iter(lambda: stream.readline(longest + 1), b"")
            for number, line in enumerate(lines, 1):
                if longest is not None and len(line) > longest:
                    self._refuse_line(number, longest)
                if number == 1:
                    line = line.removeprefix(mark)
                if b"\0" in line:
                    raise DataError(
                        f"{self.path}, line {number}: holds a zero byte, so this is no text file, or UTF-16 without a byte-order mark; save it as UTF-8, or name its encoding with --encoding"
                    )
                try:
                    yield line.decode(encoding)
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{self.path}, line {number}: byte 0x{line[error.start]:02x} is not {encoding.upper()}; save the file as UTF-8, or name its encoding (--encoding cp1252 or latin-1 for most old files in Western languages)"
                    ) from None

    def _find_encoding(self, stream: Any) -> tuple[str, bytes]:
        """The encoding, and the byte-order mark that the file begins with."""
        encoding, mark = decoding.of_mark(stream.peek(4)[:4], self._encoding)
        if encoding.startswith(("utf-16", "utf-32")) and mark:
            self._notice(f"{self.path.name} is read as {encoding.upper()}, as its byte-order mark says")
        return encoding, mark

    def _refuse_line(self, number: int, longest: int) -> NoReturn:
        raise DataError(f"{self.path}, line {number}: has more than {longest} bytes; expected one text a line")

    def _wide_lines(self, stream: IO[bytes], encoding: str, mark: bytes, longest: int | None) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(encoding)()
        stream.read(len(mark))
        rest, block, number = "", stream.read(_BLOCK), 1
        while block:
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            yield from (line + "\n" for line in whole)
            number += len(whole)
            if longest is not None and len(rest) > longest:
                self._refuse_line(number, longest)
            block = stream.read(_BLOCK)
        rest += decoder.decode(b"", final=True)
        if rest:
            yield rest


@contextmanager
def _unpacked(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked where its ending says that it is packed."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(path) as stream:
            yield stream
    elif suffix == ".zst":
        import io

        import pyarrow

        with (
            path.open("rb") as file,
            pyarrow.CompressedInputStream(file, "zstd") as packed,
            io.BufferedReader(packed) as stream,
        ):
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream
