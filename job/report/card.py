"""README.md beside an exported model: a model card, with the metadata that Hugging Face's Hub reads at its beginning."""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis.scores import with_intervals
from job.data.findings import describe
from job.machine import provenance
from job.machine.terminal import visible
from job.output.finished import FinishedRun, model_file
from job.presets import PAD, START, UNKNOWN, Architecture, Hyperparameters, ModelName
from job.records.base import Interval
from job.records.trials import Scores, TrialRecord

_TITLES = {
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "f1": "F1",
    "loss": "loss (cross-entropy in nats)",
    "precision": "precision",
    "recall": "recall",
    "balanced_accuracy": "balanced accuracy",
    "average_precision": "average precision",
    "brier": "Brier score",
}
# By what the Hub calls them.
_ON_THE_HUB = {"accuracy": "accuracy", "roc_auc": "auc", "f1": "f1", "loss": "loss"}
# The Hub's names of what is known by a name of ours.
_DATASETS = {"imdb": "stanfordnlp/imdb"}
_ENGLISH = ("imdb", "embedded")


@dataclass(frozen=True, kw_only=True)
class _Score:
    title: str
    value: float
    ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class _Tested:
    """What a model said of test reviews."""

    scores: Scores
    """Those of metrics.json, at the model's threshold."""
    labels: NDArray[np.int8]
    """<int8>[test reviews]"""
    probabilities: NDArray[np.float32]
    """<float32>[test reviews]"""

    def table(self, threshold: float) -> list[_Score]:
        """Each score that there is, with its 95 % interval over the choice of reviews."""
        intervals = with_intervals(self.labels, self.probabilities, threshold).ci95
        values = {name: getattr(self.scores, name) for name in _TITLES}
        return [
            _Score(title=_TITLES[name], value=value, ci95=intervals[name])
            for name, value in values.items()
            if value is not None
        ]


def render(run: FinishedRun, name: ModelName) -> bytes:
    """The card of a model that the run exported."""
    record, metrics = run.record, run.metrics
    network = Architecture(name) if name.is_network else None
    best = run.trials.best(network) if network else None
    tested, threshold = _tested(run, name), metrics.threshold(name)
    versions = [record.versions, *(each.versions for each in record.shards)]
    return _fill(
        name=name,
        run=run,
        record=record,
        metrics=metrics,
        plan=record.configuration,
        is_english=record.configuration.data in _ENGLISH,
        dataset=_DATASETS.get(record.configuration.data),
        on_the_hub={each: value for each, own in _ON_THE_HUB.items() if (value := getattr(tested.scores, own)) is not None},
        best=best.record if best else None,
        kept=_kept(best.record)[0] if best else None,
        entry=metrics.architectures[network] if network else None,
        values=record.identity.hyperparameters[network] if network else None,
        tokens=_tokens_read(record.identity.hyperparameters, network),
        threshold=threshold,
        rule={"balanced": "balanced accuracy"}.get(metrics.threshold_rule(name), metrics.threshold_rule(name)),
        tested=len(tested.labels),
        scores=tested.table(threshold),
        read_as=describe(metrics.data.reading) if metrics.data.reading else None,
        command=provenance.command(record.configuration),
        devices=sorted({record.device.name, *(each.device.name for each in record.shards)}),
        versions=sorted({f"{key} {value}" for each in versions for key, value in each.items()}),
        # Without its name, which is nobody's business where a model is published.
        hosts=list(dict.fromkeys(start.host.describe() for start in record.starts)),
        file=model_file(name),
        ids={"start": START, "unknown": UNKNOWN, "padding": PAD},
    )


def _tested(run: FinishedRun, name: ModelName) -> _Tested:
    metrics = run.metrics
    if name is ModelName.ensemble:
        assert metrics.ensemble is not None
        assert run.ensemble is not None
        return _Tested(scores=metrics.ensemble.threshold.test, labels=run.labels, probabilities=run.ensemble.probabilities)
    if not name.is_network:
        linear = metrics.baseline
        said = linear.threshold.test if linear.threshold else linear.test
        return _Tested(scores=said, labels=run.labels, probabilities=run.baseline.probabilities)
    best = run.trials.best(Architecture(name))
    assert best is not None
    record, first = _kept(best.record)
    own = slice(first, first + record.test_reviews)
    scores = record.threshold.test if record.threshold else record.test
    assert scores is not None
    return _Tested(scores=scores, labels=run.labels[own], probabilities=best.probabilities[own])


def _kept(record: TrialRecord) -> tuple[TrialRecord, int]:
    """The record of the network that is exported, and the place of its first test review.

    Over distances, a trial's figures are sums and means over several networks, of which one is exported.
    """
    plain = [each for each in record.trainings if each.remedy is None]
    if not plain:
        return record, 0
    place = [each.distance for each in plain].index(record.model_distance)
    return plain[place], sum(each.test_reviews for each in plain[:place])


def _tokens_read(values: dict[Architecture, Hyperparameters], network: Architecture | None) -> int:
    """How many tokens of a text's end a network reads at most; of an ensemble's networks the one that reads the most."""
    return values[network].max_tokens if network else max(each.max_tokens for each in values.values())


class _Ready(str):
    """Markdown or YAML as it is to stand there."""

    __slots__ = ()


def to_yaml(value: str | float) -> _Ready:
    """A scalar that YAML reads back as it is, on one line. A text is a JSON string, which is YAML, too."""
    if not isinstance(value, str):
        # To YAML 1.1, 1e-06 is a text.
        return _Ready(re.sub(r"^(-?\d+)e", r"\1.0e", repr(value)))
    shown = json.dumps(value, ensure_ascii=False)
    return _Ready("".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in shown))


def to_text(value: object) -> _Ready:
    """A text in Markdown that is no markup, on one line."""
    line = " ".join(str(value).split())
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
    return _Ready(re.sub(r"([\\`*_\[\]<>&#|~$])", r"\\\1", shown))


def _fenced(value: str, language: str) -> _Ready:
    """A block of code."""
    # What nobody sees in a command is not to be copied unseen.
    shown = "\n".join(map(visible, value.split("\n")))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", value)), default=0))
    return _Ready(f"{fence}{language}\n{shown}\n{fence}")


def _fill(**values: Any) -> bytes:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("job.report", "templates"),
        # Markdown is not HTML: what is somebody's text is escaped by `to_text`, unless a filter has made it ready.
        autoescape=False,
        finalize=lambda value: value if isinstance(value, _Ready) else to_text(value),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "yaml": to_yaml,
        "fenced": _fenced,
        "number": lambda value: f"{value:.4f}",
        "count": lambda value: f"{value:,}",
        "percent": lambda value: f"{100 * value:.2f} %",
    }
    return environment.get_template("card.md.j2").render(**values).encode(errors="replace")
