"""The models of a run: from its results to predictors, and to the files that they are exported as."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.data.evidence import Tables
from job.data.tokens import Vocabulary
from job.files import atomic
from job.network import kernel
from job.network.predictor import EnsemblePredictor, LinearPredictor, NetworkPredictor, Predictor
from job.output import finished
from job.output.finished import VerifiedRun
from job.output.results import LinearWeights
from job.presets import HALF, Architecture, Hyperparameters, ModelName
from job.records.ensemble import EnsembleRecord
from job.records.metrics import DeviceRecord
from job.records.trials import BaselineRecord, TrialRecord
from job.training.desk import Desk, Label

Weights = Mapping[tuple[str, int], list[NDArray[np.float32]]]
"""Of networks, by architecture and seed."""


class Models:
    """Makes the predictors of a run.

    Args:
        hyperparameters: By architecture.
        tables: Where networks look up their evidence; None where they read none.
    """

    def __init__(
        self,
        hyperparameters: Mapping[Architecture, Hyperparameters],
        vocabulary: Vocabulary,
        tables: Tables | None,
        device: DeviceRecord,
    ) -> None:
        self._hyperparameters, self._vocabulary, self._tables, self._device = hyperparameters, vocabulary, tables, device

    def network(self, name: Architecture, seed: int, weights: list[NDArray[np.float32]], threshold: float) -> NetworkPredictor:
        """A network with these weights."""
        # Not before TensorFlow is set up.
        from job.network.build import build, set_weights

        network = build(name, self._hyperparameters[name], seed, len(self._vocabulary.words))
        set_weights(network, weights)
        return self._predictor(name, network, threshold)

    def saved(self, name: Architecture, path: Path, threshold: float) -> NetworkPredictor:
        """The network of a model.keras; raises what `build.load` does."""
        from job.network import build

        values = self._hyperparameters[name]
        tables = self._tables if values.evidence else None
        return self._predictor(name, build.load(path, name, values, len(self._vocabulary.words), tables), threshold)

    def _predictor(self, name: Architecture, network: Any, threshold: float) -> NetworkPredictor:
        from job.network.forward import Forward

        values = self._hyperparameters[name]
        forward = Forward(network, values, kernel.choose(self._device, name, values))
        return NetworkPredictor(name, forward, self._vocabulary, threshold, self._tables if values.evidence else None)

    def linear(self, weights: LinearWeights, threshold: float) -> LinearPredictor:
        """The baseline."""
        return LinearPredictor(weights, self._vocabulary, threshold)

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
        return EnsemblePredictor(members, self._vocabulary, record.threshold.value)


def vocabulary(run: VerifiedRun) -> Vocabulary:
    """What a run's models read texts by; raises what `VerifiedRun.words` does."""
    return Vocabulary(run.words(), run.metrics.data.takes_out_html)


def tables(run: VerifiedRun) -> Tables | None:
    """Where a run's networks look up their evidence; None where they read none; raises what `VerifiedRun.evidence` does."""
    arrays = run.evidence()
    if arrays is None:
        return None
    with run.reading(finished.EVIDENCE):
        return Tables.of_arrays(arrays)


def threshold(record: TrialRecord | BaselineRecord) -> float:
    """Above which a model's probability is labelled positive."""
    return record.threshold.value if record.threshold else HALF


@dataclass(frozen=True)
class Exported:
    """A model as it was exported."""

    name: ModelName
    files: dict[str, Path]
    """What it consists of, by where it belongs in the output: files and folders, not there yet."""
    expected: NDArray[np.float32]
    """What the model itself says of the texts, <float32>[texts]."""
    threshold: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Export:
    """The work (job/training/work.py) of exporting a model; gives an `Exported`."""

    name: ModelName
    make: Callable[[], Predictor]
    """Of the methods of `Models`, with its arguments."""
    weights: bytes | None
    """The content of the file that holds its weights; of a network none, which is made here."""
    folder: Path
    """Takes the files; it is there, in the output."""
    texts: list[str]

    @property
    def label(self) -> Label:
        """See `Work`, as with the next one."""
        return Label(f"export of {self.name}")

    @property
    def cost(self) -> float:
        """See `Work`: seconds, which is next to nothing."""
        return 2.0 if self.name is ModelName.ensemble else 1.0

    def do(self, desk: Desk, device: DeviceRecord) -> Exported:
        """See `Work`.

        Raises:
            OutputError, InputOutputError: The folder cannot be written.
        """
        # Not before TensorFlow is set up.
        from job.network import build, export

        predictor = self.make()
        with atomic.explained(self.folder.parent / self.name):
            made = Path(tempfile.mkdtemp(dir=self.folder))
            file, folder = made / finished.model_file(self.name), made / finished.SAVED_MODEL
            if isinstance(predictor, NetworkPredictor):
                network, tables = predictor.forward.network, predictor.tables
                (build.with_tables(network, predictor.forward.values, tables) if tables else network).save(file)
            else:
                assert self.weights is not None
                file.write_bytes(self.weights)
            export.save(export.text_model(predictor), folder)
        files = {f"{self.name}/{each.name}": each for each in (file, folder)}
        return Exported(self.name, files, predictor.probabilities(self.texts), predictor.threshold)
