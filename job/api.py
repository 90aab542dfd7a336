"""The job from Python.

    from job import load, train

    run = train("reviews.csv", output="run", preset="standard", seeds=3)
    print(run.predict(["A film that stays with you."]))        # or load("run").predict(…), later and elsewhere

Training and judging are done by the commands of the same names, in processes of their own: whoever imports this gets no
TensorFlow, and what the job sets up for itself touches neither the caller's GPU nor his other libraries.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import IO

from job.commands.predict import Answer
from job.config import Request
from job.errors import JobError
from job.output.finished import VerifiedRun
from job.presets import OPTIONS, option
from job.records.metrics import Metrics

Value = str | int | float | bool | Path | Sequence[str] | Sequence[int]
Place = str | os.PathLike[str]
_PACKAGE = Path(__file__).parents[1]
# Of a process that was told that there is no more to do.
_PATIENCE_SECONDS = 30.0


class FailedError(JobError):
    """What a command ended with: its line, and its exit code (job/README.md tells them)."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Run:
    """A finished run.

    Args:
        folder: Its output folder.
        architecture: Whose model judges: rnn, lstm, baseline or ensemble; by default the one that `predict` would ask.

    Raises:
        JobError: There is no finished run, or a file of it was changed.
    """

    def __init__(self, folder: Place, architecture: str | None = None) -> None:
        self.folder = Path(folder)
        self.metrics: Metrics = VerifiedRun.verify(self.folder).metrics
        """The content of metrics.json."""
        self._architecture = architecture
        self._judge: _Judge | None = None

    def predict(self, texts: Iterable[str]) -> list[Answer]:
        """Judges texts, in order. The first call starts a process that loads the model, some seconds; it stays for the next ones.

        Raises:
            FailedError: The model cannot be loaded.
        """
        if self._judge is None:
            self._judge = _Judge(self.folder, self._architecture)
        return self._judge.ask(list(texts))

    def close(self) -> None:
        """Ends that process, if there is one."""
        if self._judge is not None:
            self._judge.close()
            self._judge = None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def train(data: Place | None = None, *, output: Place = "output", **options: Value) -> Run:
    """Trains as the command does, and shows its progress on standard error; continues what is in `output`.

    Args:
        data: embedded, imdb, or the path of labelled texts; by default the preset's.
        output: Folder for the results.
        options: Any other option of the command, with underscores: `preset="standard"`, `architecture=["lstm"]`, `seeds=5`.

    Raises:
        FailedError: It failed.
        TypeError: There is no such option.
    """
    known = {each.name for each in fields(Request)} - {"hyperparameters"} | set(OPTIONS) | {"fresh"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(f"train() has no option {', '.join(unknown)}; expected {', '.join(sorted(known))}")
    arguments = ["train", "--output", os.fspath(output), *(["--data", os.fspath(data)] if data is not None else [])]
    for name, value in options.items():
        if isinstance(value, bool):
            arguments += [option(name)] if value else []
        else:
            several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            arguments += [word for each in several for word in (option(name), str(each))]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "said")
        # What the command prints at its end is in `metrics`.
        process = subprocess.Popen(
            _command(arguments), env=_environment() | {"JOB_TERMINATION_LOG": str(said)}, stdout=subprocess.DEVNULL
        )
        try:
            code = process.wait()
        except BaseException:
            # Saves what was reached.
            process.terminate()
            process.wait()
            raise
        if code:
            text = said.read_text().strip().removeprefix("error: ") if said.exists() else "the training process ended"
            raise FailedError(text, code)
    return load(output)


def load(folder: Place, architecture: str | None = None) -> Run:
    """A finished run; see `Run`."""
    return Run(folder, architecture)


def predict(folder: Place, texts: Iterable[str], architecture: str | None = None) -> list[Answer]:
    """Judges texts once by a run's model. To judge more than once, `load` the run: then the model is loaded once."""
    with load(folder, architecture) as run:
        return run.predict(texts)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "job", *arguments]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(_PACKAGE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


class _Judge:
    """The command predict, which answers line by line."""

    def __init__(self, folder: Path, architecture: str | None) -> None:
        chosen = ["--architecture", architecture] if architecture else []
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (for as long as the process)
        self._process = subprocess.Popen(
            _command(["predict", str(folder), "--file", "-", "--json", *chosen]),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def ask(self, texts: list[str]) -> list[Answer]:
        """The process's answers, numbered from 0."""
        ask, answers = self._process.stdin, self._process.stdout
        assert ask is not None
        assert answers is not None

        def write() -> None:
            with contextlib.suppress(OSError):
                for text in texts:
                    # A line's end separates words as a space does; and a space at the end keeps what stands before it a part of the text.
                    line = text.replace("\n", " ").encode("utf-8", "replace") + b" \n"
                    ask.write(line)
                ask.flush()

        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        found = []
        for index in range(len(texts)):
            line = answers.readline()
            if not line:
                self._fail()
            found.append(Answer(**json.loads(line) | {"index": index}))
        writing.join()
        return found

    def _fail(self) -> None:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        raise FailedError((lines or ["the process that judges ended"])[-1].removeprefix("error: "), code)

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()
