"""report.html: one page, complete in itself, that says what a run found, the verdict first; or compares several runs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from job.analysis.comparison import Answers, compare, verdict
from job.analysis.intervals import wilson
from job.analysis.memory import describe_limit
from job.analysis.scores import LabelScores, is_positive, is_right, label_scores
from job.data.findings import describe
from job.data.originals import holds_texts
from job.machine import provenance
from job.machine.terminal import visible
from job.output.finished import FinishedRun
from job.presets import Architecture, ModelName
from job.records.base import Interval
from job.records.memory import Memory
from job.records.trials import ArchitectureRecord, CalibrationBin, Summary
from job.report import figures, settings

_THRESHOLDS = [tenth / 10 for tenth in range(1, 10)]
# Of a text that is quoted, what is no writing; its marks of direction end with the block that it stands in.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TITLES = {name: name.title for name in Architecture}


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A network's line in the table of results: means over its seeds; None where nothing is known."""

    name: str
    seeds: int
    diverged: int
    accuracy: Summary
    auc: float | None
    loss: float | None
    f1: float | None
    balanced_accuracy: float | None
    average_precision: float | None
    brier: float | None
    calibration: float | None
    seconds: float | None
    tokens_per_second: float | None
    kernel: str
    device: str


def render(run: FinishedRun) -> bytes:
    """The page of one run."""
    metrics, best = run.metrics, run.best()
    return _fill(
        "report.html.j2",
        name=run.folder.resolve().name,
        run=run,
        metrics=metrics,
        read_as=describe(metrics.data.reading) if metrics.data.reading else None,
        names=_TITLES,
        limits=_limits(metrics.dependency) if metrics.dependency else [],
        rows=_rows(run),
        figures=figures.make(run, best),
        calibrations=_calibrations(run, best),
        confusions=[_confusion(run, name, probabilities) for name, probabilities in best.items()],
        thresholds=[] if metrics.dependency else _thresholds(run, best),
        examples=_examples(run),
        words_alone=_why_words(run),
        command=provenance.command(run.record.configuration),
        hosts=list(dict.fromkeys((start.host.name, start.host.describe()) for start in run.record.starts)),
        described=settings.describe(run.record.identity.hyperparameters),
        settings=settings.table(run.record.identity.hyperparameters),
    )


def render_comparison(runs: list[FinishedRun]) -> bytes:
    """The page that compares runs: each one's figures, and the others against the first where the test data are the same."""
    first, *others = runs
    verdicts = []
    for run in others:
        if run.metrics.data.sha256 != first.metrics.data.sha256 or len(run.labels) != len(first.labels):
            verdicts.append(
                f"{run.folder}: its test reviews are not those of {first.folder}, so the two cannot be compared review by review."
            )
            continue
        for name in run.best().keys() & first.best().keys():
            one, other = (
                Answers(f"{name.title} of {each.folder}", is_right(each.labels, each.probabilities(name)))
                for each in (run, first)
            )
            verdicts.append(verdict(one, other, compare(one, other)))
    sections = [{"folder": str(run.folder), "run": run, "rows": _rows(run)} for run in runs]
    return _fill("comparison.html.j2", sections=sections, verdicts=sorted(verdicts), names=_TITLES)


def draw_memory(memory: Memory) -> bytes:
    """dependency.svg: how far back each network remembers, and how far back the gradient reaches."""
    from job.report import drawing, plots

    return drawing.draw_alone("dependency", memory.verdict, plots.by_distance(memory), plots.gradients(memory))


def _fill(template: str, **values: Any) -> bytes:
    import jinja2

    # Texts of reviews, names of files and columns: all of it is somebody's, so all of it is escaped.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("job.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["quoted"] = lambda text: Markup(escape(_CONTROL.sub(lambda found: visible(found[0]), text)))
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.2f} %"
    environment.filters["count"] = lambda number, noun: f"{number:,} {noun}{'' if number == 1 else 's'}"
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.4f}"
    return environment.get_template(template).render(**values).encode(errors="replace")


