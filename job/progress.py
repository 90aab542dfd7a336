"""What a person or a log collector sees while the job runs: a live display, plain lines, or JSON lines. All on stderr."""

import json
import sys
import time
from dataclasses import asdict, is_dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from job.config import LogFormat


class StepView(Protocol):
    """What a display needs to know after a step."""

    @property
    def epoch(self) -> int: ...

    @property
    def step(self) -> int: ...

    @property
    def loss(self) -> float: ...

    @property
    def accuracy(self) -> float: ...

    @property
    def tokens_per_second(self) -> float: ...


class Reporter:
    """Plain text: one line for what happens, one line an epoch."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def message(self, text: str) -> None:
        """Something worth a line."""
        print(text, file=sys.stderr, flush=True)

    def start(self, architecture: str, seed: int, epochs: int) -> None:
        """Training of one network begins."""
        self._name, self._epochs = f"{architecture} seed {seed}", epochs

    def step(self, view: StepView, steps: int) -> None:
        """After every training step, of which an epoch has `steps`."""

    def epoch(self, epoch: Any) -> None:
        """After every epoch, with its line of the history."""
        self.message(f"{self._name}: {describe(epoch, self._epochs)}")


def describe(epoch: Any, epochs: int) -> str:
    """An epoch's figures in one line."""
    text = f"epoch {epoch.epoch}/{epochs}, loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}"
    if epoch.validation_loss is not None:
        text += f", validation loss {epoch.validation_loss:.4f}, validation accuracy {epoch.validation_accuracy:.4f}"
    return f"{text}, {epoch.tokens_per_second:,.0f} tokens/s, {epoch.seconds:.1f} s"


class JsonReporter(Reporter):
    """One JSON object a line: `time` (Unix seconds), `event`, and what belongs to it."""

    def _line(self, event: str, **values: Any) -> None:
        print(json.dumps({"time": round(time.time(), 3), "event": event} | values), file=sys.stderr, flush=True)

    def message(self, text: str) -> None:
        self._line("message", message=text)

    def start(self, architecture: str, seed: int, epochs: int) -> None:
        self._run = {"architecture": str(architecture), "seed": seed}
        self._line("start", **self._run, epochs=epochs)

    def epoch(self, epoch: Any) -> None:
        assert is_dataclass(epoch) and not isinstance(epoch, type)
        self._line("epoch", **self._run, **asdict(epoch))


