"""Reviews with their words numbered, as every source yields them, and what a source is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from job.data.labels import LabelMeaning
from job.data.markup import without_html
from job.data.parts import UNSAID

MAIN, TEST_DATA, VALIDATION_DATA, UNLABELLED_DATA = range(4)
"""Which of the user's paths a row is from: --data, --test-data, --validation-data or --unlabelled."""
NO_LABEL = -1
"""Instead of a label's code, of texts that have none."""


class Numbered(NamedTuple):
    """One review with its words numbered as they came; what the numbers and codes mean is known at the end."""

    numbers: list[int] | NDArray[np.int64]
    """Of each word, from 0."""
    label: int
    """A code for what stands in the source; `NO_LABEL` where nothing does."""
    hash: int
    """Of the text's words."""
    row: int
    """Its place in its file or folder, from 1."""
    part: int = UNSAID
    """As the name of its file or folder says: a number of job/data/parts.py."""
    split: int = -1
    """A code for what stands in the column that says the part; -1 where there is none."""
    origin: int = MAIN
    group: int | None = None
    """A hash of what must stay together with it; None where it stands alone."""
    id: str | None = None
    """What the user knows it by."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the codes of all reviews mean, and what is to be said of the reading."""

    labels: list[LabelMeaning]
    """By label code."""
    rule: str
    """By which the labels were read, in words."""
    parts: list[int]
    """By split code: a number of job/data/parts.py."""
    columns: dict[str, str] = field(default_factory=dict)
    """Of a table, which column was taken, by what for."""
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Source(ABC):
    """Reviews to be encoded. It is read once.

    Args:
        name: The name of the corpus.
        files: Those whose content, with the settings, determines the reviews.
    """

    def __init__(self, name: str, files: list[Path]) -> None:
        self.name, self.files = name, files

    shown: str
    """The source's name in errors."""
    is_generated = False
    """Whether the package made it itself, so that nothing can be wrong with it."""
    takes_out_html = False
    """Whether tags and entities are no part of its texts."""

    @abstractmethod
    def reviews(self) -> Iterator[Numbered]:
        """Yields the reviews in the order of the source, one at a time.

        Raises:
            DataError, MissingInputError: The source cannot be read.
        """

    def texts(self) -> Iterator[tuple[int, str]]:
        """Each labelled review's row and its text as it stands in the source; none where it holds numbers of words alone.

        A reading of its own: a source is asked for this or for its `reviews`.

        Raises:
            DataError, MissingInputError: The source cannot be read.
        """
        return iter(())

    @abstractmethod
    def resolve(self, needs_both: bool) -> Meaning:
        """What the codes of all reviews mean, asked for when they have been read.

        Args:
            needs_both: Whether labels of one class alone are an error.

        Raises:
            DataError: The labels are of no known form, or all the same.
        """

    def plain(self, text: str) -> str:
        """What is read of a text."""
        return without_html(text) if self.takes_out_html else text

    @abstractmethod
    def number(self, text: str) -> tuple[list[int], int]:
        """The numbers of a further text's words, and the hash that it would have as a review here.

        Asked for when the reviews have been read. No new word is numbered, so that memory does not grow with such texts: words
        that are in no review are all given the number after the last one, which stands for the unknown word.
        """

    @abstractmethod
    def vocabulary(self, counts: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
        """The words by rank, and the token id of each word number, <int64>[numbers + 1]; the last one is the unknown word's.

        Args:
            counts: <int64>[numbers], how often each word number occurs in the reviews that the vocabulary is made of.
        """
