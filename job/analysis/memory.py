"""How far back each network remembers, from its trials at growing distances: the `dependency` entry of metrics.json.

A trial is at chance where guessing would get as many test reviews right once in a thousand times. A seed's limit is
the first distance at which it is at chance; all that is known of the true one is that it lies between that distance and
the one before. Means and intervals over seeds are of the distances' logarithms.
"""

import math
from collections.abc import Mapping

import numpy as np

from job.analysis.intervals import summarize, summarize_shares, wilson
from job.presets import Architecture
from job.records.memory import BagOfWords, GradientShare, Memory, MemoryLimit, MemoryNetwork, MemoryPoint
from job.records.trials import ArchitectureRecord, BaselineDistance, BaselineRecord, DistanceRecord

# How rarely guessing may look like knowing, in one of the many trials of a run.
_GUESS = 1e-3
Bounds = tuple[float | None, float | None]
"""Between which distances a seed falls to chance: None below the first one, or beyond the last one."""


def compile_memory(architectures: Mapping[Architecture, ArchitectureRecord], baseline: BaselineRecord) -> Memory:
    """The `dependency` entry, from the `architectures` entry and the baseline's."""
    networks = []
    for name, entry in architectures.items():
        trials = [trial for run in entry.runs for trial in run.trainings]
        remedies = list(dict.fromkeys(trial.remedy for trial in trials))
        networks += [_network(name, remedy, [trial for trial in trials if trial.remedy == remedy]) for remedy in remedies]
    distances = [point.distance for point in networks[0].points]
    reviews = {trial.distance: trial.test_reviews for entry in architectures.values() for trial in entry.runs[0].trainings}
    words = [_bag_of_words(trial, reviews[trial.distance]) for trial in baseline.trainings]
    return Memory(distances=distances, networks=networks, bag_of_words=words, verdict=_verdict(networks, words, distances))


def _network(architecture: Architecture, remedy: str | None, trials: list[DistanceRecord]) -> MemoryNetwork:
    distances = sorted({trial.distance for trial in trials})
    seeds = sorted({trial.seed for trial in trials})
    by_seed = [{trial.distance: trial for trial in trials if trial.seed == seed} for seed in seeds]
    return MemoryNetwork(
        architecture=architecture,
        remedy=remedy,
        points=[_point(distance, [each[distance] for each in by_seed]) for distance in distances],
        limit=_limit([_bounds(each, distances) for each in by_seed]),
    )


def _point(distance: int, trials: list[DistanceRecord]) -> MemoryPoint:
    """One distance: over the seeds that did not diverge."""
    finished = [trial for trial in trials if trial.test]
    steps = [trial.steps_until_learned for trial in finished if trial.steps_until_learned is not None]
    norms = [{one.back: one.norm for one in trial.gradient_norms or []} for trial in finished]
    shared = sorted(set.intersection(*map(set, norms))) if norms else []
    return MemoryPoint(
        distance=distance,
        diverged=len(trials) - len(finished),
        test_accuracy=summarize_shares([trial.test.accuracy for trial in finished if trial.test]),
        above_chance=sum(not _is_at_chance(trial) for trial in finished),
        learned=len(steps),
        steps_until_learned=summarize([float(count) for count in steps]),
        # Of each seed in shares of its last token's, as a network that is sure has large gradients everywhere.
        gradient_norms=[
            GradientShare(back=back, share=float(np.exp(np.mean([_log_share(each, back) for each in norms]))))
            for back in shared
        ],
    )


def _log_share(norms: dict[int, float], back: int) -> float:
    least = float(np.finfo(np.float32).tiny)
    return math.log(max(norms[back], least) / max(norms[0], least))


def _is_at_chance(trial: DistanceRecord) -> bool:
    """Whether guessing would do as well; a trial that diverged is no better."""
    return trial.test is None or _is_guess(trial.test.accuracy, trial.test_reviews)


def _is_guess(accuracy: float, reviews: int) -> bool:
    from scipy.stats import binom

    return bool(binom.sf(round(accuracy * reviews) - 1, reviews, 0.5) > _GUESS)


