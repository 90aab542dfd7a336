"""What the values of a label column mean: names of two classes, ratings, or what the user says.

Only the whole column distinguishes a 1 that means positive from the lowest of ten ratings, so values are collected row by
row and judged at the end. A class of None leaves the rows out: the middle of a scale, and what the user did not name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from job.errors import ConfigurationError, DataError, MissingInputError

NEGATIVE, POSITIVE = 0, 1
_NAMES: dict[str, int | None] = {
    **dict.fromkeys(("neg", "negative", "false", "no", "bad"), NEGATIVE),
    **dict.fromkeys(("pos", "positive", "true", "yes", "good"), POSITIVE),
    **dict.fromkeys(("neutral", "neu", "mixed"), None),
}
_PAIRS = ((-1.0, 1.0), (0.0, 4.0), (1.0, 2.0))
# What is at most the first number is negative, what is at least the second one positive, on a scale from … to ….
_SCALES: dict[tuple[float, float], tuple[float, float]] = {
    (-1, 1): (-0.5, 0.5),
    (0, 2): (0, 2),
    (0, 4): (1, 3),
    (1, 5): (2, 4),
    (1, 10): (4, 7),
}
UNLABELLED = object()
"""Stands for a label where the source itself says that there is none."""
_SHARES = (0.4, 0.6)
# No text that is read holds it.
_NO_LABEL = "\0"
_SHOWN = 20
# More than any scale has, and than a person writes names for.
_MOST = 10_000
FORMS = "0/1, -1/1, neg/pos, negative/positive, false/true, or ratings on a scale 1-5, 1-10, 0-4 or 0-1"
OPTIONS = "say which labels are which with --positive LABEL and --negative LABEL (either may be repeated), or name another column with --label-column"


@dataclass(frozen=True, kw_only=True)
class LabelMeaning:
    """One value of the column."""

    label: str
    """As it first stood there, without blanks around it."""
    meaning: int | None
    """0 for negative, 1 for positive; None where its rows are left out."""
    rows: int


class LabelReader:
    """Collects labels and, when all have been seen, says what they mean.

    Args:
        source: The name of the data, for messages.
        positive, negative: What the user named; rows of other labels are left out.
    """

    def __init__(self, source: str, positive: tuple[str, ...] = (), negative: tuple[str, ...] = ()) -> None:
        self._source = source
        self._asked = tuple({_normal(each): each for each in side} for side in (negative, positive))
        self._codes: dict[str, int] = {}
        self._shown: list[str] = []
        self._rows: list[int] = []
        self._first: list[int] = []

    def add(self, raw: object, row: int) -> int:
        """Returns a code for the label of this row: `resolve` says what each code means.

        Raises:
            DataError: The label is empty, or there are too many different ones.
        """
        key = _NO_LABEL if raw is UNLABELLED else "" if raw is None else _normal(raw)
        code = self._codes.get(key)
        if code is None:
            if key in ("", "nan", "none", "null") and not any(key in side for side in self._asked):
                raise DataError(f"{self._source}, row {row}: the label is empty; expected {FORMS}")
            if len(self._codes) == _MOST:
                raise DataError(
                    f"{self._source}: more than {_MOST} different labels, such as {self._shown[0]!r} and {self._shown[1]!r}; is this the column of the label? Name another one with --label-column"
                )
            code = self._codes[key] = len(self._codes)
            self._shown.append("no label" if raw is UNLABELLED else str(raw).strip()[:80])
            self._rows.append(0)
            self._first.append(row)
        self._rows[code] += 1
        return code

    def resolve(self, needs_both: bool = True) -> tuple[list[LabelMeaning], str]:
        """What each code means, and by which rule, in words.

        Args:
            needs_both: Whether one class alone is an error.

        Raises:
            DataError: Labels of no known form, of two forms, or of one class alone.
            MissingInputError: The user named a label that no row has.
            ConfigurationError: What the user named does not say which labels are which.
        """
        classes, rule = self._by_the_user() if any(self._asked) else self._by_form()
        meanings = [
            LabelMeaning(label=label, meaning=classes[key], rows=rows)
            for key, label, rows in zip(self._codes, self._shown, self._rows, strict=True)
        ]
        if needs_both and len({each.meaning for each in meanings} - {None}) < 2:
            raise DataError(
                f"{self._source}: only one class is there (labels: {self.show() or 'none'}; {rule}); both negative and positive texts are needed"
            )
        return meanings, rule

    def show(self) -> str:
        """The labels with their rows, the most frequent ones first."""
        order = sorted(range(len(self._shown)), key=lambda code: (-self._rows[code], code))
        shown = [f"{self._shown[code]!r} ({self._rows[code]} rows)" for code in order[:_SHOWN]]
        return ", ".join(shown) + (f" and {len(order) - _SHOWN} more" if len(order) > _SHOWN else "")

    def _by_the_user(self) -> tuple[dict[str, int | None], str]:
        negative, positive = self._asked
        for option, side in (("--negative", negative), ("--positive", positive)):
            for key, given in side.items():
                if key not in self._codes:
                    raise MissingInputError(
                        f"{self._source}: {option} {given}: no row has this label; the labels are {self.show()}"
                    )
        both = negative.keys() & positive.keys()
        if both:
            raise ConfigurationError(
                f"{self._source}: {negative[min(both)]!r} is named by --negative and --positive; leave one out"
            )
        classes: dict[str, int | None] = dict.fromkeys(self._codes)
        classes |= dict.fromkeys(negative, NEGATIVE) | dict.fromkeys(positive, POSITIVE)
        if not (negative and positive):
            others = self._codes.keys() - negative.keys() - positive.keys() - {_NO_LABEL}
            if len(others) != 1:
                missing = "--positive" if negative else "--negative"
                raise ConfigurationError(
                    f"{self._source}: name the labels of the other class, too, with {missing}; the labels are {self.show()}"
                )
            # Of two labels, the one that was not named is the other class.
            classes[others.pop()] = NEGATIVE if positive else POSITIVE
        return classes, "as named"

    def _by_form(self) -> tuple[dict[str, int | None], str]:
        keys = [key for key in self._codes if key != _NO_LABEL]
        classes, rule = self._judge_all(keys)
        return {**classes, **dict.fromkeys(self._codes.keys() - set(keys))}, rule

    def _judge_all(self, keys: list[str]) -> tuple[dict[str, int | None], str]:
        numbers = {key: number for key in keys if (number := _number(key)) is not None}
        names = {key: _NAMES[key] for key in keys if key in _NAMES}
        unknown = [key for key in keys if key not in numbers and key not in _NAMES]
        if unknown:
            row = self._first[self._codes[unknown[0]]]
            raise DataError(
                f"{self._source}, row {row}: label {self._shown[self._codes[unknown[0]]]!r} is in no known form; the labels are {self.show()}; expected {FORMS}; or {OPTIONS}"
            )
        if numbers and names and set(numbers.values()) <= {0.0, 1.0}:
            # True and 1 of a table that several programs wrote.
            return {**names, **{key: int(number) for key, number in numbers.items()}}, "by name, 0 and 1"
        if numbers and names:
            raise DataError(f"{self._source}: labels of two forms; the labels are {self.show()}; {OPTIONS}")
        if names or not numbers:
            return names, "by name"
        found = _judge(set(numbers.values()))
        if found is None:
            raise DataError(
                f"{self._source}: numbers on no known scale; the labels are {self.show()}; expected {FORMS}; or {OPTIONS}"
            )
        judge, rule = found
        return {key: judge(number) for key, number in numbers.items()}, rule


def _normal(raw: object) -> str:
    """A label without what does not matter: blanks, case, a zero after the point, fastText's prefix."""
    text = str(raw).strip().casefold().removeprefix("__label__")
    number = _number(text)
    return f"{number:g}" if number is not None and number.is_integer() and abs(number) < 1e6 else text


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _judge(values: set[float]) -> tuple[Callable[[float], int | None], str] | None:
    """The class of each number on the scale that these values are on, and the scale's name; None where it is on none."""
    low, high = min(values), max(values)
    if values <= {0.0, 1.0}:
        return int, "0 and 1"
    for pair in _PAIRS:
        if values <= set(pair):
            return _split_at(*pair), f"{pair[0]:g} and {pair[1]:g}"
    if all(number.is_integer() for number in values) or low >= 1:
        for (first, last), bounds in _SCALES.items():
            if first <= low and high <= last and (low < 1 or first == 1):
                return _split_at(*bounds), f"ratings from {first:g} to {last:g}"
        return None
    if low >= 0 and high <= 1:
        return _split_at(*_SHARES), "shares from 0 to 1"
    return None


def _split_at(negative: float, positive: float) -> Callable[[float], int | None]:
    return lambda number: NEGATIVE if number <= negative else POSITIVE if number >= positive else None
