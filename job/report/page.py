"""report.html: one page, complete in itself, that says what a run found, the verdict first; or compares several runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis.comparison import Answers, compare, verdict
from job.analysis.memory import describe_limit
from job.errors import MissingInputError
from job.machine import provenance
from job.output.finished import validate
from job.output.folder import DEPENDENCY, Output, Result
from job.output.metrics import BASELINE, Results, predictions
from job.report import examples

REPORT = "report.html"
_NAMES = {"rnn": "SimpleRNN", "lstm": "LSTM"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a report is made of."""

    name: str
    """Of its folder."""
    metrics: dict[str, Any]
    record: dict[str, Any]
    """The content of run.json."""
    histories: dict[str, dict[int, list[dict[str, Any]]]]
    """By architecture and seed the rows of history.csv."""
    predictions: dict[tuple[str, int], NDArray[np.float32]]
    """By architecture and seed, <float32>[test reviews]; the baseline's among them."""
    labels: NDArray[np.int8]
    """<int8>[test reviews]"""
    examples: dict[str, Any]
    """As of `examples.choose`."""

    def best(self) -> dict[str, NDArray[np.float32]]:
        """The probabilities of each architecture's best seed, whose model is in the run's folder."""
        entries = self.metrics["architectures"].items()
        return {name: self.predictions[name, entry["best_seed"]] for name, entry in entries if entry["best_seed"] is not None}

    def correct(self, name: str) -> NDArray[np.bool_]:
        """What each finished seed of an architecture got right, <bool>[seeds, reviews]."""
        seeds = sorted(seed for other, seed in self.predictions if other == name)
        return np.stack([(self.predictions[name, seed] > 0.5) == (self.labels == 1) for seed in seeds])


def read(folder: Path) -> Run:
    """A finished run, from its folder.

    Raises:
        MissingInputError: There is none.
        DataError: A file of it, but for its report, was changed.
    """
    validate(folder, but=REPORT)
    output = Output(folder)
    metrics, record = output.read_json("metrics.json"), output.read_json("run.json")
    assert metrics is not None
    assert record is not None
    if not (folder / examples.EXAMPLES).exists():
        raise MissingInputError(
            f"{folder}: has no {examples.EXAMPLES}, so another version of this program made it; train again"
        )
    return Run(
        name=folder.resolve().name,
        metrics=metrics,
        record=record,
        histories={name: output.read_history(name) for name in metrics["architectures"]},
        predictions=output.read_predictions(),
        labels=output.read_labels(),
        examples=json.loads((folder / examples.EXAMPLES).read_text("utf-8")),
    )


def make(
    name: str,
    metrics: dict[str, Any],
    record: dict[str, Any],
    results: Results,
    baseline: Result,
    labels: NDArray[np.int8],
    chosen: dict[str, Any],
) -> dict[str, bytes]:
    """The page of a run that is about to be finished, and its plot of the preset dependency, by the files' names.

    Arguments as the fields of `Run`.
    """
    histories = {
        str(each): {seed: runs[seed].history for seed in sorted(runs) if runs[seed].history} for each, runs in results.items()
    }
    probabilities = predictions(results) | {(BASELINE, 0): baseline.probabilities}
    page = render(
        Run(
            name=name,
            metrics=metrics,
            record=record,
            histories=histories,
            predictions=probabilities,
            labels=labels,
            examples=chosen,
        )
    )
    dependency = metrics["dependency"]
    if not dependency:
        return {REPORT: page}
    from job.report import plots

    plot = plots.draw_alone("dependency", dependency["verdict"], plots.by_distance(dependency), plots.gradients(dependency))
    return {REPORT: page, DEPENDENCY: plot}


def rewrite(folders: list[Path]) -> Path:
    """Writes a run's report again, or one that compares several runs into the first one's folder; returns where it is."""
    runs = [read(folder) for folder in folders]
    if len(runs) == 1:
        output = Output(folders[0])
        with output.locked():
            output.replace(REPORT, render(runs[0]))
        return folders[0] / REPORT
    path = folders[0] / "comparison.html"
    with Output(folders[0]).locked():
        Output(folders[0]).write_file(path.name, render_comparison(runs, [str(folder) for folder in folders]))
    return path


