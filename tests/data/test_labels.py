import pytest

from job.data.labels import LabelReader
from job.errors import DataError


def read(*values: object) -> list[int]:
    reader = LabelReader("file.csv")
    codes = [reader.add(value, row) for row, value in enumerate(values, 1)]
    classes = reader.resolve()
    return [classes[code] for code in codes]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("0", "1", "1"), [0, 1, 1]),
        ((0, 1, 0), [0, 1, 0]),
        ((0.0, 1.0), [0, 1]),
        (("neg", "pos"), [0, 1]),
        (("Positive", " NEGATIVE "), [1, 0]),
        ((True, False), [1, 0]),
        (("false", "TRUE"), [0, 1]),
        (("1", "10", "4", "7"), [0, 1, 0, 1]),
        (("neg", "positive"), [0, 1]),
    ],
)
def test_known_forms_are_read(values: tuple[object, ...], expected: list[int]) -> None:
    assert read(*values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("pos", "meh"), "row 2: label 'meh' is in no known form"),
        (("1", "10", "5"), "row 3: a rating of 5 is neither"),
        (("1", "10", "6"), "row 3: a rating of 6 is neither"),
        (("0", "1", "2"), "row 1: label 0 among 0, 1, 2"),
        (("pos", "pos"), "only one class"),
        (("8", "9"), "only one class"),
        (("pos", "0"), "labels of two forms"),
        (("pos", ""), "row 2: the label is empty"),
        (("pos", None), "row 2: the label is empty"),
        (("0.5", "1"), "row 1: label '0.5' is in no known form"),
        (("-1", "1"), "row 1: label '-1' is in no known form"),
        (("11", "1"), "row 1: label '11' is in no known form"),
    ],
)
def test_other_labels_are_refused_with_their_row(values: tuple[object, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(*values)