class LiveReporter(Reporter):
    """A progress bar that is redrawn, above it a line an epoch."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task: Any = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False)

    def start(self, architecture: str, seed: int, epochs: int) -> None:
        super().start(architecture, seed, epochs)
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(self._name, total=None, figures="compiling")

    def step(self, view: StepView, steps: int) -> None:
        self._bar.update(
            self._task,
            total=self._epochs * steps,
            completed=(view.epoch - 1) * steps + view.step,
            description=f"{self._name}, epoch {view.epoch}/{self._epochs}",
            figures=f"loss {view.loss:.4f}  accuracy {view.accuracy:.4f}  {view.tokens_per_second:,.0f} tokens/s",
        )


def make_reporter(log_format: LogFormat) -> Reporter:
    """The reporter of a format; `auto` draws only on a terminal."""
    if log_format is LogFormat.json:
        return JsonReporter()
    if log_format is LogFormat.auto and sys.stderr.isatty():
        return LiveReporter()
    return Reporter()


def print_summary(metrics: dict[str, Any], folder: str) -> None:
    """The closing table, on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    table = Table("network", "seeds", "test accuracy", "test loss", "AUC", "s a seed", "tokens/s")
    for name, entry in metrics["architectures"].items():
        runs = [run for run in entry["runs"] if run["status"] == "finished"]
        lost = len(entry["runs"]) - len(runs)
        seeds = f"{len(runs)}" + (f" ({lost} diverged)" if lost else "")
        if not runs:
            table.add_row(name, seeds, "–", "–", "–", "–", "–")
            continue
        summary = entry["summary"]["test_accuracy"]
        spread = f" ± {summary['sd']:.4f}" if summary["sd"] is not None else ""

        def mean(values: list[float]) -> float:
            return sum(values) / len(values)

        table.add_row(
            name,
            seeds,
            f"{summary['mean']:.4f}{spread}",
            f"{mean([run['test']['loss'] for run in runs]):.4f}",
            f"{mean([run['test']['auc'] for run in runs]):.4f}",
            f"{mean([run['seconds'] for run in runs]):.1f}",
            f"{mean([run['tokens_per_second'] for run in runs]):,.0f}",
        )
    test = metrics["baseline"]["test"]
    scores = (f"{test['accuracy']:.4f}", f"{test['loss']:.4f}", "–" if test["auc"] is None else f"{test['auc']:.4f}")
    table.add_row("baseline", "–", *scores, f"{metrics['baseline']['seconds']:.1f}", "–")
    console.print(table)
    dependency = metrics["dependency"]
    if dependency:
        distances = Table("network", "trained", *map(str, dependency["distances"]), title="test accuracy by distance")
        for network in dependency["networks"]:
            means = [point["test_accuracy"]["mean"] for point in network["points"]]
            cells = ["–" if mean is None else f"{mean:.3f}" for mean in means]
            distances.add_row(network["architecture"], network["remedy"] or "plain", *cells)
        distances.add_row("bag of words", "–", *(f"{each['accuracy']:.3f}" for each in dependency["bag_of_words"]))
        console.print(distances)
    console.print((dependency or metrics["comparison"] or metrics["baseline"])["verdict"], highlight=False)
    reproduction = metrics.get("reproduction")
    if reproduction:
        published = Table("network", "figure", "published", "measured (mean ± sd)")
        for name in metrics["architectures"]:
            for part in ("train", "test"):
                for key in ("loss", "accuracy"):
                    value = reproduction[name]["measured"][part][key]
                    spread = f" ± {value['sd']:.4f}" if value["sd"] is not None else ""
                    shown = f"{value['mean']:.4f}{spread}" if value["mean"] is not None else "–"
                    published.add_row(name, f"{part} {key}", f"{reproduction[name]['published'][part][key]:.4f}", shown)
        console.print(published)
        console.print(reproduction["sentence"], highlight=False)
    console.print(f"Results: {folder}", highlight=False, soft_wrap=True)


def print_assessment(found: dict[str, Any]) -> None:
    """What `evaluate` found, on standard output."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    part = "its own test part" if found["part"] == "test" else "all of it"
    console.print(f"{found['data']}, {part}: {found['reviews']:,} reviews", highlight=False)
    if found["trained_on"]:
        console.print(
            f"warning: {found['trained_on']:,} of them were in the run's training or validation data, word for word",
            highlight=False,
        )
    table = Table("network", "reviews", "accuracy", "AUC", "loss", "F1", "Brier score", title="with 95 % intervals")
    for name, entry in found["models"].items():
        for what, each in ((name, entry["all"]), (f"{name}, new texts", entry["not_trained_on"])):
            if each:
                cells = [_with_interval(each, key) for key in ("accuracy", "auc", "loss", "f1", "brier")]
                table.add_row(what, f"{each['reviews']:,}", *cells)
    console.print(table)
    if found["comparison"]:
        console.print(found["comparison"]["verdict"], highlight=False)


def _with_interval(each: dict[str, Any], key: str) -> str:
    value, interval = each["scores"][key], each["ci95"][key]
    if value is None:
        return "–"
    return f"{value:.4f}" + (f"\n{interval[0]:.4f} to {interval[1]:.4f}" if interval else "")


def print_facts(facts: dict[str, Any]) -> None:
    """What `check` found, on standard output."""
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            shown = ", ".join(
                f"{name} {', '.join(each) if isinstance(each, list) else each}" for name, each in value.items() if each
            )
        print(f"{key.replace('_', ' ')}: {'–' if shown in (None, '') else shown}")


def print_inspection(report: dict[str, Any]) -> None:
    """What `data inspect` found, on standard output."""
    for key, value in report.items():
        if key == "faults":
            for fault in value or ["none found"]:
                print(f"fault: {fault}" if value else "faults: none found")
        elif isinstance(value, dict):
            print(f"{key}: " + ", ".join(f"{name.replace('_', ' ')} {each:,}" for name, each in value.items()))
        else:
            print(f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
