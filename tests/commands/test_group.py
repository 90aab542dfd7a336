"""One training by several processes is the training of one; and whichever of them dies, all end and none loses anything."""

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

from scripts.measure.faults import outcome
from tests.conftest import ROOT
from tests.training.test_crew import free_port

RUN = ["--preset", "quickstart", "--device", "cpu", "--architecture", "rnn", "--units", "8", "--batch-size", "100"]


def spread(count: int, cache: Path) -> list[dict[str, Any]]:
    """What each process says of its fifty steps."""
    while True:
        port = free_port()
        if port + 10 * count < 60_000:
            break
    module = [sys.executable, "-m", "tests.training.group_steps"]
    processes = [
        subprocess.Popen([*module, str(index), str(count), str(port), str(cache)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for index in range(count)
    ]  # fmt: skip
    said = [each.communicate(timeout=300) for each in processes]
    assert [each.returncode for each in processes] == [0] * count, said[0][1].decode()[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.mark.long
def test_several_processes_take_the_steps_of_one(shared_cache: Path) -> None:
    (alone,) = spread(1, shared_cache)
    two, again, four = spread(2, shared_cache), spread(2, shared_cache), spread(4, shared_cache)
    assert two == again
    for together in (two, four):
        # Everywhere the same network, to the bit.
        assert all(each == together[0] for each in together)
        for name, expected in alone.items():
            assert len(expected["losses"]) == 50
            np.testing.assert_allclose(together[0][name]["losses"], expected["losses"], rtol=0, atol=1e-5 * 61)
            np.testing.assert_allclose(together[0][name]["judged"], expected["judged"], rtol=0, atol=1e-4)
    assert two[0]["rnn"]["weights"] != alone["rnn"]["weights"]


class Started:
    """A group of the real command."""

    def __init__(self, output: Path, cache: Path, options: Sequence[str] = ()) -> None:
        port = free_port()
        hosts = f"127.0.0.1:{port},127.0.0.1:{free_port()}"
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
    group = Started(output, shared_cache)
    assert group.end() == [0, 0], group.said()
    return output


@pytest.mark.long
def test_one_alone_writes_and_both_end_well(whole: Path, shared_cache: Path) -> None:
    assert json.loads((whole / "metrics.json").read_text())["architectures"]["rnn"]["runs"][0]["status"] == "finished"
    assert not list(whole.rglob(".*"))
    # The other one says nothing of what the chief shows.
    assert not whole.with_suffix(".1").read_text().count('"event": "epoch"')
    again = Started(whole, shared_cache)
    assert again.end() == [0, 0], again.said()
    assert "nothing to do" in again.said()


@pytest.mark.long
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("number", "codes"), [(signal.SIGTERM, {143}), (signal.SIGKILL, {75, -9})])
def test_when_one_ends_all_end_and_go_on_together(
    whole: Path, shared_cache: Path, tmp_path: Path, number: signal.Signals, codes: set[int], index: int
) -> None:
    group = Started(tmp_path / "output", shared_cache)
    group.until("epoch")
    time.sleep(0.3)
    group.processes[index].send_signal(number)
    sent = time.monotonic()
    assert set(group.end()) == codes, group.said()
    assert time.monotonic() - sent < 30
    if number is signal.SIGKILL:
        assert f"worker {index} (127.0.0.1:" in group.said()
        assert "is gone; what was saved is kept: start the whole group again, it continues" in group.said()
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


@pytest.mark.long
def test_a_group_goes_on_alone_and_that_is_on_record(whole: Path, shared_cache: Path, tmp_path: Path) -> None:
    group = Started(tmp_path / "output", shared_cache)
    group.until("epoch")
    group.processes[0].terminate()
    assert group.end() == [143, 143], group.said()
    options = [*RUN, "--output", str(tmp_path / "output"), "--cache", str(shared_cache), "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "job", "train", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads((tmp_path / "output" / "metrics.json").read_text())["architectures"]["rnn"]["runs"]
    (change,) = run["continued"]
    assert "by xla in 2 processes to cpu (" in change
    expected = json.loads((whole / "metrics.json").read_text())["architectures"]["rnn"]["runs"][0]
    assert run["test"]["loss"] == pytest.approx(expected["test"]["loss"], abs=1e-4)
