"""Readers of labelled texts: tables (.csv, .tsv, .jsonl, .parquet) and the layout of aclImdb, as a folder or .tar.gz.

Each yields `Row`s in the order of the source, one at a time, so that memory does not grow with the data.
"""

import csv
import gzip
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from job.errors import DataError, InputOutputError, MissingInputError

TEXT_COLUMNS = ("text", "review", "sentence", "content", "comment", "body")
LABEL_COLUMNS = ("label", "sentiment", "class", "target", "rating", "score", "stars")
_MAX_TEXT = 16 << 20
_TRAILING_CHUNKS = 64
_FORMATS = ".csv, .tsv, .jsonl, .parquet, an imdb.npz, or a folder or .tar.gz in the layout of aclImdb"
# aclImdb/train/pos/0_9.txt, with or without the first folder.
_ACLIMDB = re.compile(r"(?:^|/)(train|test)/(pos|neg)/([^/]+)\.txt$")


class Row(NamedTuple):
    """One labelled text. `part` is `train`, `test`, or None where the source has no parts of its own."""

    text: str
    label: object
    number: int
    part: str | None


def open_rows(path: Path, text_column: str | None, label_column: str | None) -> Iterator[Row]:
    """Yields the rows of a file or folder.

    Raises:
        MissingInputError: No such path or column.
        DataError: The content is not of the format that the name says.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: no such file or folder; expected {_FORMATS}, or the names embedded or imdb")
    name = path.name.lower()
    readers: dict[str, Callable[[Path, str | None, str | None], Iterator[Row]]] = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if path.is_dir() or name.endswith((".tar.gz", ".tgz")):
        if text_column or label_column:
            raise DataError(f"{path}: the layout of aclImdb has no columns; leave --text-column and --label-column out")
        return _read_folder(path) if path.is_dir() else _read_tar(path)
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: a file of this kind is not read; expected {_FORMATS}")
    return _guard(path, reader(path, text_column, label_column))


def _guard(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Checks what all tables have in common: a text of bounded size in every row."""
    try:
        for row in rows:
            if not isinstance(row.text, str):
                raise DataError(f"{path}, row {row.number}: expected a text, not {type(row.text).__name__}")
            if len(row.text) > _MAX_TEXT:
                raise DataError(f"{path}, row {row.number}: a text of {len(row.text)} characters; at most {_MAX_TEXT} are read")
            yield row
    except PermissionError:
        raise MissingInputError(f"{path}: may not be read by this user") from None
    except IsADirectoryError:
        raise MissingInputError(f"{path}: is a folder") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: holds a text that is not UTF-8 ({error.reason})") from None
    except OSError as error:
        # Libraries report damaged content as a plain OSError without a number.
        if error.errno is None:
            raise DataError(f"{path}: cannot be read, its content is damaged ({' '.join(str(error).split())[:200]})") from None
        raise InputOutputError(f"{path}: reading failed ({error.strerror})") from None


def _choose(path: Path, columns: list[str], asked: str | None, known: tuple[str, ...], what: str) -> str:
    option = f"--{what}-column"
    shown = ", ".join(repr(str(column)[:40]) for column in columns[:20])
    if asked is not None:
        if asked not in columns:
            raise MissingInputError(f"{path}: no column {asked!r} ({option}); it has {shown}")
        return asked
    lowered = {str(column).strip().lower(): column for column in reversed(columns)}
    for name in known:
        if name in lowered:
            return lowered[name]
    raise MissingInputError(
        f"{path}: which column is the {what}? None is called {', '.join(known)}; it has {shown}; name one with {option}"
    )


def _decoded_lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    """Lines of UTF-8 text, without a byte-order mark."""
    for number, line in enumerate(stream, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise DataError(f"{path}: is UTF-16; expected UTF-8")
        if b"\0" in line:
            raise DataError(
                f"{path}, line {number}: holds a zero byte, so this is not a text file (or it is UTF-16); expected UTF-8"
            )
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8; save the file as UTF-8"
            ) from None


def _read_csv(path: Path, text_column: str | None, label_column: str | None) -> Iterator[Row]:
    csv.field_size_limit(_MAX_TEXT)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    number = 0
    with path.open("rb") as stream:
        rows = csv.reader(_decoded_lines(path, stream), delimiter=delimiter, strict=True)
        try:
            header = next(rows, None)
            if not header:
                raise DataError(f"{path}: is empty; expected a header line and rows")
            text = header.index(_choose(path, header, text_column, TEXT_COLUMNS, "text"))
            label = header.index(_choose(path, header, label_column, LABEL_COLUMNS, "label"))
            for number, cells in enumerate((cells for cells in rows if cells), 1):
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, row {number}: {len(cells)} cells where the header has {len(header)}; quote texts that hold the separator"
                    )
                yield Row(cells[text].replace("\r\n", "\n"), cells[label], number, None)
        except csv.Error as error:
            raise DataError(f"{path}, after row {number}: not valid {path.suffix[1:]} ({error})") from None
    if number == 0:
        raise DataError(f"{path}: has a header but no rows")


