"""Self-training: a teacher that learned from labels guesses those of the texts without, and networks learn from both.

The teacher is what the same run would be without these texts: one of each network, and the linear model of the evidence,
weighted like an ensemble. All seeds have the same teacher. It is trained on the training reviews alone.
"""

import hashlib
import logging
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from job.analysis import ensemble, scores
from job.config import Configuration
from job.data import reviews
from job.data.corpus import Corpus
from job.output.results import Teaching, TrialResult
from job.presets import Architecture, ModelName
from job.records.ensemble import EnsembleMember
from job.records.selftraining import LabelsAlone
from job.training.trainer import Trainer
from job.training.trial import Task

log = logging.getLogger(__name__)
_SEED = 0
# Texts that are judged between two looks for a signal and two savings.
_BLOCK = 10_000


class _Members(NamedTuple):
    networks: dict[Architecture, TrialResult]
    weights: dict[str, float]


class Teacher:
    """Makes the guesses, once for all networks of a run."""

    def __init__(self, configuration: Configuration, corpus: Corpus, trainer: Trainer) -> None:
        self._values, self._corpus, self._trainer = configuration.teachers, corpus, trainer

    @cached_property
    def guesses(self) -> NDArray[np.float32]:
        """The probability that each unlabelled review is positive, <float32>[reviews of the corpus]; 0 of the others."""
        places = self._corpus.part("unlabelled")
        found = np.zeros(len(self._corpus.labels), np.float32)
        kept = self._trainer.output.load_array(_NAME)
        if kept is None or len(kept) != len(places):
            kept = self._guess(places)
            self._trainer.output.save_array(_NAME, kept)
        found[places] = kept
        return found

    def teaching(self) -> Teaching:
        """What is to be told of the teacher."""
        networks, weights = self._members
        members = [EnsembleMember(name=ModelName(name), seeds=[_SEED], weight=weights.get(str(name), 0.0)) for name in networks]
        members.append(EnsembleMember(name=ModelName.baseline, seeds=[], weight=weights.get(ModelName.baseline, 0.0)))
        places = self._corpus.part("unlabelled")
        digest = hashlib.sha256(self.guesses[places].tobytes()).hexdigest()
        told = {
            name: (LabelsAlone(seed=_SEED, validation=each.record.validation, test=each.record.test), each.probabilities)
            for name, each in networks.items()
            if each.record.validation and each.record.test
        }
        return Teaching(len(places), members, digest, told)

    @cached_property
    def _members(self) -> _Members:
        results = self._trainer.train([(self._task(name), self._corpus) for name in self._values])
        networks = {name: results[place] for place, name in enumerate(self._values)}
        parts = self._parts
        votes = {str(name): ensemble.votes(result.validation) for name, result in networks.items() if len(result.validation)}
        linear = ensemble.votes(scores.probabilities(self._linear[parts.validation.indices]))
        weights = ensemble.choose(parts.validation.labels, votes | {str(ModelName.baseline): linear})
        said = ", ".join(f"{name} {weight:.3f}" for name, weight in weights.items())
        log.info(f"the teacher of the texts without labels: {said}")
        return _Members(networks, weights)

    def _task(self, name: Architecture) -> Task:
        return Task(architecture=name, seed=_SEED, values=self._values[name], name=f"teacher {name}")

    @cached_property
    def _parts(self) -> reviews.Parts:
        return reviews.split(self._corpus, next(iter(self._values.values())))

    @cached_property
    def _linear(self) -> NDArray[np.float32]:
        """Its logits, <float32>[reviews of the corpus]."""
        return self._trainer.linear_logits(self._corpus, next(iter(self._values.values())))

    def _guess(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        networks, weights = self._members
        total = np.zeros(len(places))
        for name, weight in weights.items():
            if name == ModelName.baseline:
                total += weight * ensemble.votes(scores.probabilities(self._linear[places]))
            else:
                architecture = Architecture(name)
                total += weight * ensemble.votes(self._judge(architecture, networks[architecture], places))
        # Rounded, so that the last bits of a sum, which another machine may have otherwise, decide nothing.
        return scores.probabilities(total.astype(np.float32)).astype(np.float16).astype(np.float32)

    def _judge(self, name: Architecture, result: TrialResult, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """A network's probabilities, <float32>[places], some at a time, each kept as soon as it is known."""
        assert result.weights is not None
        output, keys = self._trainer.output, [f"{_NAME}-{name}-{first}" for first in range(0, len(places), _BLOCK)]
        blocks = np.split(places, range(_BLOCK, len(places), _BLOCK))
        pieces = {number: piece for number, key in enumerate(keys) if (piece := output.load_array(key)) is not None}
        missing = [number for number in range(len(keys)) if number not in pieces]

        def take(place: int, piece: NDArray[np.float32]) -> None:
            number = missing[place]
            pieces[number] = piece
            output.save_array(keys[number], piece)
            done = sum(map(len, pieces.values()))
            log.info(f"the teacher ({name}) has judged {done:,} of {len(places):,} texts")

        if missing:
            self._trainer.judge(self._task(name), self._corpus, result.weights, [blocks[each] for each in missing], take)
        return np.concatenate([pieces[number] for number in range(len(keys))])


_NAME = "guesses"
