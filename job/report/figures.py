"""The figures of a run's report, each with its title and what it says in words."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis.scores import is_right
from job.output.finished import FinishedRun
from job.presets import Architecture, ModelName
from job.records.trials import ArchitectureRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One of them."""

    name: str
    title: str
    text: str
    svg: str


def make(run: FinishedRun, best: dict[Architecture, NDArray[np.float32]]) -> list[Figure]:
    """Those that a run has something to show for.

    Args:
        best: By network, the probabilities of its best seed, <float32>[test reviews].
    """
    # Only now: Matplotlib wants a writable folder, which the surroundings name by then, and takes half a second.
    from job.report import drawing, plots

    metrics = run.metrics
    entries = {name: metrics.architectures[name] for name in best}
    made: list[Figure] = []

    def add(name: str, title: str, text: str, paint: Any, height: float = drawing.HEIGHT) -> None:
        made.append(Figure(name=name, title=title, text=text, svg=drawing.draw(name, paint, height=height)))

    if best:
        baseline = metrics.baseline.test.accuracy
        said = "; ".join(f"{name.title} {entry.summary.test_accuracy.mean:.4f}" for name, entry in entries.items())
        has_interval = any(entry.summary.test_accuracy.ci95 for entry in entries.values())
        what = "Points are seeds, the bar is their mean with its 95 % interval" if has_interval else "One seed of each network"
        add("accuracy", "Test accuracy by seed", f"{what}: {said}; baseline {baseline:.4f}.", plots.accuracies(entries, baseline))  # fmt: skip
    memory = metrics.dependency
    if memory:
        add("distance", "How far back each network remembers", "Test accuracy against the distance of the two clues, mean over seeds, with 95 % intervals of the plain networks.", plots.by_distance(memory))  # fmt: skip
        add("gradient", "How far back the gradient reaches", f"Norm of the decision's gradient by a token's embedding, in shares of the last token's, after training at distance {memory.distances[-1]}.", plots.gradients(memory))  # fmt: skip
    elif any(result.history for _, result in run.trials):
        for key in ("loss", "accuracy"):
            add(f"curve-{key}", f"{key.capitalize()} by epoch", f"Training (hollow, dotted) and validation (filled) {key}, of each seed.", plots.curves(run.trials, key))  # fmt: skip
    of_best = {name: best_run(entry) for name, entry in entries.items()}
    if best and 0 < run.labels.sum() < len(run.labels):
        aucs = "; ".join(f"{name.title} {trial.test.auc:.4f}" for name, trial in of_best.items() if trial.test)
        curves = {str(name): probabilities for name, probabilities in best.items()}
        curves[ModelName.baseline] = run.baseline.probabilities
        add("roc", "ROC curve", f"Of the best seed by validation loss; area under it: {aucs}.", plots.roc(run.labels, curves))  # fmt: skip
        tests = {name.title: trial.test for name, trial in of_best.items()} | {"baseline": metrics.baseline.test}
        known = [(name, test.average_precision) for name, test in tests.items() if test and test.average_precision is not None]
        precisions = "; ".join(f"{name} {value:.4f}" for name, value in known) or "not in a run of before"
        add("precision-recall", "Precision and recall", f"Of the best seed by validation loss, for positive reviews; average precision: {precisions}.", plots.precision_recall(run.labels, curves))  # fmt: skip
    if best:
        calibrations = {name: trial.calibration for name, trial in of_best.items() if trial.calibration}
        said = "; ".join(f"{name.title} {each.expected_calibration_error:.3f}" for name, each in calibrations.items())
        add("reliability", "Calibration", f"Are 8 in 10 reviews with a probability of 0.8 positive? A point for each tenth of the scale, with its 95 % interval; below, how many reviews it is of. Expected calibration error: {said}.", plots.reliability(calibrations), height=3.8)  # fmt: skip
        right = {name: is_right(run.labels, run.probabilities(name)).mean(0) for name in best}
        add("length", "Accuracy by review length", "Eight groups of equal size, with 95 % intervals over reviews.", plots.by_length(np.array(run.examples.lengths), right))  # fmt: skip
    return made


def best_run(entry: ArchitectureRecord) -> TrialRecord:
    """The trial of the best seed by validation loss."""
    return next(run for run in entry.runs if run.seed == entry.best_seed)
