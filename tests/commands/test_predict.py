"""Texts in, judgements out: one line for each, in order, whatever the texts hold."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.commands.predict import pieces
from job.errors import DataError, InputOutputError
from job.output.best import best_model
from job.presets import Architecture, ModelName
from job.records.comparison import Comparison, Variance
from job.records.metrics import Metrics
from tests.conftest import ROOT, Command, rows, table, train_here

GENERATED = "warning: this model knows only 162 words of a generated corpus and can judge nothing but its wordings; for other texts train with --preset standard, or with --data on your own"


def lines(content: bytes) -> list[str]:
    return [line for piece in pieces(io.BytesIO(content), "x") for line in piece]


def test_it_may_end_while_it_waits_for_a_line() -> None:
    """As where the reader of its answers has ended, and the writer of its texts has not."""
    script = "import sys; from pathlib import Path; from job.commands import predict; print(next(predict.pieces(predict.opened(Path('-')), '-'))); sys.exit(74)"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        print("one", file=process.stdin, flush=True)
        assert process.stdout.read() == "['one']\n"
        assert (process.wait(timeout=60), process.stderr.read()) == (74, "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\x0bb\x00\x1b[31m\n", ["a\x0bb\x00\x1b[31m"]),
        ("é\u2028è\x85\n".encode(), ["é\u2028è\x85"]),
        (b"\xef\xbb\xbffirst\nsecond", ["first", "second"]),
        (b"caf\xe9 \x80\n", ["café €"]),
        ("good\nschön\n".encode("utf-16"), ["good", "schön"]),
        ("Ċ good".encode("utf-16-be").join([b"\xfe\xff", b""]), ["Ċ good"]),
    ],
)
def test_a_line_is_what_a_newline_ends_in_whatever_encoding(content: bytes, expected: list[str]) -> None:
    assert lines(content) == expected


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), max_size=40))
def test_every_line_comes_out_once_and_in_order(texts: list[str]) -> None:
    content = "".join(f"{text}\n" for text in texts).encode()
    assert lines(content) == [text.removeprefix("\ufeff") if not number else text for number, text in enumerate(texts)]


@given(st.binary(max_size=300))
def test_no_bytes_are_refused(content: bytes) -> None:
    if not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert len(lines(content)) == content.count(b"\n") + (content[-1:] not in (b"\n", b""))
    assert all(isinstance(line, str) for line in lines(content))


def test_who_types_is_answered_before_the_next_line() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        found = pieces(stream, "x")
        os.write(writing, b"one\n")
        assert next(found) == ["one"]
        os.write(writing, b"two\nthree\n")
        time.sleep(0.1)
        assert next(found) == ["two", "three"]
        os.close(writing)
        assert list(found) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_line_that_never_ends_is_65(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("job.data.sheet.MAX_LINE", 1000)
    stream = io.BytesIO(("short\n" + "x" * 100_000).encode(encoding))
    with pytest.raises(DataError, match=r"^file, line 2: has more than 1000 bytes; expected one text a line$"):
        list(pieces(stream, "file"))


def test_a_failing_stream_is_told() -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputOutputError, match=r"list\.txt: reading failed"):
        list(pieces(cast(IO[bytes], Broken()), "list.txt"))


def answers(done: "subprocess.CompletedProcess[str]") -> list[tuple[float, str]]:
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [(float(probability), label) for probability, label in rows]


def test_long_lines_are_not_read_far_ahead() -> None:
    class Counting(io.BytesIO):
        lines = 0

        def readline(self, size: int | None = -1) -> bytes:
            self.lines += 1
            return super().readline(size)

    long = b"a" * (5 << 20)
    stream = Counting(b"\n".join([long] * 40))
    found = pieces(stream, "x")
    first = next(found)
    time.sleep(0.2)
    assert 1 <= len(first) <= 4
    assert stream.lines <= 10
    assert first + [line for piece in found for line in piece] == [long.decode()] * 40


def test_predict_answers_each_text_as_training_scored_it(command: Command, finished: Path) -> None:
    """The run's own test reviews again, as texts: their probabilities are those of predictions.csv."""
    from job.data import corpus
    from job.presets import PresetName
    from job.source import DataRequest, resolve_source

    # Made here: the corpus is the same bytes wherever it is made.
    data = corpus.load(resolve_source(DataRequest(cache=finished.parent / "cache", preset=PresetName.quickstart)))
    indices = data.part("test")[:300]
    texts = [data.text(int(index)) for index in indices]
    metrics = json.loads((finished / "metrics.json").read_text())
    rows = [line.split(",") for line in (finished / "predictions.csv").read_text().splitlines()]
    listed = finished.parent / "texts.txt"
    listed.write_text("\n".join(texts) + "\n")
    for name in ("rnn", "lstm", "baseline", "ensemble"):
        best = str(metrics["architectures"][name]["best_seed"]) if name in ("rnn", "lstm") else "0"
        expected = [float(row[4]) for row in rows if row[:2] == [name, best]][:300]
        found = answers(command("predict", finished, "--file", listed, "--architecture", name))
        np.testing.assert_allclose([probability for probability, _ in found], expected, rtol=0, atol=2e-6)
        assert all(label == ("positive" if probability > 0.5 else "negative") for probability, label in found)