def _shown(value: Any) -> Any:
    """A value as it is shown: no name steers the terminal of who looks at the file, or turns the text beside it round."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(visible, value.split("\n")))
    return value


def _rows(run: FinishedRun) -> list[_Row]:
    return [_row(name, entry) for name, entry in run.metrics.architectures.items()]


def _row(name: Architecture, entry: ArchitectureRecord) -> _Row:
    finished = [run for run in entry.runs if run.status == "finished"]
    tests = [run.test for run in finished if run.test]
    return _Row(
        name=name.title,
        seeds=len(finished),
        diverged=len(entry.runs) - len(finished),
        accuracy=entry.summary.test_accuracy,
        auc=_mean([test.auc for test in tests]),
        loss=_mean([test.loss for test in tests]),
        f1=_mean([test.f1 for test in tests]),
        balanced_accuracy=_mean([test.balanced_accuracy for test in tests]),
        average_precision=_mean([test.average_precision for test in tests]),
        brier=_mean([test.brier for test in tests]),
        calibration=_mean([run.calibration.expected_calibration_error for run in finished if run.calibration]),
        seconds=_mean([run.seconds for run in finished]),
        tokens_per_second=_mean([run.tokens_per_second for run in finished]),
        kernel=", ".join(sorted({run.kernel for run in entry.runs})),
        device=", ".join(sorted({run.device for run in entry.runs})),
    )


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values and None not in values else None


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """A line of the table of distances: a network, what helps it, where it falls to chance, its accuracy at each distance."""

    name: str
    remedy: str
    limit: str
    accuracies: list[float | None]


def _limits(memory: Memory) -> list[_Limit]:
    return [
        _Limit(
            name=network.architecture.title,
            remedy=network.remedy or "as Keras makes it",
            limit=describe_limit(network.limit, memory.distances),
            accuracies=[point.test_accuracy.mean for point in network.points],
        )
        for network in memory.networks
    ]


@dataclass(frozen=True, kw_only=True)
class _Confusion:
    name: str
    title: str
    threshold: float
    counts: list[list[int]]
    """Rows: truly negative, truly positive; columns: said negative, said positive."""


def _confusion(run: FinishedRun, name: Architecture, probabilities: NDArray[np.float32]) -> _Confusion:
    threshold = run.metrics.threshold(ModelName(name))
    said, positive = is_positive(probabilities, threshold), run.labels == 1
    counts = [[int(np.sum((positive == true) & (said == each))) for each in (False, True)] for true in (False, True)]
    return _Confusion(name=name, title=name.title, threshold=threshold, counts=counts)


@dataclass(frozen=True, kw_only=True)
class _CalibrationTable:
    """How often reviews of each tenth of the scale were positive."""

    name: str
    title: str
    rows: list[tuple[CalibrationBin, Interval]]
    """The second: the 95 % interval of the share that was observed (Wilson)."""


def _calibrations(run: FinishedRun, best: Iterable[Architecture]) -> list[_CalibrationTable]:
    made = []
    for name in best:
        trial = figures.best_run(run.metrics.architectures[name])
        if trial.calibration:
            rows = [(each, wilson(each.observed * each.reviews, each.reviews)) for each in trial.calibration.bins]
            made.append(_CalibrationTable(name=name, title=name.title, rows=rows))
    return made


@dataclass(frozen=True, kw_only=True)
class _ThresholdTable:
    """A model's test scores at several thresholds."""

    name: str
    title: str
    chosen: float
    rule: str
    """By what: in words, or `given`."""
    rows: list[tuple[float, LabelScores]]
    """The thresholds, the chosen one among them, and the scores at each."""


def _thresholds(run: FinishedRun, best: dict[Architecture, NDArray[np.float32]]) -> list[_ThresholdTable]:
    models = {ModelName(name): probabilities for name, probabilities in best.items()}
    models[ModelName.baseline] = run.baseline.probabilities
    if run.ensemble:
        models[ModelName.ensemble] = run.ensemble.probabilities
    made = []
    for name, probabilities in models.items():
        chosen, rule = run.metrics.threshold(name), run.metrics.threshold_rule(name)
        values = sorted({*_THRESHOLDS, chosen})
        rows = [(value, label_scores(run.labels, is_positive(probabilities, value))) for value in values]
        rule = "balanced accuracy" if rule == "balanced" else rule
        made.append(_ThresholdTable(name=name, title=name.title, chosen=chosen, rule=rule, rows=rows))
    return made


@dataclass(frozen=True, kw_only=True)
class _Example:
    number: int
    label: str
    place: str | None
    """Where it stands in the source; None where a run of before does not say."""
    is_original: bool
    """Whether the text is as it stands there; else it is its words."""
    said: dict[str, float]
    """Mean probabilities by network."""
    text: str


@dataclass(frozen=True, kw_only=True)
class _Group:
    title: str
    reviews: list[_Example]


def _examples(run: FinishedRun) -> list[_Group]:
    chosen, originals = run.examples, set(run.examples.originals)
    means = {name.title: run.probabilities(name).mean(0) for name in run.best()}
    groups = [(f"Most wrong: {name.title}", numbers) for name, numbers in chosen.most_wrong.items()]
    groups.append(("Where the two disagree most", chosen.disagreements))

    def example(number: int) -> _Example:
        return _Example(
            number=number,
            label=("negative", "positive")[int(run.labels[number])],
            place=_place(run, number),
            is_original=number in originals,
            said={name: float(mean[number]) for name, mean in means.items()},
            text=chosen.texts[str(number)],
        )

    return [_Group(title=title, reviews=[example(each) for each in numbers]) for title, numbers in groups if numbers]


def _place(run: FinishedRun, number: int) -> str | None:
    """Where a test review stands in the source: its file, or its row, and what the user knows it by."""
    if run.test.rows is None:
        return None
    asked, known = run.record.configuration, run.test.ids[number] if run.test.ids else None
    name = Path(asked.test_data).name if asked.test_data else run.metrics.data.name
    if known is not None and asked.id_column is None:
        return f"{known} in {name}"
    row = f"row {run.test.rows[number]:,} of {name}{'' if holds_texts(asked.data) else ', test part'}"
    return row if known is None else f"{known}, {row}"


def _why_words(run: FinishedRun) -> str:
    """Why the words of a review stand in place of its text."""
    if not holds_texts(run.record.configuration.data):
        return "the data are numbers that stand for words"
    if "originals" not in run.examples.model_fields_set:
        return "the run is of an earlier version, which kept no texts"
    return "when the run was finished, the data no longer held the text"
