"""One labelled text, as every reader yields it, and what a reader is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from job.data.parts import UNSAID


class Row(NamedTuple):
    """One labelled text."""

    text: str
    label: object
    number: int
    """Its place in its file or folder, from 1."""
    part: int = UNSAID
    """As the name of its file or folder says: a number of job/data/parts.py."""
    split: object = None
    """What stands in the column that says the part, where there is one."""
    group: str | None = None
    """Rows of one group stay together."""
    id: str | None = None
    """What the user knows it by."""


class Reader(ABC):
    """Labelled rows of one path. Every row or file that lies there is yielded, or named in `warnings`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        """What was decided in reading, a sentence each; complete once all rows have been read, as are the warnings."""
        self.warnings: list[str] = []
        """What may be misread or was passed over, a sentence each."""
        self.columns: dict[str, str] = {}
        """Of tables: which column was taken, by what for: `text`, `label`, `split`, `group`, `id`."""
        self.is_split_asked_for = False
        """Whether the user named the column that says the part."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Yields the rows in the order of the source, one at a time, so that memory does not grow with the data.

        Raises:
            MissingInputError: Something is not there, or may not be read.
            DataError: The content is not of the format that its name says.
            InputOutputError: Reading failed.
        """

    @abstractmethod
    def files(self) -> list[Path]:
        """The files whose content determines the rows."""
