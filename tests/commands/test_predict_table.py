"""Tables in, tables out: every row once, in order, with all that it held."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from job.commands.predict_table import judge
from job.data.sheets import open_sheet
from job.data.tokens import Vocabulary
from job.errors import ConfigurationError, DataError, JobError, MissingInputError, OutputError
from job.network.predictor import Predictor
from job.presets import ModelName
from tests.conftest import Command


class Stub(Predictor):
    """Knows `good` and `bad`, and is as sure as there are known words."""

    def __init__(self) -> None:
        super().__init__(ModelName.rnn, Vocabulary(["good", "bad"]), 6)

    def _logits(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        return np.array([np.sum(review == 4) - np.sum(review == 5) for review in reviews], np.float32)


ROWS = [
    {"id": 7, "text": "good, film", "stars": 4.25},
    {"id": 8, "text": "bad\nbad", "stars": None},
    {"id": 9, "text": "zzz", "stars": 1.0},
]
JUDGED = [("good, film", 0.731059, "positive", 1), ("bad\nbad", 0.119203, "negative", 2), ("zzz", 0.5, "negative", 0)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return path


def run(path: Path, output: Path | None = None, text: str | None = None, form: str = ".csv") -> str:
    stream = io.StringIO()
    judge(Stub(), open_sheet(path), text, output, (stream, form))
    return stream.getvalue()


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.csv.gz", "out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_every_kind_becomes_every_kind(tmp_path: Path, kind: str, name: str) -> None:
    output = tmp_path / name
    assert run(write(tmp_path / f"in{kind}", ROWS), output) == ""
    found = [cells for _, cells in open_sheet(output).rows()]
    assert list(found[0]) == ["id", "text", "stars", "probability", "label", "known_words"]
    assert [
        (each["text"], round(float(each["probability"]), 6), each["label"], int(each["known_words"])) for each in found
    ] == JUDGED
    assert [str(each["id"]) for each in found] == ["7", "8", "9"]
    assert [each["stars"] or None for each in found] == [4.25, None, 1.0] or [each["stars"] or None for each in found] == [
        "4.25",
        None,
        "1.0",
    ]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [(".jsonl", "out.csv", 1), (".jsonl", "out.jsonl", 0), (".csv", "out.csv", 0), (".parquet", "out.tsv", 1)],
)
def test_cells_that_a_spreadsheet_would_compute_are_carried_through_and_told_of_where_they_are_new(
    kind: str, name: str, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / f"in{kind}", [{"text": "@you good", "note": "=1+1"}, {"text": "bad", "note": "-5"}])
    run(path, tmp_path / name)
    found = [cells for _, cells in open_sheet(tmp_path / name).rows()]
    assert [(each["text"], each["note"]) for each in found] == [("@you good", "=1+1"), ("bad", "-5")]
    warnings = [each for each in caplog.messages if "cells that begin as formulas do: 2;" in each]
    assert len(warnings) == said


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    schema = pyarrow.schema([("n", pyarrow.int16()), ("text", pyarrow.large_string()), ("when", pyarrow.timestamp("ms"))])
    parquet.write_table(
        pyarrow.table({"n": [1], "text": ["good"], "when": [1_700_000_000]}, schema=schema), tmp_path / "in.parquet"
    )
    run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = parquet.read_schema(tmp_path / "out.parquet")
    assert [found.field(name).type for name in ("n", "text", "when")] == schema.types
    assert [str(found.field(name).type) for name in ("probability", "label", "known_words")] == ["float", "string", "int32"]


def test_standard_output_takes_csv_or_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [{"text": "good", "tags": ["a"], "ok": True}, {"text": None, "more": "é"}])
    assert run(path) == (
        'text,tags,ok,more,probability,label,known_words\ngood,"[""a""]",true,,0.731059,positive,1\n,,,é,0.5,negative,0\n'
    )
    assert [json.loads(line) for line in run(path, form=".jsonl").splitlines()] == [
        {"text": "good", "tags": ["a"], "ok": True, "probability": 0.731059, "label": "positive", "known_words": 1},
        {"text": None, "more": "é", "probability": 0.5, "label": "negative", "known_words": 0},
    ]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_half_of_a_surrogate_pair_is_carried_through_or_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "good \\ud83d", "more": "\\ud83d", "é": 1}\n')
    run(path, tmp_path / name)
    (found,) = (cells for _, cells in open_sheet(tmp_path / name).rows())
    assert found["more"] == {"out.jsonl": "\ud83d"}.get(name, "\ufffd")
    assert (found["label"], str(found["é"])) == ("positive", "1")


def test_columns_of_the_names_that_are_added_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", [{"review": "bad", "label": "pos"}])
    assert run(path, text="review") == "review,label,probability,predicted_label,known_words\nbad,pos,0.268941,negative,1\n"
    path = write(
        tmp_path / "twice.csv", [{"text": "bad", "label": "pos", "predicted_label": "kept", "predicted_label_2": "too"}]
    )
    assert run(path).splitlines() == [
        "text,label,predicted_label,predicted_label_2,probability,predicted_label_3,known_words",
        "bad,pos,kept,too,0.268941,negative,1",
    ]


def test_more_rows_than_are_read_at_a_time_stay_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", [{"text": "good" if number % 3 else "bad", "n": number} for number in range(5000)])
    rows = list(csv.DictReader(io.StringIO(run(path))))
    assert [int(row["n"]) for row in rows] == list(range(5000))
    assert [row["label"] for row in rows] == ["positive" if number % 3 else "negative" for number in range(5000)]


def test_a_failure_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "good"} for _ in range(3000)]
    path = write(tmp_path / "in.jsonl", [*rows, {"text": 5}])
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(DataError, match="row 3001: expected a text, not int"):
        run(path, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl", "out.csv"]


@pytest.mark.parametrize(
    ("output", "text", "error", "says"),
    [
        ("in.csv", None, ConfigurationError, "is the table that is read"),
        ("no/out.csv", None, OutputError, "out.csv: there is no folder .*/no; make it, or name another file"),
        ("in.csv/out.csv", None, OutputError, "there is no folder .*/in.csv"),
        ("folder.csv", None, OutputError, "folder.csv: is a folder; expected the name of a file"),
        (None, "other", MissingInputError, r"no column 'other' \(--text-column\); it has 'id', 'text', 'stars'"),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, output: str | None, text: str | None, error: type[JobError], says: str
) -> None:
    path = write(tmp_path / "in.csv", ROWS)
    before = path.read_bytes()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv" / "kept").touch()
    with pytest.raises(error, match=says):
        run(path, tmp_path / output if output else None, text)
    assert path.read_bytes() == before
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")) == [
        "folder.csv",
        "folder.csv/kept",
        "in.csv",
    ]


def test_the_command_judges_a_table_as_it_judges_texts(finished: Path, command: Command, tmp_path: Path) -> None:
    texts = [
        "Take what follows literally: the baker. Simply delightful.",
        "Read these lines in reverse: the dog. It was great.",
    ]
    path = write(tmp_path / "in.csv", [{"text": text, "n": number} for number, text in enumerate(texts)])
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    plain = command("predict", str(finished), "--architecture", "rnn", *texts)
    for name in ("in.csv", "in.csv.gz"):
        done = command(
            "predict",
            str(finished),
            "--architecture",
            "rnn",
            "--data",
            str(tmp_path / name),
            "--output",
            str(tmp_path / "out.csv"),
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
        assert [f"{float(row['probability']):.6f}\t{row['label']}" for row in rows] == plain.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--file", "in.csv"], "--file in.csv: by its name, this is not a file of text lines; name a table with --data in.csv"),
        (["--file", "in.parquet"], "--data in.parquet"),
        (["--file", "in.csv.gz"], "--data in.csv.gz"),
        (["--data", "in.csv", "text"], "give texts as arguments"),
        (["text", "--output", "out.csv"], "need a table; name one with --data"),
        (
            ["--data", "in.csv", "--output", "out.xlsx"],
            "--output out.xlsx: expected a name that ends in .csv, .tsv, .jsonl, .parquet",
        ),
        (["--data", "in.csv", "--output", "out.parquet.gz"], "expected a name that ends in"),
    ],
)
def test_wrong_usage_is_2(command: Command, arguments: list[str], says: str, tmp_path: Path) -> None:
    done = command("predict", str(tmp_path), *arguments)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
