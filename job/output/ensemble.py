"""From the results of a run's models to what they say together."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from job.analysis import ensemble, scores, thresholds
from job.analysis.comparison import SIGNIFICANT, Answers, compare
from job.analysis.intervals import wilson
from job.output.results import BaselineResult, EnsembleResult, Trials
from job.presets import ModelName, ThresholdRule
from job.records.comparison import Comparison
from job.records.ensemble import EnsembleMember, EnsembleRecord


def compile_ensemble(
    trials: Trials,
    baseline: BaselineResult,
    labels: NDArray[np.int8],
    validation_labels: NDArray[np.int8],
    rule: ThresholdRule | float,
) -> EnsembleResult | None:
    """The ensemble of a run's models; None where there are no validation reviews to choose the weights on.

    Args:
        labels: <int8>[test reviews]
        validation_labels: <int8>[validation reviews]
        rule: How its threshold is chosen.
    """
    count = len(validation_labels)
    seeds = {ModelName(name): [each.record.seed for each in trials.members(name)] for name in trials.architectures}
    of_validation = {
        ModelName(name): [each.validation for each in trials.members(name)]
        for name in trials.architectures
        if trials.members(name)
    }
    of_validation[ModelName.baseline] = [baseline.validation]
    if not count or len(of_validation) < 2 or any(len(each) != count for many in of_validation.values() for each in many):
        return None
    of_test = {ModelName(name): [each.probabilities for each in trials.members(name)] for name in trials.architectures}
    of_test[ModelName.baseline] = [baseline.probabilities]
    votes, test_votes = _mean_votes(of_validation), _mean_votes({name: of_test[name] for name in of_validation})
    weights = ensemble.choose(validation_labels, votes)
    validation, test = ensemble.combine(votes, weights), ensemble.combine(test_votes, weights)
    judged = [
        (labels, ensemble.votes(found).astype(np.float32))
        for labels, found in ((validation_labels, validation), (labels, test))
    ]
    right = scores.is_right(labels, test)
    comparisons = _comparisons(right, trials, baseline, labels)
    record = EnsembleRecord(
        members=[EnsembleMember(name=name, seeds=seeds.get(name, []), weight=weights.get(name, 0.0)) for name in of_validation],
        validation=scores.score(*judged[0]),
        test=scores.score(*judged[1]),
        ci95=wilson(int(right.sum()), len(labels)),
        calibration=scores.calibration(labels, test),
        threshold=thresholds.decide(rule, judged[0], judged[1]),
        comparisons=comparisons,
        verdict=_verdict(comparisons),
    )
    return EnsembleResult(record, test, validation)


def _mean_votes(probabilities: Mapping[ModelName, list[NDArray[np.float32]]]) -> dict[str, NDArray[np.float64]]:
    return {str(name): np.mean([ensemble.votes(each) for each in many], axis=0) for name, many in probabilities.items()}


def _comparisons(
    right: NDArray[np.bool_], trials: Trials, baseline: BaselineResult, labels: NDArray[np.int8]
) -> dict[ModelName, Comparison]:
    mine = Answers("the ensemble", right[None], has_seeds=False)
    found = {}
    for name in trials.architectures:
        others = [scores.is_right(labels, each.probabilities) for each in trials.of(name) if len(each.probabilities)]
        if others:
            found[ModelName(name)] = compare(mine, Answers(f"the {name.title}", np.stack(others)))
    linear = Answers("the baseline", scores.is_right(labels, baseline.probabilities)[None], has_seeds=False)
    return found | {ModelName.baseline: compare(mine, linear)}


def is_best(record: EnsembleRecord) -> bool:
    """Whether it is significantly more accurate than each of its members."""
    return all(each.difference > 0 and _is_seen(each) for each in record.comparisons.values())


def _is_seen(found: Comparison) -> bool:
    return found.p_value is not None and found.p_value < SIGNIFICANT


def _verdict(comparisons: Mapping[ModelName, Comparison]) -> str:
    said = []
    for name, found in comparisons.items():
        title = f"the {name.title}"
        points = f"{100 * found.difference:+.2f} points"
        seen = "" if _is_seen(found) else ", no difference that was seen"
        said.append(f"{title} ({points}{seen})")
    return f"The ensemble against {', '.join(said[:-1])} and {said[-1]}."
