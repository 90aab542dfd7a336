"""The benchmark runs, and its arithmetic; how fast anything is, is no matter of tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.measure.speed import CONTESTANTS, OURS, summarize
from tests.conftest import ROOT


@pytest.mark.long
def test_it_measures_every_contestant_that_is_there(tmp_path: Path, shared_cache: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "scripts.measure.speed",
        "--data",
        "embedded",
        "--cache",
        shared_cache,
        "--output",
        tmp_path,
    ]
    done = subprocess.run(
        [*map(str, command), "--batches", "1", "--repetitions", "1"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "benchmark.json").read_text())
    for measured in result["architectures"].values():
        assert set(measured) == {name for name in CONTESTANTS if not name.startswith("PyTorch")}
        assert measured[OURS]["kernel"] == "xla"
        assert measured[OURS]["times_slower_than_ours"] == 1.0
    assert 0 <= result["padding"] < 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark.json", "benchmark.svg"]
    assert "Keras fit, same batches" in done.stdout


def test_ratios_are_medians_of_each_repetition_s_own() -> None:
    def run(speed: float) -> dict[str, object]:
        return {"tokens_per_second": speed, "seconds_to_first_step": 1.0, "peak_memory_bytes": 1, "kernel": "k"}

    result = summarize("rnn", {OURS: [run(10), run(40), run(90)], "other": [run(5), run(10), run(10)]}, [2736.0e3])
    assert result["other"]["times_slower_than_ours"] == 4.0
    assert result["other"]["times_slower_at_best"] == 4.0
    assert result["other"]["tokens_per_second"] == 10
    assert result["other"]["spread"] == [5, 10]
    # A token's 273,600 operations at 40 tokens a second are four times what this machine does.
    assert result[OURS]["share_of_matrix_product"] == pytest.approx(4.0)
