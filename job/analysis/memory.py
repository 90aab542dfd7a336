"""How far back each network remembers: the `dependency` entry of metrics.json, from its trainings at growing distances.

A training is at chance where guessing would get as many test reviews right once in a thousand times. A seed's limit is
the first distance at which it is at chance; all that is known of the true one is that it lies between that distance and
the one before. Means and intervals over seeds are of the distances' logarithms.
"""

import math
from typing import Any

import numpy as np

from job.analysis import scores as evaluation

_NAMES = {"rnn": "SimpleRNN", "lstm": "LSTM"}
# How rarely guessing may look like knowing, in one of the many trainings of a run.
_GUESS = 1e-3


def compile_dependency(architectures: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """The `dependency` entry.

    Args:
        architectures: The `architectures` entry.
        baseline: The `baseline` entry.
    """
    networks = []
    for name, entry in architectures.items():
        trainings = [training for run in entry["runs"] for training in run["trainings"]]
        remedies = list(dict.fromkeys(training["remedy"] for training in trainings))
        networks += [_network(name, remedy, [each for each in trainings if each["remedy"] == remedy]) for remedy in remedies]
    distances = [point["distance"] for point in networks[0]["points"]]
    words = [_bag_of_words(each, architectures) for each in baseline["trainings"]]
    entry = {"distances": distances, "networks": networks, "bag_of_words": words}
    return entry | {"verdict": _verdict(networks, words, distances)}


def _network(architecture: str, remedy: str | None, trainings: list[dict[str, Any]]) -> dict[str, Any]:
    distances = sorted({training["distance"] for training in trainings})
    by_seed = {
        seed: {each["distance"]: each for each in trainings if each["seed"] == seed}
        for seed in sorted({each["seed"] for each in trainings})
    }
    points = [_point(distance, [each[distance] for each in by_seed.values()]) for distance in distances]
    return {
        "architecture": architecture,
        "remedy": remedy,
        "points": points,
        "limit": _limit([_bounds(each, distances) for each in by_seed.values()]),
    }


def _point(distance: int, trainings: list[dict[str, Any]]) -> dict[str, Any]:
    """One distance: over the seeds that did not diverge."""
    finished = [each for each in trainings if each["test"]]
    steps = [each["steps_until_learned"] for each in finished if each["steps_until_learned"] is not None]
    norms = [{one["back"]: one["norm"] for one in each["gradient_norms"]} for each in finished]
    shared = sorted(set.intersection(*map(set, norms))) if norms else []
    return {
        "distance": distance,
        "diverged": len(trainings) - len(finished),
        "test_accuracy": evaluation.summarize([each["test"]["accuracy"] for each in finished]),
        "above_chance": sum(not _is_at_chance(each) for each in finished),
        "learned": len(steps),
        "steps_until_learned": evaluation.summarize([float(each) for each in steps]),
        # Of each seed in shares of its last token's, as a network that is sure has large gradients everywhere.
        "gradient_norms": [
            {"back": back, "share": float(np.exp(np.mean([_log_share(each, back) for each in norms])))} for back in shared
        ],
    }


def _log_share(norms: dict[int, float], back: int) -> float:
    least = float(np.finfo(np.float32).tiny)
    return math.log(max(norms[back], least) / max(norms[0], least))


def _is_at_chance(training: dict[str, Any]) -> bool:
    """Whether guessing would do as well; a training that diverged is no better."""
    if not training["test"]:
        return True
    from scipy.stats import binom

    reviews = training["test_reviews"]
    return bool(binom.sf(round(training["test"]["accuracy"] * reviews) - 1, reviews, 0.5) > _GUESS)


def _bounds(trainings: dict[int, dict[str, Any]], distances: list[int]) -> tuple[float | None, float | None]:
    """Between which distances a seed falls to chance: None below the first one, or beyond the last one."""
    for place, distance in enumerate(distances):
        if _is_at_chance(trainings[distance]):
            return (float(distances[place - 1]) if place else None), float(distance)
    return float(distances[-1]), None


def _limit(bounds: list[tuple[float | None, float | None]]) -> dict[str, Any]:
    """Where seeds fall to chance.

    Returns:
        `seeds`, each one's bounds; `tokens`, the mean, and `ci95`, its interval: from the mean of the lower bounds to that
        of the upper ones, widened on both sides by Student's t over seeds. Both null where a bound is not known, and the
        interval for one seed.
    """
    entry: dict[str, Any] = {"seeds": [list(each) for each in bounds], "tokens": None, "ci95": None}
    known = [(lower, upper) for lower, upper in bounds if lower is not None and upper is not None]
    if len(known) < len(bounds):
        return entry
    lower, upper = np.log(np.array(known)).T
    middle = (lower + upper) / 2
    entry["tokens"] = float(np.exp(middle.mean()))
    summary = evaluation.summarize(middle.tolist())
    if summary["ci95"] is not None:
        half = (summary["ci95"][1] - summary["ci95"][0]) / 2
        entry["ci95"] = [float(np.exp(lower.mean() - half)), float(np.exp(upper.mean() + half))]
    return entry


def _bag_of_words(training: dict[str, Any], architectures: dict[str, Any]) -> dict[str, Any]:
    from scipy.stats import binomtest

    distance, accuracy = training["distance"], training["test"]["accuracy"]
    reviews = next(
        each["test_reviews"]
        for entry in architectures.values()
        for run in entry["runs"]
        for each in run["trainings"]
        if each["distance"] == distance
    )
    interval = binomtest(round(accuracy * reviews), reviews).proportion_ci(method="wilson")
    at_chance = _is_at_chance({"test": training["test"], "test_reviews": reviews})
    return {"distance": distance, "accuracy": accuracy, "ci95": [interval.low, interval.high], "at_chance": at_chance}


def _verdict(networks: list[dict[str, Any]], words: list[dict[str, Any]], distances: list[int]) -> str:
    plain = [network for network in networks if network["remedy"] is None]
    sentences = [f"{_title(network)} {describe_limit(network['limit'], distances)}." for network in plain]
    if len(plain) == 2:
        sentences.append(_compared(*sorted(plain, key=lambda network: network["architecture"], reverse=True)))
    known = [each["distance"] for each in words if not each["at_chance"]]
    where = "at every distance" if not known else f"at all distances but {' and '.join(map(str, known))}"
    sentences.append(f"A bag of words and word pairs is at chance {where}.")
    return " ".join(sentences)


def _title(network: dict[str, Any]) -> str:
    return f"The {_NAMES[network['architecture']]}"


def describe_limit(limit: dict[str, Any], distances: list[int]) -> str:
    """Where a network falls to chance, in words."""
    seeds = limit["seeds"]
    count = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    if limit["tokens"] is not None:
        within = f"95 % interval {limit['ci95'][0]:.0f} to {limit['ci95'][1]:.0f}, " if limit["ci95"] else ""
        if not within:
            within = f"between {seeds[0][0]:.0f} and {seeds[0][1]:.0f}, "
        return f"falls to chance at {limit['tokens']:.0f} tokens ({within}{count})"
    beyond = sum(upper is None for _, upper in seeds)
    if beyond == len(seeds):
        return f"does not fall to chance up to {distances[-1]} tokens ({count})"
    below = sum(lower is None for lower, _ in seeds)
    if below == len(seeds):
        return f"is at chance from {distances[0]} tokens on ({count})"
    ends = [f"{lower or 0:.0f} to {'more' if upper is None else f'{upper:.0f}'}" for lower, upper in seeds]
    return f"falls to chance at distances that these leave open ({count}: {', '.join(ends)} tokens)"


def _compared(rnn: dict[str, Any], lstm: dict[str, Any]) -> str:
    """Seed by seed, whose limit is further away."""
    pairs = list(zip(rnn["limit"]["seeds"], lstm["limit"]["seeds"], strict=False))
    further = [sum(_upper(one) > _upper(other) for one, other in each) for each in (pairs, [pair[::-1] for pair in pairs])]
    if further == [0, 0]:
        return "In no seed does one of them remember further than the other."
    text = f"The LSTM remembers further in {further[1]} of {len(pairs)} seeds, the SimpleRNN in {further[0]}."
    if further[0] >= further[1]:
        text += " So that an LSTM remembers further does not hold here, as Keras's layers come and with these steps."
    return text


def _upper(bounds: list[float | None]) -> float:
    return math.inf if bounds[1] is None else bounds[1]