def _bounds(trials: dict[int, DistanceRecord], distances: list[int]) -> Bounds:
    """Of one seed's trials by distance."""
    for place, distance in enumerate(distances):
        if _is_at_chance(trials[distance]):
            return (float(distances[place - 1]) if place else None), float(distance)
    return float(distances[-1]), None


def _limit(bounds: list[Bounds]) -> MemoryLimit:
    """Where seeds fall to chance: the mean, and its interval.

    It reaches from the mean of the lower bounds to that of the upper ones, widened on both sides by Student's t over seeds.
    Both are null where a bound is not known, and the interval for one seed.
    """
    known = [(lower, upper) for lower, upper in bounds if lower is not None and upper is not None]
    if len(known) < len(bounds):
        return MemoryLimit(seeds=bounds, tokens=None, ci95=None)
    lower, upper = np.log(np.array(known)).T
    middle = (lower + upper) / 2
    limit = MemoryLimit(seeds=bounds, tokens=float(np.exp(middle.mean())), ci95=None)
    interval = summarize(middle.tolist()).ci95
    if interval is None:
        return limit
    half = (interval[1] - interval[0]) / 2
    return limit.but(ci95=(float(np.exp(lower.mean() - half)), float(np.exp(upper.mean() + half))))


def _bag_of_words(trial: BaselineDistance, reviews: int) -> BagOfWords:
    accuracy = trial.test.accuracy
    return BagOfWords(
        distance=trial.distance,
        accuracy=accuracy,
        ci95=wilson(accuracy * reviews, reviews),
        at_chance=_is_guess(accuracy, reviews),
    )


def _verdict(networks: list[MemoryNetwork], words: list[BagOfWords], distances: list[int]) -> str:
    plain = {network.architecture: network for network in networks if network.remedy is None}
    sentences = [f"The {name.title} {describe_limit(network.limit, distances)}." for name, network in plain.items()]
    if len(plain) == 2:
        sentences.append(_compared(plain[Architecture.rnn].limit, plain[Architecture.lstm].limit))
    known = [bag.distance for bag in words if not bag.at_chance]
    where = "at every distance" if not known else f"at all distances but {' and '.join(map(str, known))}"
    sentences.append(f"A bag of words and word pairs is at chance {where}.")
    return " ".join(sentences)


def describe_limit(limit: MemoryLimit, distances: list[int]) -> str:
    """Where a network falls to chance, in words."""
    seeds = limit.seeds
    count = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    if limit.tokens is not None:
        low, high = limit.ci95 or seeds[0]
        within = f"95 % interval {low:.0f} to {high:.0f}, " if limit.ci95 else f"between {low:.0f} and {high:.0f}, "
        return f"falls to chance at {limit.tokens:.0f} tokens ({within}{count})"
    beyond = sum(upper is None for _, upper in seeds)
    if beyond == len(seeds):
        return f"does not fall to chance up to {distances[-1]} tokens ({count})"
    below = sum(lower is None for lower, _ in seeds)
    if below == len(seeds):
        return f"is at chance from {distances[0]} tokens on ({count})"
    ends = [f"{lower or 0:.0f} to {'more' if upper is None else f'{upper:.0f}'}" for lower, upper in seeds]
    return f"falls to chance at distances that these leave open ({count}: {', '.join(ends)} tokens)"


def _compared(rnn: MemoryLimit, lstm: MemoryLimit) -> str:
    """Seed by seed, whose limit is further away."""
    pairs = [(_upper(one), _upper(other)) for one, other in zip(rnn.seeds, lstm.seeds, strict=False)]
    rnn_further, lstm_further = sum(one > other for one, other in pairs), sum(other > one for one, other in pairs)
    if not rnn_further and not lstm_further:
        return "In no seed does one of them remember further than the other."
    text = f"The LSTM remembers further in {lstm_further} of {len(pairs)} seeds, the SimpleRNN in {rnn_further}."
    if rnn_further >= lstm_further:
        text += " So that an LSTM remembers further does not hold here, as Keras's layers come and with these steps."
    return text


def _upper(bounds: Bounds) -> float:
    return math.inf if bounds[1] is None else bounds[1]
