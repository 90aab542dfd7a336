"""An ensemble of classifiers: the weighted mean of their logits, the weights chosen on validation reviews."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores

SEEDS = 5
"""Of each network the first so many seeds are members: more would weigh more than they help."""
BOUND = 1e-6
"""Nobody is surer than this: a probability of 0 or 1 would outvote everyone."""
SUREST = float(np.log1p(-BOUND) - np.log(BOUND))
"""The largest vote."""
# A member of less weight changes nothing that is worth its time.
_LEAST = 0.02


def votes(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Logits of probabilities, of the same shape, within the bound."""
    inside = np.clip(np.asarray(probabilities, np.float64), BOUND, 1 - BOUND)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def bounded(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The votes of logits, of the same shape: as of their probabilities, without their rounding near 1."""
    return np.clip(np.asarray(logits, np.float64), -SUREST, SUREST)


def choose(labels: NDArray[Any], members: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """The members' weights, which sum to 1 up to their rounding, with the least cross-entropy; who would have next to none is left out.

    Args:
        labels: Of validation reviews, <int8>[reviews].
        members: Votes <float64>[reviews] by name.
    """
    from scipy import optimize

    cast = np.stack(list(members.values()))

    def loss(weights: NDArray[np.float64]) -> float:
        return scores.losses(labels, (weights @ cast).astype(np.float32))[0]

    count = len(cast)
    found = optimize.minimize(
        loss,
        np.full(count, 1 / count),
        method="SLSQP",
        jac=lambda weights: cast @ (1 / (1 + np.exp(-weights @ cast)) - labels) / len(labels),
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": lambda weights: np.ones(count)},
    )
    kept = np.where(found.x < _LEAST, 0.0, found.x)
    # As metrics.json says them.
    rounded = np.round(kept / kept.sum(), 3)
    return {name: float(weight) for name, weight in zip(members, rounded, strict=True) if weight}


def combine(members: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """The probabilities <float32>[reviews] of the weighted votes <float64>[reviews]."""
    total = np.sum([weight * members[name] for name, weight in weights.items()], axis=0)
    return scores.probabilities(total.astype(np.float32))
