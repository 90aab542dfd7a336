"""predictions.csv: what is written reads back, to the bit."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from job.output import predictions
from job.output.predictions import TestReviews

LABELS = np.array([1, 0, 1], np.int8)


def write(path: Path, *trainings: tuple[str, int, list[float]]) -> None:
    pieces = predictions.lines(
        TestReviews(labels=LABELS), [(name, seed, np.array(values, np.float32)) for name, seed, values in trainings]
    )
    path.write_bytes(b"".join(pieces))


def test_the_file_is_a_row_a_review(tmp_path: Path) -> None:
    write(tmp_path / "p.csv", ("rnn", 0, [0.5, 1.0, 1e-9]), ("rnn", 1, []), ("lstm", 0, [0.1, 0.25, 0.0]))
    assert (tmp_path / "p.csv").read_text().splitlines() == [
        "architecture,seed,review,label,probability",
        "rnn,0,0,1,0.5",
        "rnn,0,1,0,1.0",
        "rnn,0,2,1,1e-09",
        "lstm,0,0,1,0.1",
        "lstm,0,1,0,0.25",
        "lstm,0,2,1,0.0",
    ]
    assert predictions.read_test(tmp_path / "p.csv").labels.tolist() == [1, 0, 1]
    assert list(predictions.read(tmp_path / "p.csv")) == [("rnn", 0), ("lstm", 0)]


def test_without_a_training_there_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "p.csv", ("rnn", 0, []))
    assert predictions.read_test(tmp_path / "p.csv").labels.tolist() == []
    assert predictions.read(tmp_path / "p.csv") == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=arrays.arrays(np.float32, (4, 3), elements=st.floats(0, 1, width=32)))
def test_probabilities_read_back_to_the_bit(
    values: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", tmp_path: Path
) -> None:
    keys = [("rnn", 0), ("rnn", 7), ("lstm", 7), ("lstm", 8)]
    write(tmp_path / "p.csv", *[(name, seed, row.tolist()) for (name, seed), row in zip(keys, values, strict=True)])
    found = predictions.read(tmp_path / "p.csv")
    assert list(found) == keys
    for key, row in zip(keys, values, strict=True):
        assert found[key].tobytes() == row.tobytes()


def test_a_training_that_spans_the_reader_s_blocks_is_one(tmp_path: Path) -> None:
    count = 120_000
    labels = np.zeros(count, np.int8)
    values = np.linspace(0, 1, count, dtype=np.float32)
    pieces = predictions.lines(TestReviews(labels=labels), [("rnn", 3, values), ("lstm", 3, values[::-1])])
    (tmp_path / "p.csv").write_bytes(b"".join(pieces))
    assert (tmp_path / "p.csv").stat().st_size > 3 << 20
    found = predictions.read(tmp_path / "p.csv")
    assert found["rnn", 3].tobytes() == values.tobytes()
    assert found["lstm", 3].tobytes() == values[::-1].tobytes()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=3, max_size=3)
)
def test_rows_and_ids_read_back(ids: list[str | None], tmp_path: Path) -> None:
    test = TestReviews(labels=LABELS, rows=np.array([7, 9, 12]), ids=ids)
    values = [(name, 0, np.array([0.5, 0.25, 1.0], np.float32)) for name in ("rnn", "lstm")]
    (tmp_path / "p.csv").write_bytes(b"".join(predictions.lines(test, values)))
    found = predictions.read_test(tmp_path / "p.csv")
    assert found.rows is not None
    assert (found.labels.tolist(), found.rows.tolist(), found.ids) == ([1, 0, 1], [7, 9, 12], ids)
    assert predictions.read(tmp_path / "p.csv")["lstm", 0].tolist() == [0.5, 0.25, 1.0]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=cmd|"/c calc"!A1', '\'=cmd|"/c calc"!A1'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1+1", "'-1+1"),
        ("+1 234", "'+1 234"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("-12", "-12"),
        ("+1.5", "+1.5"),
        ("'tis", "'tis"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_name_that_begins_as_a_formula_does_is_a_text_to_a_spreadsheet_and_reads_back(
    text: str, cell: str, tmp_path: Path
) -> None:
    test = TestReviews(labels=LABELS, rows=np.array([7, 9, 12]), ids=[text, None, "c"])
    (tmp_path / "p.csv").write_bytes(b"".join(predictions.lines(test, [("rnn", 0, np.array([0.5, 0.25, 1.0], np.float32))])))
    with (tmp_path / "p.csv").open(newline="") as stream:
        assert next(csv.DictReader(stream))["id"] == cell
    assert predictions.read_test(tmp_path / "p.csv").ids == [text, None, "c"]


def test_row_and_id_stand_at_the_end_of_a_line() -> None:
    test = TestReviews(labels=LABELS, rows=np.array([7, 9, 12]), ids=["a,b", None, 'c"'])
    header, rows = predictions.lines(test, [("rnn", 0, np.array([0.5, 0.25, 1.0], np.float32))])
    assert header == b"architecture,seed,review,label,probability,row,id\n"
    assert rows.splitlines() == [b'rnn,0,0,1,0.5,7,"a,b"', b"rnn,0,1,0,0.25,9,", b'rnn,0,2,1,1.0,12,"c"""']
