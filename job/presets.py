"""The networks' hyperparameters, and the presets that fill them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from job.errors import ConfigurationError

PAD, START, UNKNOWN, UNUSED = range(4)
"""The ids of the four special tokens, as in Keras's IMDB data; words follow from 4."""
SPECIAL_TOKENS = ("<PAD>", "<START>", "<UNK>", "<UNUSED>")


class Architecture(StrEnum):
    """The recurrent layer: Keras's SimpleRNN or LSTM."""

    rnn = "rnn"
    lstm = "lstm"

    @property
    def title(self) -> str:  # type: ignore[override]
        """As people write it."""
        return {"rnn": "SimpleRNN", "lstm": "LSTM"}[self.value]


class ClassWeight(StrEnum):
    """What an error counts: all the same, or as much in sum for either class."""

    none = "none"
    balanced = "balanced"


class ModelName(StrEnum):
    """What a run leaves to be asked: its networks by their architecture, the linear model beside them, and all together."""

    rnn = "rnn"
    lstm = "lstm"
    baseline = "baseline"
    ensemble = "ensemble"

    @property
    def title(self) -> str:  # type: ignore[override]
        """As people write it."""
        return Architecture(self.value).title if self.is_network else self.value

    @property
    def is_network(self) -> bool:
        """Whether it is one network, of one architecture."""
        return self.value in list(Architecture)


class ThresholdRule(StrEnum):
    """What the decision threshold makes largest on validation reviews; `balanced` is balanced accuracy."""

    accuracy = "accuracy"
    f1 = "f1"
    balanced = "balanced"


HALF = 0.5
"""The decision threshold where none was asked for."""


class PresetName(StrEnum):
    """The recipes of the contract."""

    quickstart = "quickstart"
    seed = "seed"
    standard = "standard"
    semi = "semi"
    dependency = "dependency"


Value = bool | int | float | str
"""Of a hyperparameter."""