def _read_jsonl(path: Path, text_column: str | None, label_column: str | None) -> Iterator[Row]:
    number = 0
    text = label = ""
    with path.open("rb") as stream:
        for number, line in enumerate((line for line in _decoded_lines(path, stream) if line.strip()), 1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, row {number}: not JSON ({error}); expected one object a line") from None
            if not isinstance(value, dict):
                raise DataError(f"{path}, row {number}: expected a JSON object, not {type(value).__name__}")
            if number == 1:
                text = _choose(path, list(value), text_column, TEXT_COLUMNS, "text")
                label = _choose(path, list(value), label_column, LABEL_COLUMNS, "label")
            for column in (text, label):
                if column not in value:
                    raise DataError(f"{path}, row {number}: has no {column!r}")
            if isinstance(value[label], (list, dict)):
                raise DataError(
                    f"{path}, row {number}: the label is a {type(value[label]).__name__}; expected a word or a number"
                )
            yield Row(value[text], value[label], number, None)
    if number == 0:
        raise DataError(f"{path}: is empty; expected one JSON object a line")


def _read_parquet(path: Path, text_column: str | None, label_column: str | None) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            text = _choose(path, names, text_column, TEXT_COLUMNS, "text")
            label = _choose(path, names, label_column, LABEL_COLUMNS, "label")
            for batch in file.iter_batches(batch_size=1024, columns=[text, label]):
                columns: list[list[Any]] = [batch.column(name).to_pylist() for name in (text, label)]
                for content, value in zip(*columns, strict=True):
                    number += 1
                    yield Row(content, value, number, None)
    except pyarrow.ArrowException as error:
        raise DataError(
            f"{path}, after row {number}: not a readable Parquet file ({' '.join(str(error).split())[:200]})"
        ) from None
    if number == 0:
        raise DataError(f"{path}: has no rows")


def _row_of_file(path: Path, name: str, content: bytes, number: int) -> Row | None:
    match = _ACLIMDB.search(name)
    if match is None:
        return None
    if len(content) > _MAX_TEXT:
        raise DataError(f"{path}: {name} is larger than {_MAX_TEXT} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {name} is not UTF-8 (byte {error.start})") from None
    return Row(text, match[2], number, match[1])


def _read_folder(path: Path) -> Iterator[Row]:
    number = 0
    root = path if (path / "train").is_dir() else path / "aclImdb"
    for part in ("train", "test"):
        for label in ("neg", "pos"):
            folder = root / part / label
            for file in sorted(folder.glob("*.txt")) if folder.is_dir() else []:
                number += 1
                if file.is_symlink():
                    raise DataError(f"{file}: is a symbolic link; links in a data folder are not followed")
                try:
                    row = _row_of_file(path, f"{part}/{label}/{file.name}", file.read_bytes(), number)
                except OSError as error:
                    raise InputOutputError(f"{file}: reading failed ({error.strerror or error})") from None
                if row is not None:
                    yield row
    if number == 0:
        raise DataError(
            f"{path}: not in the layout of aclImdb; expected train/pos/*.txt and train/neg/*.txt (and test/ likewise)"
        )


def _read_tar(path: Path) -> Iterator[Row]:
    number = 0
    try:
        # Read as a stream and never unpacked, so no member's name or link can reach outside.
        with gzip.open(path) as stream_of_tar, tarfile.open(fileobj=stream_of_tar, mode="r|") as archive:
            for member in archive:
                if not member.isfile() or not _ACLIMDB.search(member.name):
                    continue
                if member.size > _MAX_TEXT:
                    raise DataError(f"{path}: {member.name} is larger than {_MAX_TEXT} bytes")
                stream = archive.extractfile(member)
                content = stream.read() if stream else b""
                if len(content) != member.size:
                    raise EOFError("it ends in the middle of a file")
                number += 1
                row = _row_of_file(path, member.name, content, number)
                if row is not None:
                    yield row
            # tarfile stops at the archive's end mark; only gzip's own end, after it, shows that the file is whole.
            for _ in range(_TRAILING_CHUNKS):
                if not stream_of_tar.read(1 << 20):
                    break
            else:
                raise EOFError("it goes on after the archive's end")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: not a whole .tar.gz ({error or 'it is cut off'}), {number} reviews could be read; fetch it again"
        ) from None
    except OSError as error:
        # gzip reports a bad header or checksum as a plain OSError without a number.
        if error.errno is None:
            raise DataError(f"{path}: not a whole .tar.gz ({error}); fetch it again") from None
        raise InputOutputError(f"{path}: reading failed ({error.strerror})") from None
    if number == 0:
        raise DataError(
            f"{path}: no reviews in the layout of aclImdb; expected train/pos/*.txt and train/neg/*.txt (and test/ likewise)"
        )
