"""Which model of a run is asked where none is named."""

from collections.abc import Sequence

from job.analysis.comparison import SIGNIFICANT
from job.output.ensemble import is_best
from job.presets import Architecture, ModelName
from job.records.comparison import Comparison
from job.records.metrics import Metrics
from job.records.trials import ArchitectureRecord


def best_model(metrics: Metrics, names: Sequence[ModelName]) -> ModelName:
    """The ensemble where it is significantly more accurate than each member, the baseline where it is so than each network.

    Else it is the network that is better on validation data.

    Args:
        names: Those to choose from.
    """
    if ModelName.ensemble in names and metrics.ensemble and is_best(metrics.ensemble):
        return ModelName.ensemble
    networks = [Architecture(name) for name in names if name.is_network]
    compared = metrics.baseline.comparisons
    if ModelName.baseline in names and all(name in compared and _is_worse(compared[name]) for name in networks):
        return ModelName.baseline
    return ModelName(min(networks, key=lambda name: _validation_loss(metrics.architectures[name])))


def _is_worse(found: Comparison) -> bool:
    return found.difference < 0 and found.p_value is not None and found.p_value < SIGNIFICANT


def _validation_loss(trained: ArchitectureRecord) -> float:
    return next(run for run in trained.runs if run.seed == trained.best_seed).selection_loss
