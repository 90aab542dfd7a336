"""What commands print on standard output: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from job.machine import terminal
from job.records.base import without_lone_surrogates
from job.records.metrics import Metrics
from job.records.trials import ArchitectureRecord, Scores, Summary

if TYPE_CHECKING:
    from job.analysis.scores import ScoresWithIntervals
    from job.commands.data import Inspection
    from job.commands.evaluate import Evaluation
    from job.presets import ModelName
    from job.records.memory import Memory
    from job.records.reproduction import Reproduction


_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "average precision",
    "loss": "loss",
    "brier": "Brier score",
}
"""As people write them."""


def print_json(value: Any) -> None:
    """An object, indented."""
    print(json.dumps(to_values(value), indent=2))


def to_values(value: Any) -> Any:
    """Records and dataclasses as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if is_dataclass(value):
        return {field.name: to_values(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): to_values(each) for key, each in value.items()}
    if isinstance(value, str):
        return without_lone_surrogates(value)
    return [to_values(each) for each in value] if isinstance(value, (list, tuple)) else value


def summarize(metrics: Metrics) -> str:
    """A run's test accuracies in a line."""
    means = {name: entry.summary.test_accuracy.mean for name, entry in metrics.architectures.items()}
    return ", ".join(f"{name} diverged" if mean is None else f"{name} test accuracy {mean:.4f}" for name, mean in means.items())


def print_summary(metrics: Metrics, folder: Path) -> None:
    """The closing tables of a run."""
    console = _console()
    console.print(_results(metrics, console.width))
    if metrics.dependency:
        console.print(_distances(metrics.dependency))
    _say(console, metrics.verdict)
    for told in (metrics.ensemble, metrics.self_training):
        if told:
            _say(console, told.verdict)
    if metrics.reproduction:
        console.print(_reproduction(metrics.reproduction))
        _say(console, metrics.reproduction.sentence)
    _say(console, f"Results: {folder}", soft_wrap=True)


def print_summary_line(metrics: Metrics, folder: Path) -> None:
    """The same for programs: one JSON object on one line."""
    found: dict[str, Any] = {
        name: entry.summary.test_accuracy.to_values() | {"best_seed": entry.best_seed}
        for name, entry in metrics.architectures.items()
    }
    found["baseline"] = {"mean": metrics.baseline.test.accuracy}
    if metrics.ensemble:
        found["ensemble"] = {"mean": metrics.ensemble.test.accuracy}
    told = {"event": "summary", "output": str(folder), "test_accuracy": found, "verdict": metrics.verdict}
    print(json.dumps(to_values(told)))


def _say(console: Console, text: str, soft_wrap: bool = False) -> None:
    """A sentence as it is: names in it are no markup."""
    console.print(terminal.visible(text), highlight=False, markup=False, soft_wrap=soft_wrap)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=110)


# Columns of the closing table that a narrow terminal does without.
_WIDE = 100
_LESS_TELLING = {"balanced\naccuracy", "average\nprecision", "tokens/s"}


def _results(metrics: Metrics, width: int) -> Table:
    # In lines, so that all of it fits beside one another.
    columns = ["network", "seeds", "test accuracy", "balanced\naccuracy", "AUC", "average\nprecision", "loss", "s a\nseed", "tokens/s"]  # fmt: skip
    shown = [place for place, name in enumerate(columns) if width >= _WIDE or name not in _LESS_TELLING]
    table = Table(*(columns[place] for place in shown))
    rows = [[name, *_cells(entry)] for name, entry in metrics.architectures.items()]
    for name, alone in metrics.self_training.labels_alone.items() if metrics.self_training else ():
        rows.append([f"{name}, labels alone", "1", f"{alone.test.accuracy:.4f}", *_means([alone.test]), "–", "–"])
    test = metrics.baseline.test
    rows.append(["baseline", "–", f"{test.accuracy:.4f}", *_means([test]), f"{metrics.baseline.seconds:.1f}", "–"])
    if metrics.ensemble:
        together = metrics.ensemble.test
        rows.append(["ensemble", "–", f"{together.accuracy:.4f}", *_means([together]), "–", "–"])
    majority = metrics.data.majority
    if majority:
        rows.append([f"always {majority.label}", "–", f"{majority.test_accuracy:.4f}", *6 * ["–"]])
    for cells in rows:
        table.add_row(*(cells[place] for place in shown))
    return table


def _cells(entry: ArchitectureRecord) -> list[str]:
    finished = [run for run in entry.runs if run.status == "finished"]
    lost = len(entry.runs) - len(finished)
    return [
        f"{len(finished)}" + (f" ({lost} diverged)" if lost else ""),
        _with_spread(entry.summary.test_accuracy, "{:.4f}"),
        *_means([run.test for run in finished if run.test]),
        _mean((run.seconds for run in finished), "{:.1f}"),
        _mean((run.tokens_per_second for run in finished), "{:,.0f}"),
    ]


def _means(tests: list[Scores]) -> list[str]:
    """Of what stands between a network's accuracy and its speed."""
    names = ("balanced_accuracy", "auc", "average_precision", "loss")
    return [_mean((getattr(test, name) for test in tests), "{:.4f}") for name in names]


