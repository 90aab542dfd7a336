"""What labels mean: the forms that people use, the scales of ratings, and what the user says."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.data.labels import UNLABELLED, LabelReader
from job.errors import ConfigurationError, DataError, JobError, MissingInputError


def read(*values: object, **options: Any) -> list[int | None]:
    reader = LabelReader("file.csv", **options)
    codes = [reader.add(value, row) for row, value in enumerate(values, 1)]
    meanings, _ = reader.resolve()
    assert sum(each.rows for each in meanings) == len(values)
    return [meanings[code].meaning for code in codes]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("0", "1", "1"), [0, 1, 1]),
        ((0, 1, 0), [0, 1, 0]),
        ((0.0, 1.0), [0, 1]),
        (("1.0", "0", " 1 "), [1, 0, 1]),
        (("neg", "pos"), [0, 1]),
        (("Positive", " NEGATIVE "), [1, 0]),
        ((True, False), [1, 0]),
        (("false", "TRUE"), [0, 1]),
        (("True", "1.0", "False", 0), [1, 1, 0, 0]),
        (("neg", "positive", "neutral"), [0, 1, None]),
        (("-1", "1"), [0, 1]),
        ((-1, 0, 1), [0, None, 1]),
        (("0", "4"), [0, 1]),
        (("0", "2", "4"), [0, None, 1]),
        (("0", "1", "2"), [0, None, 1]),
        (("0", "1", "2", "3", "4"), [0, 0, None, 1, 1]),
        (("__label__1", "__label__2"), [0, 1]),
        (("1", "2", "3", "4", "5"), [0, 0, None, 1, 1]),
        (("1", "4.5", "2.5", "5"), [0, 1, None, 1]),
        (("1", "10", "4", "7"), [0, 1, 0, 1]),
        (("1", "5", "6", "10"), [0, None, None, 1]),
        (("0.1", "0.4", "0.5", "0.6", "1"), [0, 0, None, 1, 1]),
        (("pos", UNLABELLED, "neg"), [1, None, 0]),
        ((1, UNLABELLED, 0), [1, None, 0]),
    ],
)
def test_known_forms_are_read(values: tuple[object, ...], expected: list[int | None]) -> None:
    assert read(*values) == expected


def test_what_the_user_names_counts_and_other_rows_are_left_out() -> None:
    values = ("Ham", "spam", "eggs", "HAM ", "1.0")
    assert read(*values, positive=("ham", "1"), negative=("SPAM",)) == [1, 0, None, 1, 1]


def test_of_two_labels_the_one_that_is_not_named_is_the_other_class() -> None:
    assert read("ham", "spam", "ham", negative=("ham",)) == [0, 1, 0]
    assert read(1, 0, positive=("0",)) == [0, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ("pos", "meh", "meh"),
            r"row 2: label 'meh' is in no known form; the labels are 'meh' \(2 rows\), 'pos' \(1 rows\);.*--positive LABEL",
        ),
        (("0", "5", "10"), r"numbers on no known scale; the labels are '0' \(1 rows\), '5' \(1 rows\), '10' \(1 rows\)"),
        (("11", "1"), "numbers on no known scale"),
        (("pos", "pos"), r"only one class is there \(labels: 'pos' \(2 rows\); by name\)"),
        (("8", "9"), "only one class is there.*ratings from 1 to 10"),
        (("5", "6"), "only one class"),
        (("pos", "2"), "labels of two forms"),
        (("pos", ""), "row 2: the label is empty"),
        (("pos", None), "row 2: the label is empty"),
        (("pos", float("nan")), "row 2: the label is empty"),
        (("1e999", "1"), "label '1e999' is in no known form"),
    ],
)
def test_other_labels_are_refused_with_all_that_there_are(values: tuple[object, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(*values)


def test_no_more_than_twenty_labels_are_listed() -> None:
    with pytest.raises(DataError, match=r"'l19' \(1 rows\) and 5 more; expected"):
        read(*(f"l{number}" for number in range(25)))


def test_a_column_of_texts_is_no_column_of_labels() -> None:
    with pytest.raises(DataError, match=r"more than 10000 different labels.*--label-column"):
        read(*(f"text {number}" for number in range(10_001)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"positive": ("egg",)}, MissingInputError, "--positive egg: no row has this label; the labels are 'ham'"),
        ({"positive": ("ham",)}, ConfigurationError, "name the labels of the other class, too, with --negative"),
        ({"negative": ("ham",)}, ConfigurationError, "with --positive"),
        (
            {"positive": ("ham",), "negative": ("Ham", "spam")},
            ConfigurationError,
            "'Ham' is named by --negative and --positive",
        ),
    ],
)
def test_names_that_settle_nothing_are_refused(options: dict[str, Any], error: type[JobError], message: str) -> None:
    with pytest.raises(error, match=message):
        read("ham", "spam", "toast", **options)


def test_what_usually_is_no_label_may_be_named_as_one() -> None:
    assert read("none", "some", negative=("none",)) == [0, 1]
    assert read("none", UNLABELLED, "some", negative=("none",)) == [0, None, 1]


@given(st.lists(st.sampled_from([1, 2, 3, 4, 5]), min_size=1))
def test_a_higher_rating_is_never_the_lower_class(values: list[int]) -> None:
    found = dict(zip([1, 5, *values], read(1, 5, *values), strict=True))
    order = [found[value] for value in sorted(found) if found[value] is not None]
    assert order == sorted(order, key=lambda each: each or 0)


@given(st.lists(st.one_of(st.text(max_size=4), st.integers(), st.floats(), st.booleans(), st.none()), max_size=6))
def test_whatever_stands_there_is_read_or_refused(values: list[object]) -> None:
    with contextlib.suppress(DataError):
        assert {0, 1} <= set(read(*values))