def render(run: Run) -> bytes:
    """The page of one run."""
    metrics = run.metrics
    architectures = metrics["architectures"]
    best = run.best()
    figures = _figures(run, best)
    confusions = {name: _confusion(run.labels, probabilities) for name, probabilities in best.items()}
    return _fill(
        "report.html.j2",
        run=run,
        metrics=metrics,
        names=_NAMES,
        verdict=(metrics["dependency"] or metrics["comparison"] or metrics["baseline"])["verdict"],
        limits=_limits(metrics["dependency"]),
        rows=[_row(name, entry) for name, entry in architectures.items()],
        figures=figures,
        confusions=confusions,
        examples=_examples(run),
        command=provenance.command(run.record["configuration"]),
        hyperparameters=_hyperparameters(run.record["identity"]["hyperparameters"]),
    )


def render_comparison(runs: list[Run], folders: list[str]) -> bytes:
    """The page that compares runs: each one's figures, and the others against the first where the test data are the same."""
    sections, verdicts = [], []
    for run, folder in zip(runs, folders, strict=True):
        rows = [_row(name, entry) for name, entry in run.metrics["architectures"].items()]
        sections.append({"folder": folder, "run": run, "rows": rows})
        if run is runs[0]:
            continue
        if run.metrics["data"]["sha256"] != runs[0].metrics["data"]["sha256"] or len(run.labels) != len(runs[0].labels):
            verdicts.append(
                f"{folder}: its test reviews are not those of {folders[0]}, so the two cannot be compared review by review."
            )
            continue
        for name in run.best().keys() & runs[0].best().keys():
            shown = _NAMES[name]
            one, other = (
                Answers(f"{shown} of {place}", each.correct(name)) for each, place in ((run, folder), (runs[0], folders[0]))
            )
            verdicts.append(verdict(one, other, compare(one, other)))
    return _fill("comparison.html.j2", sections=sections, verdicts=sorted(verdicts), names=_NAMES)


def _fill(template: str, **values: Any) -> bytes:
    import jinja2

    # Texts of reviews, names of files and columns: all of it is somebody's, so all of it is escaped.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("job.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.2f} %"
    environment.filters["number"] = lambda value: "–" if value is None else f"{value:.4f}"
    return environment.get_template(template).render(**values).encode()


