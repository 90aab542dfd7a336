"""What a person or a log collector sees while the job runs: log lines, and a live display or JSON lines. All on stderr."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from job.config import LogFormat
from job.machine import signals, terminal

if TYPE_CHECKING:
    from job.output.finished import FinishedRun, VerifiedRun
    from job.records.history import Epoch
    from job.records.run import RunRecord
    from job.training.desk import Label
    from job.training.position import Position


class Display:
    """Plain text: a line for what happens, a line an epoch."""

    def log(self, record: logging.LogRecord) -> None:
        """Shows what was logged; only libraries log several lines."""
        text = _text(record)
        for line in [text] if record.name.startswith("job.") else text.splitlines():
            self.show(line)

    def show(self, text: str) -> None:
        """Something worth a line."""
        print(terminal.visible(text), file=sys.stderr, flush=True)

    def fail(self, text: str, exit_code: int) -> None:
        """The error that the job ends with."""
        self.show(f"error: {text}")

    def __init__(self) -> None:
        self._epochs: dict[Label, int] = {}

    def plan(self, costs: "dict[Label, float]") -> None:
        """What is to be trained, and what share of the whole each will take."""

    def start(self, label: "Label", epochs: int) -> None:
        """The training of one network begins, or goes on."""
        self._epochs[label] = epochs

    def step(self, label: "Label", position: "Position", steps: int) -> None:
        """After every training step, of which an epoch has `steps`."""

    def epoch(self, label: "Label", epoch: "Epoch") -> None:
        """After every epoch."""
        self.show(f"{label}: {describe(epoch, self._epochs[label])}")

    def end(self, label: "Label") -> None:
        """A training is over."""

    def phase(self, name: str | None) -> None:
        """What goes on where no training does, from here on; None where trainings do."""

    def alive(self) -> None:
        """Something was done of which nothing is shown."""

    def begin(self, record: "RunRecord") -> None:
        """A process begins, or goes on with, a run."""

    def finish(self, run: "FinishedRun") -> None:
        """The run is finished and published."""

    def found(self, run: "VerifiedRun") -> None:
        """The run was finished before."""


def _text(record: logging.LogRecord) -> str:
    return f"warning: {record.getMessage()}" if record.levelno >= logging.WARNING else record.getMessage()


# Of an epoch's figures, the most telling one first.
_IMPORTANCE = ("validation accuracy", "loss", "accuracy", "validation loss", "s", "tokens/s")


def describe(epoch: "Epoch", epochs: int, width: int | None = None) -> str:
    """An epoch's figures in one line.

    Args:
        width: Of the line; what does not fit is left out, the least telling figures first.
    """
    figures = {"loss": f"loss {epoch.loss:.4f}", "accuracy": f"accuracy {epoch.accuracy:.4f}"}
    if epoch.validation_loss is not None:
        figures["validation loss"] = f"validation loss {epoch.validation_loss:.4f}"
        figures["validation accuracy"] = f"validation accuracy {epoch.validation_accuracy:.4f}"
    figures |= {"tokens/s": f"{epoch.tokens_per_second:,.0f} tokens/s", "s": f"{epoch.seconds:.1f} s"}
    text = f"epoch {epoch.epoch}/{epochs}"
    left = float("inf") if width is None else width - len(text)
    for name in _IMPORTANCE:
        if name in figures:
            needed = len(f", {figures[name]}")
            if needed > left:
                del figures[name]
            else:
                left -= needed
    return ", ".join([text, *figures.values()])


class JsonDisplay(Display):
    """One JSON object a line: `time` (Unix seconds), `event`, and what belongs to it."""

    def log(self, record: logging.LogRecord) -> None:
        self._write("message", level=record.levelname.lower(), message=_text(record))

    def show(self, text: str) -> None:
        self._write("message", level="info", message=text)

    def fail(self, text: str, exit_code: int) -> None:
        self._write("error", exit_code=exit_code, message=f"error: {text}")

    def phase(self, name: str | None) -> None:
        if name:
            self._write("phase", phase=name)

    def start(self, label: "Label", epochs: int) -> None:
        self._write("start", architecture=label.name, seed=label.seed, epochs=epochs)

    def epoch(self, label: "Label", epoch: "Epoch") -> None:
        self._write("epoch", architecture=label.name, seed=label.seed, **asdict(epoch))

    def _write(self, event: str, **values: Any) -> None:
        print(_json_line(event, **values), file=sys.stderr, flush=True)


def _json_line(event: str, **values: Any) -> str:
    # Not before it is needed: what checks records takes a while to import.
    from job.records.base import without_lone_surrogates

    values = {name: without_lone_surrogates(value) if isinstance(value, str) else value for name, value in values.items()}
    return json.dumps({"time": round(time.time(), 3), "event": event} | values)


class LiveDisplay(Display):
    """Bars that are redrawn: one for each training in work, below them one for all; above them a line an epoch."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        super().__init__()
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
            expand=True,
            # Of a run of minutes or hours, trainings of several kinds included.
            speed_estimate_period=300,
        )
        self._tasks: dict[Label, Any] = {}
        self._costs: dict[Label, float] = {}
        self._shares: dict[Label, float] = {}
        self._whole: Any = None
        self._phase: Any = None

    def show(self, text: str) -> None:
        self.bar.console.print(terminal.visible(text), highlight=False, markup=False)

    def epoch(self, label: "Label", epoch: "Epoch") -> None:
        room = self.bar.console.width - len(f"{label}: ")
        self.show(f"{label}: {describe(epoch, self._epochs[label], room)}")

    def phase(self, name: str | None) -> None:
        if self._phase is not None:
            self.bar.remove_task(self._phase)
        self._phase = None if name is None else self.bar.add_task(name, total=None, figures="")

    def plan(self, costs: "dict[Label, float]") -> None:
        self.phase(None)
        if self._whole is not None:
            self.bar.remove_task(self._whole)
        self._costs, self._shares, self._whole = costs, {}, None
        if len(costs) > 1:
            self._whole = self.bar.add_task("all trainings", total=sum(costs.values()), figures=f"0 of {len(costs)} done")

    def start(self, label: "Label", epochs: int) -> None:
        super().start(label, epochs)
        self._remove(label)
        self._tasks[label] = self.bar.add_task(str(label), total=None, figures="compiling")
        self._put_whole_last()

    def step(self, label: "Label", position: "Position", steps: int) -> None:
        total, completed = self._epochs[label] * steps, (position.epoch - 1) * steps + position.step
        self.bar.update(
            self._tasks[label],
            total=total,
            completed=completed,
            description=f"{label}, epoch {position.epoch}/{self._epochs[label]}",
            figures=self._figures(position),
        )
        self._advance(label, completed / total)

    def _figures(self, position: "Position") -> str:
        """As many as leave room for a bar."""
        width = self.bar.console.width
        found = [
            f"loss {position.loss:.4f}",
            f"accuracy {position.accuracy:.4f}",
            f"{position.tokens_per_second:,.0f} tokens/s",
        ]
        return "  ".join(found[: 1 if width < 90 else 2 if width < 110 else 3])

    def end(self, label: "Label") -> None:
        self._remove(label)
        self._advance(label, 1.0)

    def _remove(self, label: "Label") -> None:
        if label in self._tasks:
            self.bar.remove_task(self._tasks.pop(label))

    def _put_whole_last(self) -> None:
        """Rich draws bars in the order of their making."""
        if self._whole is not None:
            with self.bar._lock:
                self.bar._tasks[self._whole] = self.bar._tasks.pop(self._whole)

    def _advance(self, label: "Label", share: float) -> None:
        self._shares[label] = share
        if self._whole is not None and label in self._costs:
            done = sum(self._costs[each] * part for each, part in self._shares.items() if each in self._costs)
            ended = sum(part == 1.0 and each not in self._tasks for each, part in self._shares.items())
            self.bar.update(self._whole, completed=done, figures=f"{ended} of {len(self._costs)} done")


class _Handler(logging.Handler):
    """Hands what is logged to the display of the moment."""

    display = Display()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.display.log(record)
        except OSError:
            self.handleError(record)


_handler = _Handler()


def current() -> Display:
    """The display of the moment."""
    return _handler.display


def set_up_logging() -> None:
    """Sends log records to the display: ours from INFO on, those of libraries and Python's warnings from WARNING on."""
    _handler.display = Display()
    logging.captureWarnings(True)
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    logging.getLogger("job").setLevel(logging.INFO)


@contextmanager
def shown(log_format: LogFormat) -> Iterator[Display]:
    """The display of a format for as long as the job runs; `auto` draws on a terminal only. JSON it stays to the end."""
    if log_format is LogFormat.json:
        _handler.display = JsonDisplay()
        signals.format_line = lambda text: _json_line("message", level="warning", message=text)
        yield _handler.display
    elif log_format is LogFormat.auto and sys.stderr.isatty():
        _handler.display = live = LiveDisplay()
        try:
            with live.bar:
                yield live
        finally:
            _handler.display = Display()
    else:
        yield _handler.display
