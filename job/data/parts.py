"""Which part of the data a row belongs to: what people call training, validation and test data."""

import re

import numpy as np
from numpy.typing import NDArray

from job.errors import DataError

TRAIN, TEST, VALIDATION = 0, 1, 2
UNLABELLED = 3
"""Texts of --unlabelled alone: whatever a column or folder is called, no row of other data comes here."""
LEFT_OUT, UNSAID = -1, -2
"""Rows of no part that is used, such as unlabelled ones; and those of which the source says nothing."""
NAMES = {
    **dict.fromkeys(("train", "training", "trn"), TRAIN),
    **dict.fromkeys(("test", "testing", "tst"), TEST),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), VALIDATION),
    **dict.fromkeys(("unsup", "unsupervised", "unlabeled", "unlabelled"), LEFT_OUT),
}
OF_CORPUS = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "unlabelled": UNLABELLED}
"""The parts of an encoded corpus, by what they are called here."""
COLUMNS = ("split", "part", "fold", "subset", "partition", "dataset_split")
"""Names of columns that say it."""
_IN_A_NAME = re.compile(rf"(?:^|[-_. ])({'|'.join(NAMES)})(?=[-_. \d]|$)", re.IGNORECASE)
_SHOWN = 5


def held_out(positions: NDArray[np.float64], classes: NDArray[np.int8], share: float) -> NDArray[np.bool_]:
    """Which reviews of a part are split off: those below a threshold, so that a text stays on its side when rows are added.

    Of so few that this leaves one of the two parts without a class, the same share of each class's lowest positions, at least
    one, wherever there is one to spare.

    Args:
        positions: <float64>[reviews] from 0 to 1, by a hash; what must stay together has the same one.
        classes: <int8>[reviews].
        share: Of all that is split off.
    """
    below = positions < share
    if holds_both(classes[below]) and holds_both(classes[~below]):
        return below
    lowest = [np.unique(positions[classes == each]) for each in (0, 1)]
    drawn = np.concatenate([each[: max(1, min(len(each) - 1, round(share * len(each))))] for each in lowest])
    by_class = np.isin(positions, drawn)
    return by_class if holds_both(classes[by_class]) and holds_both(classes[~by_class]) else below


def holds_both(classes: NDArray[np.int8]) -> bool:
    """Whether both classes occur."""
    return bool(np.any(classes == 0) and np.any(classes == 1))


def of_name(name: str) -> int | None:
    """The part that a file's or folder's name speaks of, as in `train-00000-of-00002` or `imdb_dev`; None where it names none, or several."""
    found = {NAMES[match.lower()] for match in _IN_A_NAME.findall(name)}
    return found.pop() if len(found) == 1 else None


class PartReader:
    """Collects the values of a column and, when all have been seen, says what they mean.

    Args:
        source: The name of the data, for messages.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._codes: dict[str, int] = {}
        self._shown: list[str] = []

    def add(self, raw: object) -> int:
        """Returns a code for the value of this row: `resolve` says what each code means."""
        text = "" if raw is None else str(raw).strip()
        code = self._codes.get(text.casefold())
        if code is None:
            code = self._codes[text.casefold()] = len(self._codes)
            self._shown.append(text[:40])
        return code

    def resolve(self, column: str, is_asked_for: bool) -> tuple[list[int], str | None]:
        """The part of each code, and what is to be said of the column.

        Args:
            column: The column's name.
            is_asked_for: Whether the user named it: then it must be usable.

        Raises:
            DataError: The column was asked for, and holds something else than parts' names.
        """
        unknown = [text for text, key in zip(self._shown, self._codes, strict=True) if key not in NAMES]
        if not unknown:
            return [NAMES[key] for key in self._codes], None
        shown = ", ".join(map(repr, unknown[:_SHOWN])) + (" and others" if len(unknown) > _SHOWN else "")
        expected = "expected train, validation (or valid, val, dev) and test in every row"
        if is_asked_for:
            raise DataError(f"{self._source}: --split-column {column} holds {shown}; {expected}")
        return [UNSAID] * len(self._codes), f"the column {column!r} is not used to split the data: it holds {shown}; {expected}"
