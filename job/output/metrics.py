"""From the results of single trials to the content of metrics.json."""

import numpy as np
from numpy.typing import NDArray

from job.analysis.comparison import SIGNIFICANT, Answers, compare, verdict
from job.analysis.intervals import summarize_shares
from job.analysis.memory import compile_memory
from job.analysis.reproduction import reproduce
from job.analysis.scores import is_right
from job.output.results import BaselineResult, Trials
from job.presets import Architecture, PresetName
from job.records.comparison import BaselineEntry, Comparison, NetworkComparison
from job.records.metrics import SCHEMA_VERSION, DataRecord, Metrics
from job.records.run import RunRecord
from job.records.trials import ArchitectureRecord, Summaries

_Answers = dict[Architecture, Answers]


def compile_metrics(
    run: RunRecord, data: DataRecord, trials: Trials, baseline: BaselineResult, labels: NDArray[np.int8]
) -> Metrics:
    """The content of metrics.json.

    Args:
        labels: <int8>[test reviews]
    """
    architectures = {name: _architecture(trials, name) for name in trials.architectures}
    right = {name: _answers(trials, name, labels) for name in trials.architectures}
    answers = {name: each for name, each in right.items() if each is not None}
    against = _against_baseline(answers, baseline, labels)
    preset = run.identity.preset
    return Metrics(
        schema_version=SCHEMA_VERSION,
        preset=preset,
        data=data,
        device=run.device,
        architectures=architectures,
        comparison=_comparison(answers, against.verdict),
        baseline=against,
        reproduction=reproduce(architectures) if preset is PresetName.seed else None,
        dependency=compile_memory(architectures, baseline.record) if preset is PresetName.dependency else None,
    )


def _architecture(trials: Trials, name: Architecture) -> ArchitectureRecord:
    records, best = [result.record for result in trials.of(name)], trials.best(name)
    accuracies = [record.test.accuracy for record in records if record.test]
    return ArchitectureRecord(
        best_seed=best.record.seed if best else None,
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


def _against_baseline(answers: _Answers, baseline: BaselineResult, labels: NDArray[np.int8]) -> BaselineEntry:
    """Each network against the baseline, and in a sentence which ones beat it."""
    linear = Answers("the baseline", is_right(labels, baseline.probabilities)[None], has_seeds=False)
    comparisons: dict[Architecture, Comparison] = {}
    beaten: list[str] = []
    unbeaten: list[str] = []
    for name, each in answers.items():
        found = comparisons[name] = compare(each, linear)
        beats = found.difference > 0 and found.p_value is not None and found.p_value < SIGNIFICANT
        (beaten if beats else unbeaten).append(f"{each.name} ({100 * found.difference:+.2f} points)")
    sentences = []
    if beaten:
        sentences.append(f"{' and '.join(beaten)} beat{'s' if len(beaten) == 1 else ''} the bag-of-bigrams baseline.")
    if unbeaten:
        sentences.append(f"{' and '.join(unbeaten)} did not beat the bag-of-bigrams baseline, which takes seconds.")
    record = {name: getattr(baseline.record, name) for name in baseline.record.model_fields_set}
    return BaselineEntry(**record, comparisons=comparisons, verdict=" ".join(map(_sentence, sentences)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
