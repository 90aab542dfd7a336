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
    from job.records.history import Epoch
    from job.training.loop import Position


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

    def start(self, name: str, seed: int, epochs: int) -> None:
        """The training of one network begins."""
        self._name, self._epochs = f"{name} seed {seed}", epochs

    def step(self, position: "Position", steps: int) -> None:
        """After every training step, of which an epoch has `steps`."""

    def epoch(self, epoch: "Epoch") -> None:
        """After every epoch."""
        self.show(f"{self._name}: {describe(epoch, self._epochs)}")


def _text(record: logging.LogRecord) -> str:
    return f"warning: {record.getMessage()}" if record.levelno >= logging.WARNING else record.getMessage()


def describe(epoch: "Epoch", epochs: int) -> str:
    """An epoch's figures in one line."""
    text = f"epoch {epoch.epoch}/{epochs}, loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}"
    if epoch.validation_loss is not None:
        text += f", validation loss {epoch.validation_loss:.4f}, validation accuracy {epoch.validation_accuracy:.4f}"
    return f"{text}, {epoch.tokens_per_second:,.0f} tokens/s, {epoch.seconds:.1f} s"


class JsonDisplay(Display):
    """One JSON object a line: `time` (Unix seconds), `event`, and what belongs to it."""

    def log(self, record: logging.LogRecord) -> None:
        self._write("message", level=record.levelname.lower(), message=_text(record))

    def show(self, text: str) -> None:
        self._write("message", level="info", message=text)

    def fail(self, text: str, exit_code: int) -> None:
        self._write("error", exit_code=exit_code, message=f"error: {text}")

    def start(self, name: str, seed: int, epochs: int) -> None:
        self._trial = {"architecture": name, "seed": seed}
        self._write("start", **self._trial, epochs=epochs)

    def epoch(self, epoch: "Epoch") -> None:
        self._write("epoch", **self._trial, **asdict(epoch))

    def _write(self, event: str, **values: Any) -> None:
        print(_json_line(event, **values), file=sys.stderr, flush=True)


def _json_line(event: str, **values: Any) -> str:
    # Not before it is needed: what checks records takes a while to import.
    from job.records.base import without_lone_surrogates

    values = {name: without_lone_surrogates(value) if isinstance(value, str) else value for name, value in values.items()}
    return json.dumps({"time": round(time.time(), 3), "event": event} | values)


class LiveDisplay(Display):
    """A progress bar that is redrawn, above it a line an epoch."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None

    def show(self, text: str) -> None:
        self.bar.console.print(terminal.visible(text), highlight=False, markup=False)

    def start(self, name: str, seed: int, epochs: int) -> None:
        super().start(name, seed, epochs)
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task = self.bar.add_task(self._name, total=None, figures="compiling")

    def step(self, position: "Position", steps: int) -> None:
        self.bar.update(
            self._task,
            total=self._epochs * steps,
            completed=(position.epoch - 1) * steps + position.step,
            description=f"{self._name}, epoch {position.epoch}/{self._epochs}",
            figures=f"loss {position.loss:.4f}  accuracy {position.accuracy:.4f}  {position.tokens_per_second:,.0f} tokens/s",
        )


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
