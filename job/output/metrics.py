"""From the results of single trials to the content of metrics.json."""

import numpy as np
from numpy.typing import NDArray

from job.analysis.comparison import SIGNIFICANT, Answers, compare, verdict
from job.analysis.intervals import summarize_shares
from job.analysis.memory import compile_memory
from job.analysis.reproduction import reproduce
from job.analysis.scores import is_right
from job.output.results import BaselineResult, EnsembleResult, Teaching, Trials
from job.output.selftraining import compile_selftraining
from job.presets import Architecture, PresetName
from job.records.comparison import BaselineEntry, Comparison, NetworkComparison
from job.records.metrics import SCHEMA_VERSION, DataRecord, Majority, Metrics
from job.records.run import RunRecord
from job.records.trials import ArchitectureRecord, Summaries

_Answers = dict[Architecture, Answers]


def compile_metrics(
    run: RunRecord,
    data: DataRecord,
    trials: Trials,
    baseline: BaselineResult,
    labels: NDArray[np.int8],
    ensemble: EnsembleResult | None = None,
    teaching: Teaching | None = None,
) -> Metrics:
    """The content of metrics.json.

    Args:
        labels: <int8>[test reviews]
    """
    architectures = {name: _architecture(trials, name) for name in trials.architectures}
    right = {name: _answers(trials, name, labels) for name in trials.architectures}
    answers = {name: each for name, each in right.items() if each is not None}
    against = _against_baseline(answers, baseline, labels, data.majority)
    preset = run.identity.preset
    return Metrics(
        schema_version=SCHEMA_VERSION,
        preset=preset,
        data=data,
        device=run.device,
        architectures=architectures,
        comparison=_comparison(answers, against.verdict),
        baseline=against,
        ensemble=ensemble.record if ensemble else None,
        self_training=compile_selftraining(teaching, trials, labels) if teaching else None,
        reproduction=reproduce(architectures) if preset is PresetName.seed else None,
        dependency=compile_memory(architectures, baseline.record) if preset is PresetName.dependency else None,
    )


def _architecture(trials: Trials, name: Architecture) -> ArchitectureRecord:
    records, best = [result.record for result in trials.of(name)], trials.best(name)
    accuracies = [record.test.accuracy for record in records if record.test]
    return ArchitectureRecord(
        best_seed=best.record.seed if best else None,
        threshold=best.record.threshold if best else None,
        runs=records,
        summary=Summaries(test_accuracy=summarize_shares(accuracies)),
    )


def _answers(trials: Trials, name: Architecture, labels: NDArray[np.int8]) -> Answers | None:
    """What the seeds of an architecture that did not diverge got right."""
    right = [is_right(labels, result.probabilities) for result in trials.of(name) if len(result.probabilities)]
    return Answers(f"the {name.title}", np.stack(right)) if right else None


def _comparison(answers: _Answers, of_the_baseline: str) -> NetworkComparison | None:
    """The LSTM against the SimpleRNN; None where one of them is missing."""
    if len(answers) < 2:
        return None
    one, other = answers[Architecture.lstm], answers[Architecture.rnn]
    found = compare(one, other)
    text = f"{_sentence(verdict(one, other, found))} {of_the_baseline}"
    return NetworkComparison(of=("lstm", "rnn"), **dict(found), verdict=text)


def _against_baseline(
    answers: _Answers, baseline: BaselineResult, labels: NDArray[np.int8], majority: Majority | None
) -> BaselineEntry:
    """Each network against the baseline, and in sentences which ones beat it, where there is anything to beat."""
    linear = Answers("the baseline", is_right(labels, baseline.probabilities)[None], has_seeds=False)
    idle = _Idle(majority, labels) if majority else None
    comparisons: dict[Architecture, Comparison] = {}
    perfect: list[str] = []
    weak: list[str] = []
    beaten: list[str] = []
    unbeaten: list[str] = []
    sentences: list[str] = []
    for name, each in answers.items():
        found = comparisons[name] = compare(each, linear)
        told = f"{each.name} ({100 * found.difference:+.2f} points)"
        weakness = idle.describe(each) if idle else None
        if weakness:
            sentences.append(f"{each.name} {weakness}.")
        if each.correct.all() and linear.correct.all():
            perfect.append(each.name)
        elif weakness and idle and idle.describe(linear):
            weak.append(each.name)
        else:
            (beaten if _beats(found) else unbeaten).append(told)
    if perfect:
        sentences.append(
            f"{', '.join(perfect)} and the baseline are right on every test review: these data do not tell them apart."
        )
    if weak and idle:
        sentences.append(f"The baseline, too, {idle.describe(linear)}: in accuracy there is nothing to beat.")
    if beaten:
        sentences.append(f"{' and '.join(beaten)} beat{'s' if len(beaten) == 1 else ''} the bag-of-n-grams baseline.")
    if unbeaten:
        sentences.append(f"{' and '.join(unbeaten)} did not beat the bag-of-n-grams baseline, which takes seconds.")
    record = {name: getattr(baseline.record, name) for name in baseline.record.model_fields_set}
    return BaselineEntry(**record, comparisons=comparisons, verdict=" ".join(map(_sentence, sentences)))


class _Idle:
    """Always answering the class of most training reviews: what everybody must be better than."""

    def __init__(self, majority: Majority, labels: NDArray[np.int8]) -> None:
        self._majority = majority
        self._is_positive = labels == 1
        right = self._is_positive if majority.label == "positive" else ~self._is_positive
        self._answers = Answers(f"always answering {majority.label}", right[None], has_seeds=False)

    def describe(self, each: Answers) -> str | None:
        """In what way a classifier is not shown to be better; None where it is."""
        found = compare(each, self._answers)
        if _beats(found):
            return None
        # Who is right on all reviews of a class and on none of the other one has answered that class alone.
        said = each.correct == self._is_positive
        if said.all() or not said.any():
            return f"answers {'positive' if said.all() else 'negative'} to every test review"
        accuracy = self._majority.test_accuracy
        if found.difference <= 0:
            return f"is no more accurate than {self._answers.name} ({each.accuracies.mean():.4f} against {accuracy:.4f})"
        return f"was not shown to be more accurate than {self._answers.name} ({100 * found.difference:+.2f} points on {accuracy:.4f})"


def _beats(found: Comparison) -> bool:
    return found.difference > 0 and found.p_value is not None and found.p_value < SIGNIFICANT


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
