"""What a path holds, as labelled rows: a table, a folder of tables, or texts in the layout of aclImdb."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from job.data import parts, sheets
from job.data.folders import FolderReader, TarReader, stay_inside
from job.data.labels import UNLABELLED
from job.data.parts import LEFT_OUT, UNSAID
from job.data.rows import Reader, Row
from job.data.sheet import KINDS, MAX_TEXT, Cells, Sheet, kind
from job.data.sheets import is_fasttext
from job.errors import DataError, MissingInputError
from job.files.reading import explained, is_inside
from job.records.base import without_lone_surrogates
from job.source import Columns, DataSource

TEXT_COLUMNS = ("text", "review", "sentence", "content", "comment", "body")
LABEL_COLUMNS = ("label", "sentiment", "class", "target", "rating", "score", "stars")
FORMATS = f"{', '.join(KINDS[:-1])} (also packed as .gz or .zst), fastText's .txt, an imdb.npz, a folder of such tables (train.csv and test.csv, or Hugging Face's shards), or a folder or .tar.gz in the layout of aclImdb"
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")


def open_reader(path: Path, source: DataSource, is_beside: bool = False) -> Reader:
    """What reads the rows of a path.

    Args:
        is_beside: It is --test-data or --validation-data: what is said of columns is of --data first, and holds here as far
            as there are such columns.

    Raises:
        MissingInputError: No such path, or it may not be read.
        DataError: It holds nothing that is read here.
    """
    with explained(path, f"{FORMATS}, or the names embedded or imdb"):
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        tables = tables_in(path) if is_folder else [(path, UNSAID)]
    is_tar = path.name.lower().endswith((".tar.gz", ".tgz"))
    if tables and not is_tar:
        if not is_folder and kind(path) is None:
            raise DataError(f"{path}: a file of this kind is not read; expected {FORMATS}")
        return TableReader(path, tables, source, is_beside)
    # The text's column may be that of --unlabelled.
    of_others = {"text"} if source.unlabelled else set()
    named = [f"--{name}-column" for name, column in vars(source.columns).items() if column and name not in of_others]
    if named and not is_beside:
        raise DataError(f"{path}: the layout of aclImdb has no columns; leave {' and '.join(named)} out")
    reader = (FolderReader if is_folder else TarReader)(path, source.encoding)
    reader.is_unsup_used = _is_unsup_used(path, source)
    return reader


def _is_unsup_used(path: Path, source: DataSource) -> bool:
    """Whether what lies there without labels is named by --unlabelled."""
    return source.unlabelled is not None and is_inside(Path(source.unlabelled), path)


def tables_in(folder: Path) -> list[tuple[Path, int]]:
    """The tables of a folder, of its `data` or of its only folder, each with its part; none where texts lie there as files.

    Raises:
        MissingInputError: A shard that a name speaks of is not there.
        DataError: Several folders hold tables, or a link leads out of the folder.
    """
    places = [folder, folder / "data"]
    if not any(_tables(place) for place in places):
        places = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [tables for place in places if (tables := _tables(place))]
    if not found:
        return []
    if len(found) > 1:
        names = ", ".join(sorted(str(tables[0][0].parent) for tables in found))
        raise DataError(f"{folder}: several folders in it hold tables ({names}); name one of them")
    for path, _ in found[0]:
        stay_inside(path, folder)
    _miss_no_shard([path for path, _ in found[0]])
    return found[0]


def _tables(folder: Path) -> list[tuple[Path, int]]:
    """The tables that lie in a folder, by name, each with the part that its name speaks of."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        ending = kind(path)
        if ending is not None and not path.name.startswith(".") and path.is_file():
            part = parts.of_name(path.name.lower().partition(ending)[0])
            # Lists of addresses, reviews and the like are .txt, too: a table is fastText's, called by its part.
            if ending != ".txt" or (part is not None and is_fasttext(path)):
                found.append((path, UNSAID if part is None else part))
    return found


def _miss_no_shard(tables: list[Path]) -> None:
    there: dict[str, set[int]] = {}
    for path in tables:
        if match := _SHARD.search(path.name):
            there.setdefault(f"{path.name[: match.start()]} {match[2]}", set()).add(int(match[1]))
    for key, numbers in there.items():
        name, _, count = key.partition(" ")
        lost = sorted(set(range(int(count))) - numbers)
        if lost:
            raise MissingInputError(
                f"{tables[0].parent}: {name}-{lost[0]:05}-of-{count} is missing; expected {int(count)} shards"
            )


