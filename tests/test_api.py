"""The job from Python."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import job
from job import load, predict, train
from job.api import FailedError
from job.errors import JobError
from tests.conftest import ROOT, Command, rows, table


def test_importing_it_brings_no_tensorflow() -> None:
    script = "import sys; from job import load, predict, train; print(sorted({'tensorflow', 'keras', 'typer', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_package_has_what_it_names_and_nothing_else() -> None:
    assert {name: getattr(job, name).__name__ for name in job.__all__} == {name: name for name in job.__all__}
    with pytest.raises(AttributeError, match="no attribute 'evaluate'"):
        job.evaluate  # noqa: B018
    assert (ROOT / "job" / "py.typed").exists()


def test_an_option_that_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no option seedz; expected"):
        train(seedz=3)


def test_what_the_command_fails_with_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"none\.csv") as caught:
        train(tmp_path / "none.csv", output=tmp_path / "output", preset="quickstart")
    assert caught.value.exit_code == 66
    with pytest.raises(JobError, match=r"metrics\.json"):
        load(tmp_path)


def test_a_run_judges_as_the_command_does(finished: Path, command: Command) -> None:
    pytest.importorskip("tensorflow")
    texts = ["a fine film", "two\nlines, and a\rreturn\r", "", "ünïcödé \ud800", "x " * 3000]
    with load(finished) as run:
        first, again = run.predict(texts[:2]), run.predict(iter(texts))
        assert [each.index for each in again] == [0, 1, 2, 3, 4]
        assert first == again[:2]
        assert run.predict([]) == []
        # More than pipes hold.
        assert len(run.predict(["a fine film"] * 3000)) == 3000
    assert run.metrics.preset == "quickstart"
    (alone,) = predict(finished, ["a fine film"], architecture="baseline")
    assert (alone.architecture, alone.label in ("negative", "positive")) == ("baseline", True)
    done = command("predict", finished, "a fine film", "--json")
    expected: dict[str, Any] = json.loads(done.stdout)
    assert vars(first[0])["probability"] == pytest.approx(expected["probability"], abs=1e-6)
    assert first[0].architecture == expected["architecture"]


def test_a_model_that_there_is_not_is_an_error(finished: Path) -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(FailedError, match="'gru' is not one of") as caught:
        predict(finished, ["a"], architecture="gru")
    assert caught.value.exit_code == 2


@pytest.mark.long
def test_three_lines_train_and_judge(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    (tmp_path / "own.csv").write_bytes(table(rows(200)))
    run = train(tmp_path / "own.csv", output=tmp_path / "run", preset="quickstart", architecture=["rnn"], units=4, epochs=1, cache=tmp_path / "c", no_header=False)  # fmt: skip
    (answer,) = run.predict([rows()[0][0]])
    assert 0 <= answer.probability <= 1
    assert run.metrics.architectures.keys() == {"rnn"}
    run.close()