def test_the_baseline_judges_without_tensorflow(finished: Path) -> None:
    script = (
        "import sys; sys.modules.update(tensorflow=None, keras=None); from job.__main__ import main; raise SystemExit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "predict", str(finished), "--architecture", "baseline", "good"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert len(answers(done)) == 1


def comparison(difference: float, p_value: float | None) -> Comparison:
    unknown: Any = dict.fromkeys(Comparison.model_fields)
    known = {"difference": difference, "p_value": p_value, "standard_error": 0.1, "ci95": (-1.0, 1.0), "test": "a test"}
    return Comparison(**unknown | known | {"variance": Variance(seeds=None, reviews=0.1)})


@pytest.mark.parametrize(
    ("rnn", "lstm", "names", "expected"),
    [
        ((-0.1, 0.01), (-0.2, 0.049), "rnn lstm baseline", "baseline"),
        ((-0.1, 0.01), (-0.2, 0.05), "rnn lstm baseline", "NETWORK"),
        ((-0.1, 0.01), (0.2, 0.01), "rnn lstm baseline", "NETWORK"),
        ((-0.1, 0.01), (0.0, None), "rnn lstm baseline", "NETWORK"),
        ((-0.1, 0.01), (0.2, 0.01), "rnn baseline", "baseline"),
        ((-0.1, 0.01), (-0.2, 0.01), "rnn lstm", "NETWORK"),
        ((0.1, 0.01), (0.2, 0.01), "baseline", "baseline"),
    ],
)
def test_the_baseline_is_asked_where_it_is_significantly_better_than_each_network(
    finished: Path, rnn: tuple[float, float], lstm: tuple[float, float | None], names: str, expected: str
) -> None:
    metrics = Metrics.parse((finished / "metrics.json").read_bytes())
    comparisons = {Architecture.rnn: comparison(*rnn), Architecture.lstm: comparison(*lstm)}
    found = best_model(metrics.but(baseline=metrics.baseline.but(comparisons=comparisons)), [*map(ModelName, names.split())])
    assert found == expected or (expected == "NETWORK" and found in ("rnn", "lstm"))


@pytest.mark.parametrize(
    ("differences", "names", "expected"),
    [
        ([(0.1, 0.01), (0.2, 0.01), (0.3, 0.049)], "rnn lstm baseline ensemble", "ensemble"),
        ([(0.1, 0.01), (0.2, 0.01), (0.3, 0.05)], "rnn lstm baseline ensemble", "baseline"),
        ([(0.1, 0.01), (-0.2, 0.01), (0.3, 0.01)], "rnn lstm baseline ensemble", "baseline"),
        ([(0.1, 0.01), (0.0, None), (0.3, 0.01)], "rnn lstm baseline ensemble", "baseline"),
        ([(0.1, 0.01), (0.2, 0.01), (0.3, 0.01)], "rnn lstm baseline", "baseline"),
    ],
)
def test_the_ensemble_is_asked_where_it_is_significantly_better_than_each_member(
    finished: Path, differences: list[tuple[float, float | None]], names: str, expected: str
) -> None:
    metrics = Metrics.parse((finished / "metrics.json").read_bytes())
    assert metrics.ensemble is not None
    members = (ModelName.rnn, ModelName.lstm, ModelName.baseline)
    found = {name: comparison(*each) for name, each in zip(members, differences, strict=True)}
    worse = {name: comparison(-0.1, 0.01) for name in Architecture}
    changed = metrics.but(ensemble=metrics.ensemble.but(comparisons=found), baseline=metrics.baseline.but(comparisons=worse))
    assert best_model(changed, [*map(ModelName, names.split())]) == expected
    assert best_model(changed.but(ensemble=None), [*map(ModelName, names.split())]) == "baseline"


def test_a_run_that_kept_no_baseline_says_so_and_is_judged_by_a_network(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    """As a version before made it."""
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    gone = ("baseline/", "ensemble/")
    for name in gone:
        shutil.rmtree(old / name)
    record = json.loads((old / "run.json").read_text())
    record["files"] = {name: value for name, value in record["files"].items() if not name.startswith(gone)}
    (old / "run.json").write_text(json.dumps(record))
    done = command("predict", old, "--architecture", "baseline", "good")
    assert done.returncode == 66
    assert "has no trained model of baseline, as it is of the preset dependency or of a version that kept none" in done.stderr
    assert done.stderr.endswith("it has rnn and lstm\n")
    done = command("predict", old, "--architecture", "ensemble", "good")
    assert (done.returncode, "has no trained model of ensemble, as it is of" in done.stderr) == (66, True)
    done = command("predict", old, "--json", "good")
    assert json.loads(done.stdout)["architecture"] in ("rnn", "lstm")


@pytest.mark.parametrize("name", ["rnn", "baseline"])
def test_texts_of_which_the_model_knows_nothing_are_counted_and_warned_of_once(
    command: Command, finished: Path, name: str
) -> None:
    word = json.loads((finished / "vocabulary.json").read_text())[0]
    texts = [word, "zzzz qqqq", f"zzzz {word} {word.upper()}!", "", "12345678901"]
    done = command("predict", finished, "--architecture", name, "--json", *texts)
    assert [json.loads(line)["known_words"] for line in done.stdout.splitlines()] == [1, 0, 2, 0, 0]
    warning = "warning: 3 of 5 texts hold no word that the model knows, so their probabilities say nothing"
    assert [line for line in done.stderr.splitlines() if "word" in line] == [GENERATED, warning]
    alone = command("predict", finished, "--architecture", name, "zzzz")
    assert "warning: 1 of 1 texts holds no word that the model knows, so its probability says nothing" in alone.stderr
    assert "no word" not in command("predict", finished, "--architecture", name, word).stderr


def test_a_model_of_the_generated_corpus_says_once_that_it_knows_nothing_else(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    (tmp_path / "texts.txt").write_text("review 1 is good\nthe film was dull\n")
    (tmp_path / "texts.csv").write_bytes(table(rows()))
    train_here(own, tmp_path / "cache", options={"data": str(tmp_path / "texts.csv")})
    for asked in (["the film is superb", "dull"], ["--file", tmp_path / "texts.txt"], ["--data", tmp_path / "texts.csv"]):
        for run, said in ((finished, [GENERATED]), (own, [])):
            done = command("predict", run, "--architecture", "baseline", *asked)
            assert done.returncode == 0, done.stderr
            assert [line for line in done.stderr.splitlines() if "generated" in line] == said
            assert "generated" not in done.stdout


def test_predict_takes_arguments_empty_and_enormous_ones_too(command: Command, finished: Path) -> None:
    texts = ["", " ", "the film was good", "word " * 20_000, "naïve \x1b[31m café"]
    done = command("predict", finished, "--json", *texts)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["index"] for each in found] == [0, 1, 2, 3, 4]
    assert found[0]["probability"] == pytest.approx(found[1]["probability"], abs=1e-6)
    assert [each["known_words"] for each in found][:2] == [0, 0]
    assert found[2]["known_words"] > 0
    metrics = json.loads((finished / "metrics.json").read_text())["architectures"]

    def loss(name: str) -> float:
        return metrics[name]["runs"][metrics[name]["best_seed"]]["validation"]["loss"]  # type: ignore[no-any-return]

    assert {each["architecture"] for each in found} == {min(("rnn", "lstm"), key=loss)}


def test_predict_reads_standard_input_while_it_is_written(finished: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "job", "predict", str(finished), "--file", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"one\n", b"caf\xe9\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline().endswith((b"\tpositive\n", b"\tnegative\n"))
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere", "text"), 66, "nowhere: no such folder"),
        (("RUN",), 2, "give texts as arguments, or name a file"),
        (("RUN", "text", "--file", "-"), 2, "give texts as arguments, or name a file"),
        (("RUN", "--file", "missing.txt"), 66, "missing.txt: cannot be read"),
    ],
)
def test_what_cannot_be_predicted_is_told(
    command: Command, finished: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done: Any = command("predict", *(finished if each == "RUN" else each for each in arguments))
    assert done.returncode == code
    assert message in " ".join(done.stderr.replace("│", " ").split())