def _mean(values: Iterable[float | None], shown: str) -> str:
    """Of values that are all known: what some seeds lack has no mean over seeds."""
    known = [*values]
    present = [value for value in known if value is not None]
    return shown.format(sum(present) / len(present)) if present and len(present) == len(known) else "–"


def _with_spread(summary: Summary, shown: str) -> str:
    if summary.mean is None:
        return "–"
    return shown.format(summary.mean) + (f" ± {shown.format(summary.sd)}" if summary.sd is not None else "")


def _distances(memory: "Memory") -> Table:
    table = Table("network", "trained", *map(str, memory.distances), title="test accuracy by distance")
    for network in memory.networks:
        means = [point.test_accuracy.mean for point in network.points]
        cells = ["–" if mean is None else f"{mean:.3f}" for mean in means]
        table.add_row(network.architecture, Text(terminal.visible(network.remedy or "plain")), *cells)
    table.add_row("bag of words", "–", *(f"{bag.accuracy:.3f}" for bag in memory.bag_of_words))
    return table


def _reproduction(reproduction: "Reproduction") -> Table:
    table = Table("network", "figure", "published", "measured (mean ± sd)")
    for name in ("rnn", "lstm"):
        network = getattr(reproduction, name)
        for part in ("train", "test") if network else ():
            for key in ("loss", "accuracy"):
                published = getattr(getattr(network.published, part), key)
                measured = getattr(getattr(network.measured, part), key)
                table.add_row(name, f"{part} {key}", f"{published:.4f}", _with_spread(measured, "{:.4f}"))
    return table


def print_evaluation(found: "Evaluation") -> None:
    """What `evaluate` found."""
    console = _console()
    part = "its own test part" if found.part == "test" else "all of it"
    _say(console, f"{found.data}, {part}: {found.reviews:,} reviews")
    if found.trained_on:
        _say(console, f"warning: {found.trained_on:,} of them were in the run's training or validation data, word for word")
    said = ", ".join(f"{name} {model.threshold:.4g}" for name, model in found.models.items())
    _say(console, f"labelled positive above: {said}")
    console.print(_scores({name: model.all for name, model in found.models.items()}, "with 95 % intervals"))
    new = {name: model.not_trained_on for name, model in found.models.items() if model.not_trained_on}
    if new:
        console.print(_scores(new, "new texts alone"))
    if found.majority:
        _say(
            console,
            f"Always answering {found.majority.label}, as most of the run's training texts are, gets an accuracy of "
            f"{found.majority.accuracy:.4f} ({found.majority.ci95[0]:.4f} to {found.majority.ci95[1]:.4f}).",
        )
    if found.verdict:
        _say(console, found.verdict)


def _scores(models: "Mapping[ModelName, ScoresWithIntervals]", title: str) -> Table:
    table = Table("score", *models, title=title)
    table.add_row("reviews", *(f"{scored.reviews:,}" for scored in models.values()))
    for key, shown in _SCORES.items():
        table.add_row(shown, *(_with_interval(scored, key) for scored in models.values()))
    return table


def evaluation_values(found: "Evaluation") -> dict[str, Any]:
    """What `evaluate --json` prints."""
    values = to_values(found)
    said = values.pop("verdict")
    if values["comparison"] is not None:
        values["comparison"]["verdict"] = said
    return dict(values)


def _with_interval(scored: "ScoresWithIntervals", key: str) -> str:
    value, interval = getattr(scored.scores, key), scored.ci95[key]
    if value is None:
        return "–"
    return f"{value:.4f}" + (f"\n{interval[0]:.4f} to {interval[1]:.4f}" if interval else "")


def print_check(values: dict[str, Any]) -> None:
    """What `check` found: first whether it works, then the facts that there are."""
    told = dict(values)
    works, problem, together = told.pop("works"), told.pop("problem"), told.pop("together", None)
    state = {True: "works", False: "does not work", None: "none"}[works]
    lines = [f"GPU: {state}" + (f"; {problem}" if problem else "")]
    if together:
        count, sums = together["processes"], together["works"]
        said = f"right, {together['mib_per_second']:,.0f} MiB/s" if sums else together["error"]
        lines.append(f"sum over {count} processes: {said}")
    for key, value in told.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            known = {name: ", ".join(each) if isinstance(each, list) else each for name, each in value.items() if each}
            shown = ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in known.items())
        if shown not in (None, "", False) and key != "present":
            lines.append(f"{key.replace('_', ' ')}: {shown}")
    for line in lines:
        print(terminal.visible(line))


def print_inspection(report: "Inspection") -> None:
    """What `data inspect` found."""
    from job.data import findings

    for key, value in asdict(report).items():
        if key == "faults":
            for fault in value or ["none found"]:
                print(terminal.visible(f"fault: {fault}" if value else "faults: none found"))
        elif key == "reading":
            print(terminal.visible(f"read: {findings.describe(report.reading)}"))
            for notice in report.reading.notices:
                print(terminal.visible(f"notice: {notice}"))
        elif isinstance(value, dict):
            figures = [f"{name.replace('_', ' ')} {each:,}" for name, each in value.items() if each is not None]
            print(terminal.visible(f"{key}: {', '.join(figures)}"))
        elif value is not None:
            print(terminal.visible(f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"))
