"""One training by several processes is the training of one; and whichever of them dies, all end and none loses anything."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from job.peers import free_hosts
from scripts.measure import group
from scripts.measure.faults.runs import outcome
from tests.conftest import ROOT
from tests.training.test_selftraining import write

RUN = [
    "--preset",
    "quickstart",
    "--device",
    "cpu",
    "--architecture",
    "rnn",
    "--units",
    "8",
    "--batch-size",
    "100",
    "--epochs",
    "3",
]


@pytest.mark.long
def test_several_processes_take_the_steps_of_one(shared_cache: Path) -> None:
    # All that draws: dropped words, embeddings and features, and the numbers of the evidence; batches that nothing divides.
    small = {"units": 12, "batch_size": 61, "epochs": 1, "embedding_dropout": 0.2, "pooled_dropout": 0.3, "word_dropout": 0.1}
    (alone,) = group.run(1, "embedded", shared_cache, small)
    two, four = (group.run(count, "embedded", shared_cache, small) for count in (2, 4))
    for together in (two, four):
        for name, expected in alone.items():
            # Everywhere the same network, to the bit.
            assert all(without(each[name]) == without(together[0][name]) for each in together)
            assert len(expected["losses"]) == 50
            np.testing.assert_allclose(together[0][name]["losses"], expected["losses"], rtol=0, atol=1e-5)
            np.testing.assert_allclose(together[0][name]["judged"], expected["judged"], rtol=0, atol=1e-4)
            # Of the embedding, only the words of the batch.
            assert 0 < together[0][name]["bytes"] < 4 * 10_000 * 64
    assert two[0]["rnn"]["weights"] != alone["rnn"]["weights"]


def without(said: dict[str, Any]) -> dict[str, Any]:
    """What must be the same each time."""
    return {name: value for name, value in said.items() if name != "milliseconds"}


class Started:
    """A group of the real command."""

    def __init__(self, output: Path, cache: Path, options: Sequence[str] = ()) -> None:
        hosts = ",".join(free_hosts(2))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JOB_")}
        self.logs = [output.with_suffix(f".{index}") for index in range(2)]
        self.processes = []
        for index, log in enumerate(self.logs):
            arguments = [*RUN, *options, "--output", str(output), "--cache", str(cache), "--log-format", "json"]
            with log.open("w") as stream:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "job", "train", *arguments], cwd=ROOT, stdout=stream, stderr=stream,
                        env=environment | {"JOB_WORKER": f"{index}/2", "JOB_HOSTS": hosts},
                    )
                )  # fmt: skip

    def until(self, event: str) -> None:
        """Waits until the chief has said so."""
        end = time.monotonic() + 120
        while f'"event": "{event}"' not in self.logs[0].read_text():
            assert time.monotonic() < end, self.logs[0].read_text()
            assert self.processes[0].poll() is None, self.logs[0].read_text()
            time.sleep(0.05)

    def end(self) -> list[int]:
        """The exit codes."""
        return [each.wait(120) for each in self.processes]

    def said(self) -> str:
        return "\n".join(each.read_text() for each in self.logs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """An uninterrupted run of two processes."""
    output = tmp_path_factory.mktemp("group") / "whole"
    started = Started(output, shared_cache)
    assert started.end() == [0, 0], started.said()
    return output


@pytest.mark.long
def test_one_alone_writes_and_both_end_well(whole: Path, shared_cache: Path) -> None:
    (run,) = json.loads((whole / "metrics.json").read_text())["architectures"]["rnn"]["runs"]
    assert (run["status"], run["processes"]) == ("finished", 2)
    assert not list(whole.rglob(".*"))
    # The other one says nothing of what the chief shows.
    assert not whole.with_suffix(".1").read_text().count('"event": "epoch"')
    again = Started(whole, shared_cache)
    assert again.end() == [0, 0], again.said()
    assert "nothing to do" in again.said()


@pytest.mark.long
@pytest.mark.parametrize(("index", "number", "codes"), [(1, signal.SIGTERM, {143}), (0, signal.SIGKILL, {75, -9})])
def test_when_one_ends_all_end_and_go_on_together(
    whole: Path, shared_cache: Path, tmp_path: Path, index: int, number: signal.Signals, codes: set[int]
) -> None:
    started = Started(tmp_path / "output", shared_cache)
    started.until("epoch")
    time.sleep(0.3)
    started.processes[index].send_signal(number)
    sent = time.monotonic()
    assert set(started.end()) == codes, started.said()
    assert time.monotonic() - sent < 30
    if number is signal.SIGKILL:
        assert f"worker {index} (127.0.0.1:" in started.said()
        assert "is gone; what was saved is kept: start the whole group again, it continues" in started.said()
    else:
        assert "rnn-0-step" in "".join(path.name for path in (tmp_path / "output" / "checkpoints").iterdir())
    again = Started(tmp_path / "output", shared_cache)
    assert again.end() == [0, 0], again.said()
    assert "continued at epoch" in again.said()
    assert outcome(tmp_path / "output") == outcome(whole)


@pytest.mark.long
def test_the_devices_of_one_machine_are_a_group(whole: Path, shared_cache: Path, tmp_path: Path) -> None:
    options = [*RUN, "--output", str(tmp_path / "output"), "--cache", str(shared_cache), "--devices", "2"]
    done = subprocess.run([sys.executable, "-m", "job", "train", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "output") == outcome(whole)
    assert "rnn seed 0: 2 processes summed 0." in done.stderr
    assert "absl::" not in done.stderr


# The command, with a teacher in which all have a weight: networks this small earn none.
_ALL_TEACH = """
import sys
from types import SimpleNamespace
from job.analysis import ensemble
from job.training import selftraining
choose = lambda labels, members: dict.fromkeys(members, 1 / len(members))
selftraining.ensemble = SimpleNamespace(votes=ensemble.votes, choose=choose)
from job.__main__ import main
sys.exit(main())
"""


@pytest.mark.long
def test_texts_without_labels_are_learned_from_together(shared_cache: Path, tmp_path: Path) -> None:
    """The teacher, its judgement and the networks that learn from it."""
    data = [argument for name, path in write(tmp_path).items() for argument in (f"--{name}", path)]
    options = ["--preset", "quickstart", *data, "--architecture", "rnn", "--epochs", "2", "--batch-size", "16"]
    options += ["--max-tokens", "12", "--device", "cpu"]
    found = []
    for name, together in (("alone", ("--workers", "1")), ("together", ("--devices", "2"))):
        output = ["--output", str(tmp_path / name), "--cache", str(shared_cache)]
        command = [sys.executable, "-c", _ALL_TEACH, "train", *options, *output, *together]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "has judged 130 of 130 texts" in done.stderr
        with (tmp_path / name / "predictions.csv").open() as stream:
            found.append([(row["architecture"], row["probability"]) for row in csv.DictReader(stream)])
    names, probabilities = ([[row[column] for row in each] for each in found] for column in (0, 1))
    assert names[0] == names[1]
    assert {"teacher-rnn", "rnn"} < {*names[0]}
    assert [*map(float, probabilities[1])] == pytest.approx([*map(float, probabilities[0])], rel=0, abs=1e-4)


@pytest.mark.long
def test_a_group_goes_on_alone_and_that_is_on_record(whole: Path, shared_cache: Path, tmp_path: Path) -> None:
    started = Started(tmp_path / "output", shared_cache)
    started.until("epoch")
    started.processes[0].terminate()
    assert started.end() == [143, 143], started.said()
    options = [*RUN, "--output", str(tmp_path / "output"), "--cache", str(shared_cache), "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "job", "train", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads((tmp_path / "output" / "metrics.json").read_text())["architectures"]["rnn"]["runs"]
    (change,) = run["continued"]
    assert "by xla in 2 processes to cpu (" in change
    expected = json.loads((whole / "metrics.json").read_text())["architectures"]["rnn"]["runs"][0]
    assert run["test"]["loss"] == pytest.approx(expected["test"]["loss"], abs=1e-4)
