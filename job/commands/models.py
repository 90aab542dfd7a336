"""The models of a run: from its results to predictors, and to the files that they are exported as."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from job.data.evidence import Tables
from job.network import kernel
from job.network.fresh import FreshProcess
from job.network.predictor import EnsemblePredictor, LinearPredictor, NetworkPredictor, Predictor
from job.output import finished
from job.output.folder import Content
from job.output.results import LinearWeights
from job.presets import Architecture, Hyperparameters, ModelName
from job.records.ensemble import EnsembleRecord
from job.records.metrics import DeviceRecord

log = logging.getLogger(__name__)
_ODD_TEXTS = ("", " ", "GREAT!!! Isn't it?", "naïve café — «über»", "a\ttab, a\r and a \0 byte", "word " * 3000)
Weights = Mapping[tuple[str, int], list[NDArray[np.float32]]]
"""Of networks, by architecture and seed."""


class Models:
    """Makes the predictors of a run.

    Args:
        hyperparameters: By architecture.
        words: The vocabulary by rank.
        tables: Where networks look up their evidence; None where they read none.
    """

    def __init__(
        self,
        hyperparameters: Mapping[Architecture, Hyperparameters],
        words: list[str],
        tables: Tables | None,
        device: DeviceRecord,
    ) -> None:
        self._hyperparameters, self._words, self._tables, self._device = hyperparameters, words, tables, device

    def network(self, name: Architecture, seed: int, weights: list[NDArray[np.float32]], threshold: float) -> NetworkPredictor:
        """A network with these weights."""
        # Not before TensorFlow is set up.
        from job.network.build import build, set_weights
        from job.network.forward import Forward

        values = self._hyperparameters[name]
        network = build(name, values, seed, len(self._words))
        set_weights(network, weights)
        forward = Forward(network, values, kernel.choose(self._device, name, values))
        return NetworkPredictor(name, forward, self._words, threshold, self._tables if values.evidence else None)

    def linear(self, weights: LinearWeights, threshold: float) -> LinearPredictor:
        """The baseline."""
        return LinearPredictor(weights, self._words, threshold)

    def ensemble(self, record: EnsembleRecord, weights: Weights, linear: LinearWeights) -> EnsemblePredictor:
        """All together."""
        members: list[tuple[Predictor, float]] = []
        for each in record.members:
            if each.weight and each.name is ModelName.baseline:
                members.append((self.linear(linear, record.threshold.value), each.weight))
            elif each.weight:
                name, share = Architecture(each.name), each.weight / len(each.seeds)
                networks = (self.network(name, seed, weights[name, seed], record.threshold.value) for seed in each.seeds)
                members += [(network, share) for network in networks]
        return EnsemblePredictor(members, self._words, record.threshold.value)


def exported(predictor: Predictor, weights: bytes | None = None) -> dict[str, Content]:
    """A model's files, by name.

    Args:
        weights: The content of the file that holds its weights; of a network none, which is made here.
    """
    from job.network import build, export

    name = predictor.name
    content: Content
    if isinstance(predictor, NetworkPredictor):
        network, tables = predictor.forward.network, predictor.tables
        content = (build.with_tables(network, predictor.forward.values, tables) if tables else network).save
    else:
        assert weights is not None
        content = weights
    return {
        f"{name}/{finished.model_file(name)}": content,
        f"{name}/{finished.SAVED_MODEL}": partial(export.save, export.text_model(predictor)),
    }


def verify(folder: Path, predictors: Sequence[Predictor], texts: Sequence[str], fresh: FreshProcess | None = None) -> None:
    """The exported models must give, in a process of their own, what these do.

    Args:
        fresh: That process, where one was started ahead.

    Raises:
        JobError: One does not.
    """
    if not predictors:
        return
    from job.network import export

    asked = [*texts, *_ODD_TEXTS]
    folders = [folder / each.name / finished.SAVED_MODEL for each in predictors]
    expected = [each.probabilities(asked) for each in predictors]
    difference = export.verify(folders, asked, expected, [each.threshold for each in predictors], fresh)
    log.info(f"exported models loaded in a fresh process: {difference:.1e} from the trained ones at most")