def _row(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    runs = [run for run in entry["runs"] if run["status"] == "finished"]

    def mean(*keys: str) -> float | None:
        values = []
        for run in runs:
            value: Any = run
            for key in keys:
                value = value[key]
            values.append(value)
        return float(np.mean(values)) if values and None not in values else None

    return {
        "name": _NAMES[name],
        "seeds": len(runs),
        "diverged": len(entry["runs"]) - len(runs),
        "accuracy": entry["summary"]["test_accuracy"],
        "auc": mean("test", "auc"),
        "loss": mean("test", "loss"),
        "f1": mean("test", "f1"),
        "brier": mean("test", "brier"),
        "calibration": mean("calibration", "expected_calibration_error"),
        "seconds": mean("seconds"),
        "tokens_per_second": mean("tokens_per_second"),
        "kernel": ", ".join(sorted({run["kernel"] for run in entry["runs"]})),
        "device": ", ".join(sorted({run["device"] for run in entry["runs"]})),
    }


def _figures(run: Run, best: dict[str, NDArray[np.float32]]) -> list[dict[str, str]]:
    # Only now: Matplotlib wants a writable folder, which the surroundings name by then, and takes half a second.
    from job.report import plots

    entries = run.metrics["architectures"]
    histories = {name: [runs[seed] for seed in sorted(runs)] for name, runs in run.histories.items() if runs}
    summaries = {
        name: {
            "accuracies": [each["test"]["accuracy"] for each in entry["runs"] if each["test"]],
            "ci95": entry["summary"]["test_accuracy"]["ci95"],
        }
        for name, entry in entries.items()
        if name in best
    }
    made: list[dict[str, str]] = []

    def add(name: str, title: str, text: str, paint: Any) -> None:
        made.append({"name": name, "title": title, "text": text, "svg": plots.draw(name, paint)})

    if best:
        baseline = run.metrics["baseline"]["test"]["accuracy"]
        said = "; ".join(f"{_NAMES[name]} {np.mean(each['accuracies']):.4f}" for name, each in summaries.items())
        add("accuracy", "Test accuracy by seed", f"Points are seeds, the bar is their mean with its 95 % interval: {said}; baseline {baseline:.4f}.", plots.accuracies(summaries, baseline))  # fmt: skip
    dependency = run.metrics["dependency"]
    if dependency:
        add("distance", "How far back each network remembers", "Test accuracy against the distance of the two clues, mean over seeds, with 95 % intervals of the plain networks.", plots.by_distance(dependency))  # fmt: skip
        add("gradient", "How far back the gradient reaches", f"Norm of the decision's gradient by a token's embedding, in shares of the last token's, after training at distance {dependency['distances'][-1]}; lines as beside.", plots.gradients(dependency))  # fmt: skip
    elif histories:
        for key in ("loss", "accuracy"):
            add(f"curve-{key}", f"{key.capitalize()} by epoch", f"Training (dotted) and validation (solid) {key}, each line a seed.", plots.curves(histories, key, key))  # fmt: skip
    if best and 0 < run.labels.sum() < len(run.labels):
        aucs = "; ".join(f"{_NAMES[name]} {_auc(entries[name]):.4f}" for name in best)
        curves = best | {"baseline": run.predictions[BASELINE, 0]}
        add("roc", "ROC curve", f"Of the best seed by validation loss; area under it: {aucs}.", plots.roc(run.labels, curves))
    if best:
        calibrations = {name: _best_run(entries[name])["calibration"] for name in best}
        said = "; ".join(f"{_NAMES[name]} {each['expected_calibration_error']:.3f}" for name, each in calibrations.items())
        add("reliability", "Calibration", f"Does a probability of 0.8 mean right 8 times in 10? Expected calibration error: {said}.", plots.reliability(calibrations))  # fmt: skip
        lengths = np.array(run.examples["lengths"])
        right = {name: run.correct(name).mean(0) for name in best}
        add("length", "Accuracy by review length", "Eight groups of equal size, with 95 % intervals over reviews.", plots.by_length(lengths, right))  # fmt: skip
    return made


def _limits(dependency: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Rows of a table: each network, what helps it, where it falls to chance, and its accuracy at each distance."""
    if not dependency:
        return []
    return [
        {
            "name": _NAMES[network["architecture"]],
            "remedy": network["remedy"] or "as Keras makes it",
            "limit": describe_limit(network["limit"], dependency["distances"]),
            "accuracies": [point["test_accuracy"]["mean"] for point in network["points"]],
        }
        for network in dependency["networks"]
    ]


def _best_run(entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in entry["runs"] if each["seed"] == entry["best_seed"])
    return found


def _auc(entry: dict[str, Any]) -> float:
    return float(_best_run(entry)["test"]["auc"])


def _confusion(labels: NDArray[np.int8], probabilities: NDArray[np.float32]) -> list[list[int]]:
    """Rows: truly negative, truly positive; columns: said negative, said positive."""
    said = (probabilities > 0.5).astype(int)
    return [[int(np.sum((labels == true) & (said == one))) for one in (0, 1)] for true in (0, 1)]


def _examples(run: Run) -> list[dict[str, Any]]:
    chosen = run.examples
    groups = [(f"Most wrong: {_NAMES[name]}", numbers) for name, numbers in chosen["most_wrong"].items()]
    groups.append(("Where the two disagree most", chosen["disagreements"]))
    means = {
        name: np.mean([array for (other, _), array in run.predictions.items() if other == name], axis=0) for name in run.best()
    }
    return [
        {
            "title": title,
            "reviews": [
                {
                    "number": number,
                    "label": ("negative", "positive")[int(run.labels[number])],
                    "said": {_NAMES[name]: float(mean[number]) for name, mean in means.items()},
                    "text": chosen["texts"][str(number)],
                }
                for number in numbers
            ],
        }
        for title, numbers in groups
        if numbers
    ]


def _hyperparameters(values: dict[str, dict[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Rows of a table: the setting, and its value for each architecture."""
    names = list(values)
    return [(key, [values[name][key] for name in names]) for key in values[names[0]]]