def _between(least: int, most: int) -> Any:
    """A hyperparameter that is an option of the command line; `most` is beyond what any machine trains, or can count."""
    return field(metadata={"is_valid": lambda value: least <= value <= most, "expected": f"{least} to {most}"})


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that, with the data and the seed, determines one network's weights. Runs of before lack what has a default."""

    epochs: int = _between(1, 1_000_000)
    """Passes over the training reviews at most."""
    batch_size: int = _between(1, 1_000_000)
    """Reviews a step."""
    length_pool: int
    """Batches' worth of reviews that are sorted by length together, so that little is padding; 1 leaves it to chance."""
    units: int = _between(1, 16_384)
    """Width of the recurrent layer, in each direction."""
    # 4 special ids and one word.
    vocabulary_size: int = _between(5, 2**31 - 1)
    """Token ids, counting the four special ones: ids from here on become the unknown token."""
    # The start token and the last one.
    max_tokens: int = _between(2, 2**31 - 1)
    """Tokens read of a review: its last ones."""
    learning_rate: float = field(
        metadata={"is_valid": lambda value: 0 < value < 100, "expected": "a number above 0 and below 100"}
    )
    """The highest of the schedule."""
    embedding_size: int
    """Width of the token embedding; 0 feeds a review as one time step of raw ranks, as the tutorial does."""
    bidirectional: bool
    """Whether a second recurrent layer reads the review from its end."""
    pooling: str
    """What of the recurrent outputs is read: `last`, or `max_mean` over the review's tokens."""
    hidden_units: int
    """Width of a relu layer before the output; 0 for none."""
    activation: str
    """Of the recurrent layer."""
    optimizer: str
    """`adam` or `rmsprop`."""
    schedule: str
    """`constant`, or `cosine` from the learning rate down to zero over all epochs."""
    clip_norm: float
    """Bound on the global gradient norm; 0 for none."""
    word_dropout: float
    """Share of tokens replaced by the unknown token in training."""
    embedding_dropout: float
    """Share of the numbers of a word's embedding that are dropped in training, the same for a whole batch."""
    pooled_dropout: float
    """Share of the pooled recurrent outputs dropped in training."""
    recurrent_start: str
    """What the recurrent kernel is at the start: `orthogonal`, `glorot_uniform` or the `identity`."""
    recurrent_gain: float
    """Scale of an orthogonal recurrent kernel or of the identity at the start."""
    validation_share: float
    """Share of the training part held out; 0 for none."""
    keep: str
    """The weights that are kept: those of the epoch with the `best` validation loss, or of the `last` one."""
    learned_accuracy: float
    """The validation accuracy at which training ends, as there is nothing more to learn; 0 for no such end."""
    first_reviews: int
    """Reviews taken of each part, after Keras's shuffle; 0 takes all."""
    class_weight: ClassWeight = field(default=ClassWeight.none, metadata={"is_option": True})
    """What an error counts in the loss; `balanced`: all training reviews over twice those of the class."""
    embedded_ids: int = 0
    """Token ids that have an embedding of their own; those from here on share the unknown token's. 0 for all."""
    evidence: int = 0  # job/data/evidence.py
    """Numbers beside each word's embedding that tell what the n-grams that end there say: 3 for their log-count ratios, 6 for
    the linear model's weights too; 0 for none."""
    linear_path: float = 0.0
    """The number, trained from this one on, times which the linear model's logit is added to the network's; 0 for none."""
    alone_share: float = 0.0
    """Share of the loss that is of the network's own logit, without what is added to it."""
    most_validation: int = 0
    """Reviews held out at most, give or take some: enough to weigh an ensemble, few to be missed. 0 for no bound."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if "is_valid" in each.metadata and not each.metadata["is_valid"](value):
                raise ConfigurationError(f"{option(each.name)} {value}: expected {each.metadata['expected']}")


def option(name: str) -> str:
    """A setting as the command line spells it."""
    return "--" + name.replace("_", "-")


OPTIONS = tuple(each.name for each in fields(Hyperparameters) if each.metadata)
"""The hyperparameters that are options of the command line."""

_STANDARD = Hyperparameters(
    epochs=3,
    batch_size=64,
    length_pool=40,
    units=100,
    vocabulary_size=100_000,
    max_tokens=800,
    learning_rate=2e-3,
    embedding_size=128,
    bidirectional=True,
    pooling="max_mean",
    hidden_units=0,
    activation="tanh",
    optimizer="adam",
    schedule="cosine",
    clip_norm=1.0,
    word_dropout=0.1,
    embedding_dropout=0.5,
    pooled_dropout=0.2,
    recurrent_start="orthogonal",
    recurrent_gain=1.0,
    validation_share=0.1,
    keep="last",
    learned_accuracy=0.0,
    first_reviews=0,
)
_QUICKSTART = replace(
    _STANDARD,
    epochs=5,
    batch_size=32,
    units=64,
    vocabulary_size=1_000,
    max_tokens=100,
    embedding_size=32,
    bidirectional=False,
    pooling="last",
    # Two clues that only together tell something are no linear matter: without this layer the plateau lasts for minutes.
    hidden_units=32,
    word_dropout=0.0,
    embedding_dropout=0.0,
    pooled_dropout=0.0,
    keep="best",
)
_SEED = replace(
    _STANDARD,
    epochs=2,
    batch_size=32,
    vocabulary_size=1_000,
    max_tokens=888,
    learning_rate=1e-3,
    embedding_size=0,
    bidirectional=False,
    pooling="last",
    hidden_units=120,
    activation="relu",
    optimizer="rmsprop",
    schedule="constant",
    clip_norm=0.0,
    word_dropout=0.0,
    embedding_dropout=0.0,
    pooled_dropout=0.0,
    validation_share=0.0,
    keep="best",
    first_reviews=100,
)

# Keras's layers as they come, but for the width, in which a clue is no rarity.
_DISTANCES = (5, 10, 20, 50, 100, 200, 400)
_DEPENDENCY = replace(
    _QUICKSTART,
    epochs=8,
    batch_size=64,
    # Reviews of one distance differ in length by their frames alone: sorted, a batch would hold one kind of frame.
    length_pool=1,
    units=32,
    max_tokens=_DISTANCES[-1] + 40,
    # Of those tried (other seeds, validation data) the one with which each network learned furthest.
    learning_rate=5e-4,
    schedule="constant",
    clip_norm=0.0,
    learned_accuracy=0.99,
)
# Sources: Pascanu et al. (2013), arXiv:1211.5063, for clipping; Le et al. (2015), arXiv:1504.00941, for relu with the identity.
_REMEDIES: dict[str, dict[str, Value]] = {
    "Glorot start": {"recurrent_start": "glorot_uniform"},
    "gradient clipping": {"clip_norm": 1.0},
    "relu, identity start, gradient clipping": {"activation": "relu", "recurrent_start": "identity", "clip_norm": 1.0},
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A recipe: everything that a user need not say."""

    networks: Mapping[Architecture, Hyperparameters]
    data: str
    """`embedded` or `imdb`."""
    seeds: int = 1
    distances: tuple[int, ...] = (10,)
    """In tokens, between the two clues of the embedded corpus."""
    teachers: Mapping[Architecture, Hyperparameters] = field(default_factory=dict)
    """The networks that learn from labels alone and teach the others, where those are of another kind."""
    remedies: Mapping[Architecture, Mapping[str, Mapping[str, Value]]] = field(default_factory=dict)
    """What differs in networks that are trained beside the plain ones, by name; they are compared over distances."""


_NETWORKS = {
    # Chosen by the search (scripts/README.md).
    Architecture.rnn: replace(
        _STANDARD,
        epochs=5,
        learning_rate=1e-3,
        embedding_size=16,
        embedded_ids=2_000,
        evidence=6,
        most_validation=500,
        pooled_dropout=0.3,
        # Below one, a SimpleRNN's recurrent kernel forgets instead of exploding.
        recurrent_gain=0.9,
    ),
    Architecture.lstm: replace(
        _STANDARD,
        epochs=2,
        learning_rate=2e-3,
        embedding_size=64,
        embedded_ids=10_000,
        evidence=3,
        linear_path=0.5,
        alone_share=0.5,
        most_validation=500,
        pooled_dropout=0.4,
    ),
}

PRESETS = {
    PresetName.quickstart: Preset(networks=dict.fromkeys(Architecture, _QUICKSTART), data="embedded"),
    PresetName.seed: Preset(networks=dict.fromkeys(Architecture, _SEED), data="imdb"),
    PresetName.standard: Preset(networks=_NETWORKS, data="imdb"),
    PresetName.semi: Preset(
        networks=_NETWORKS | {Architecture.rnn: replace(_NETWORKS[Architecture.rnn], epochs=3)},
        teachers=_NETWORKS,
        data="imdb",
    ),
    PresetName.dependency: Preset(
        networks=dict.fromkeys(Architecture, _DEPENDENCY),
        data="embedded",
        # One trial tells little of a network that learns all or nothing.
        seeds=3,
        distances=_DISTANCES,
        remedies={Architecture.rnn: _REMEDIES, Architecture.lstm: {}},
    ),
}