class TableReader(Reader):
    """One table, or several that are read one after the other.

    Args:
        path: What the user named.
        tables: Each with the part that its name speaks of.
    """

    def __init__(self, path: Path, tables: list[tuple[Path, int]], source: DataSource, is_beside: bool = False) -> None:
        super().__init__(path)
        self._tables, self._source, self._is_beside = tables, source, is_beside
        self._known = {table for table, _ in tables}
        self.is_split_asked_for = source.columns.split is not None

    def files(self) -> list[Path]:
        return [path for path, _ in self._tables]

    def rows(self) -> Iterator[Row]:
        named = any(part != UNSAID for _, part in self._tables)
        numbers: dict[int, int] = {}
        for path, part in self._tables:
            if part == LEFT_OUT and _is_unsup_used(self.path, self._source):
                continue
            if named and part < 0:
                why = "its name does not say which part it is" if part == UNSAID else "its rows have no labels"
                self.warnings.append(f"passed over in {self.path.name}: {path.name}, as {why}")
                continue
            sheet = self._open(path)
            for row in self._rows_of(sheet, part):
                # Shards of a part are one table.
                numbers[part] = numbers.get(part, 0) + 1
                yield row._replace(number=numbers[part])
            self.notices += sheet.notices
            self.warnings += sheet.warnings
        self.warnings += self._passed_over()

    def _open(self, path: Path) -> Sheet:
        return sheets.open_sheet(path, self._source.encoding, self._source.header)

    def _passed_over(self) -> Iterator[str]:
        """A sentence on what lies in the folder of the tables, and the one that was named, and was not looked into."""
        if not self.path.is_dir():
            return
        places = {self.path, self._tables[0][0].parent}
        others = sorted(path for place in places for path in place.iterdir() if path not in self._known | places)
        if others:
            shown = ", ".join(path.relative_to(self.path).as_posix() for path in others[:5])
            yield f"passed over in {self.path.name}: {len(others)} other files and folders, such as {shown}"

    def _rows_of(self, sheet: Sheet, part: int) -> Iterator[Row]:
        chosen = self._choose(sheet)
        classes = sheet.class_names(chosen["label"]) if "label" in chosen else None
        half_pairs = 0
        for number, cells in sheet.rows(set(chosen.values())):
            values = {use: self._cell(sheet, cells, column, use, number) for use, column in chosen.items()}
            text = values["text"]
            if not isinstance(text, str):
                raise DataError(f"{sheet.path}, row {number}: expected a text, not {type(text).__name__}")
            if len(text) > MAX_TEXT:
                raise DataError(f"{sheet.path}, row {number}: a text of {len(text)} characters; at most {MAX_TEXT} are read")
            whole = without_lone_surrogates(text)
            half_pairs += whole != text
            label = values.get("label")
            if isinstance(label, (list, dict)):
                raise DataError(
                    f"{sheet.path}, row {number}: the label is a {type(label).__name__}; expected a word or a number"
                )
            if classes is not None and isinstance(label, int):
                label = classes[label] if 0 <= label < len(classes) else UNLABELLED
            group, own = values.get("group"), values.get("id")
            yield Row(
                text=whole,
                label=label,
                number=number,
                part=part,
                split=values.get("split"),
                group=None if group is None else without_lone_surrogates(str(group)),
                id=None if own is None else without_lone_surrogates(str(own)),
            )
        if half_pairs:
            self.warnings.append(
                f"{half_pairs} texts of {sheet.path.name} hold half of a surrogate pair, which is no character; it is read as U+FFFD"
            )

    def _cell(self, sheet: Sheet, cells: Cells, column: str, use: str, number: int) -> Any:
        if column not in cells:
            if use in ("text", "label"):
                raise DataError(f"{sheet.path}, row {number}: has no {column!r}")
            return None
        return cells[column]

    def _choose(self, sheet: Sheet) -> dict[str, str]:
        """The columns that are read, by use: `text`, mostly `label`, and others."""
        asked: Columns = self._source.columns
        chosen = {
            "text": self._find(sheet, asked.text, TEXT_COLUMNS, "text"),
            "label": self._find(sheet, asked.label, LABEL_COLUMNS, "label"),
        }
        for use in ("split", "group", "id"):
            column = getattr(asked, use)
            if column is not None and (column in sheet.columns or not self._is_beside):
                chosen[use] = self._find(sheet, column, (), use)
        if asked.split is None:
            found = [column for column in known_columns(sheet.columns, parts.COLUMNS) if column not in chosen.values()]
            if found:
                chosen["split"] = found[0]
        self.columns = chosen
        return chosen

    def _find(self, sheet: Sheet, asked: str | None, known: tuple[str, ...], use: str) -> str:
        column, notice = find_column(sheet, asked, known, use)
        self.notices += [notice] if notice else []
        return column


def find_column(sheet: Sheet, asked: str | None, known: tuple[str, ...], use: str) -> tuple[str, str | None]:
    """The column for a use, and what is to be said of the choice.

    Args:
        asked: What the user named.
        known: What such columns are called, the likeliest first.

    Raises:
        MissingInputError: No column is called so.
    """
    shown = ", ".join(repr(str(column)[:40]) for column in sheet.columns[:20])
    if asked is not None:
        if asked not in sheet.columns:
            raise MissingInputError(f"{sheet.path}: no column {asked!r} (--{use}-column); it has {shown}")
        return asked, None
    found = known_columns(sheet.columns, known)
    if not found:
        has_header = kind(sheet.path) in (".csv", ".tsv") and sheet.header
        more = ", and --no-header if the first line is a row" if has_header else ""
        hint = "; is the separator something other than a comma or a tab?" if has_header and len(sheet.columns) == 1 else ""
        raise MissingInputError(
            f"{sheet.path}: which column is the {use}? None is called {', '.join(known)}; it has {shown}; name one with --{use}-column{more}{hint}"
        )
    if len(found) == 1:
        return found[0], None
    others = " and ".join(repr(column) for column in found[1:])
    notice = f"the column {found[0]!r} is taken for the {use}, though {others} could be, too; --{use}-column names another"
    return found[0], notice


def known_columns(columns: list[str], known: tuple[str, ...]) -> list[str]:
    """The columns that are called so, whatever their case, in the order of the names."""
    lowered = {column.strip().lower(): column for column in reversed(columns)}
    return [lowered[name] for name in known if name in lowered]
