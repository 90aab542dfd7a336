"""What the tests share: running the real command, and data in the forms that users bring."""

import csv
import fcntl
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings

from job.presets import Architecture, PresetName

# Where a change is judged, the same examples every time; at a desk, new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

ROOT = Path(__file__).parents[1]
SMALL = ("--epochs", "2", "--units", "8", "--batch-size", "256", "--device", "cpu")
# The tests take the cores themselves; those of what is done side by side say so.
os.environ.setdefault("JOB_WORKERS", "1")
Command = Callable[..., "subprocess.CompletedProcess[str]"]
Once = Callable[[str, Callable[[Path], None]], Path]


# Side by side, the tests of these stay in one process: they share what takes long to make, or a machine's one engine or GPU.
TOGETHER = {
    "tests/commands/test_merge.py": "shards",
    "tests/training/test_distances.py": "distances",
    "tests/docker/": "engine",
    "tests/k8s/test_pods.py": "engine",
    "tests/network/test_gpu.py": "gpu",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out what stays together first, then test by test."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return next((name for start, name in TOGETHER.items() if nodeid.startswith(start)), nodeid)

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the tests that take long, so that no test process is still busy when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A command that runs in the tests' own process sets logging up for good; it ends with its test."""
    root, ours = logging.getLogger(), logging.getLogger("job")
    before, level = list(root.handlers), ours.level
    yield
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
    ours.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a folder by its name once for all test processes: the first one that wants it makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    # Side by side, each process has a folder of its own in one that all share.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def shared_cache(once: Once) -> Path:
    """One cache for all tests, so that the embedded corpus is encoded once."""
    return once("cache", lambda folder: None)


# What is read as a process starts, so that a fork of another one would not see it.
_AT_START = re.compile("PYTHON|TF_|XLA_|CUDA|LD_|LC_|LANG|OMP_|MALLOC_")


class _Forks:
    """Starts the command in forks of a process that is ready (tests/forks.py)."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str], environment: dict[str, str], timeout: int) -> "subprocess.CompletedProcess[str]":
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.forks"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert self._answer() == "ready"
        assert self._server.stdin is not None
        with tempfile.NamedTemporaryFile("r+") as stdout, tempfile.NamedTemporaryFile("r+") as stderr:
            asked = {"arguments": arguments, "environment": environment, "folder": os.getcwd()}
            print(json.dumps(asked | {"stdout": stdout.name, "stderr": stderr.name}), file=self._server.stdin, flush=True)
            process = int(self._answer())
            too_long = threading.Timer(timeout, os.kill, (process, signal.SIGKILL))
            too_long.start()
            code = int(self._answer())
            too_long.cancel()
            return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())

    def _answer(self) -> str:
        assert self._server is not None and self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()


@pytest.fixture(scope="session")
def command(shared_cache: Path) -> Iterator[Command]:
    """Runs `python -m job ...` in a process of its own, as a user does."""
    forks = _Forks()

    def run(
        *arguments: str | Path, env: dict[str, str] | None = None, timeout: int = 300
    ) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("JOB_")}
        mine = {"JOB_CACHE": str(shared_cache), "JOB_WORKERS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
        environment = clean | mine | (env or {})
        if not any(_AT_START.match(name) for name in env or {}):
            return forks.run([*map(str, arguments)], environment, timeout)
        return subprocess.run(
            [sys.executable, "-m", "job", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    yield run
    forks.close()


@pytest.fixture(scope="session")
def finished(command: Command, once: Once) -> Path:
    """The end-to-end run: the real command, small, both networks, two seeds."""

    def train(folder: Path) -> None:
        arguments = ("train", "--preset", "quickstart", "--output", folder / "output", "--seeds", "2", *SMALL)
        done = command(*arguments, env={"JOB_WORKERS": "auto"})
        assert done.returncode == 0, done.stderr
        assert "test accuracy" in done.stdout
        assert len([line for line in done.stderr.splitlines() if "epoch 2/2" in line]) == 4

    return once("run", train) / "output"


def rows(count: int = 40) -> list[tuple[str, str]]:
    """Labelled texts, all different, both classes."""
    return [
        (f"review {number} is {'good' if number % 2 else 'bad'}", "pos" if number % 2 else "neg") for number in range(count)
    ]


def table(values: Sequence[tuple[str, ...]], header: tuple[str, ...] = ("text", "label"), separator: str = ",") -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator)
    writer.writerow(header)
    writer.writerows(values)
    return stream.getvalue().encode()


def write_imdb(folder: Path, train: int = 120, test: int = 120, words: int = 50) -> Path:
    """A small file in Keras's IMDB format with the word index that belongs to it."""

    random = np.random.RandomState(0)

    def reviews(count: int) -> Any:
        array = np.empty(count, dtype=object)
        for number in range(count):
            array[number] = [int(rank) for rank in random.randint(1, words + 1, size=random.randint(1, 30))]
        return array

    arrays: Any = {
        "x_train": reviews(train),
        "y_train": np.arange(train) % 2,
        "x_test": reviews(test),
        "y_test": np.arange(test) % 2,
    }
    path = folder / "imdb.npz"
    np.savez(path, **arrays)
    (folder / "imdb_word_index.json").write_text(json.dumps({f"w{rank}": rank for rank in range(1, words + 1)}))
    return path


class _SameProcess:
    """Stands for `FreshProcess` (job/network/fresh.py) without one more import of TensorFlow; tests of the command have the real one."""

    def __init__(self, texts: list[str], folder: Path) -> None:
        self._texts = texts
        self._answers: list[list[tuple[float, str]]] = []

    def load(self, folder: Path, name: Path) -> None:
        import tensorflow as tf

        serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
        found = [serve(text=tf.constant([text])) for text in self._texts]
        self._answers.append([(float(each["probability"][0]), each["label"].numpy()[0].decode()) for each in found])

    def answers(self) -> list[list[tuple[float, str]]]:
        return self._answers

    def close(self) -> None:
        pass


def train_here(
    output: Path,
    cache: Path,
    seeds: int = 1,
    architecture: Architecture = Architecture.rnn,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """Runs a small job in this process; returns its metrics.json.

    Args:
        options: Of the request, by name; `settings` are hyperparameters.
    """
    from job.commands.train import train
    from job.config import DeviceChoice, Request, resolve
    from job.progress import Display

    request = Request(**{"workers": "1", "architecture": [architecture]} | (options or {}),
        output=output, cache=cache, preset=PresetName.quickstart, seeds=seeds,
        device=DeviceChoice.cpu, hyperparameters={"epochs": 1, "batch_size": 512, "units": 4} | settings,
    )  # fmt: skip
    with mock.patch("job.commands.publishing.FreshProcess", _SameProcess):
        metrics = train(resolve(request), Display(), fresh=False)
    assert metrics is not None
    return metrics.to_values()
