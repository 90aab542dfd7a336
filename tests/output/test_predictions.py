"""predictions.csv: what is written reads back, to the bit."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from job.output import predictions

LABELS = np.array([1, 0, 1], np.int8)


def write(path: Path, *trainings: tuple[str, int, list[float]]) -> None:
    pieces = predictions.lines(LABELS, [(name, seed, np.array(values, np.float32)) for name, seed, values in trainings])
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
    assert predictions.read_labels(tmp_path / "p.csv").tolist() == [1, 0, 1]
    assert list(predictions.read(tmp_path / "p.csv")) == [("rnn", 0), ("lstm", 0)]


def test_without_a_training_there_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "p.csv", ("rnn", 0, []))
    assert predictions.read_labels(tmp_path / "p.csv").tolist() == []
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
    pieces = predictions.lines(labels, [("rnn", 3, values), ("lstm", 3, values[::-1])])
    (tmp_path / "p.csv").write_bytes(b"".join(pieces))
    assert (tmp_path / "p.csv").stat().st_size > 3 << 20
    found = predictions.read(tmp_path / "p.csv")
    assert found["rnn", 3].tobytes() == values.tobytes()
    assert found["lstm", 3].tobytes() == values[::-1].tobytes()
