"""The networks' hyperparameters, and the presets that fill them."""

from dataclasses import dataclass, replace
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


class PresetName(StrEnum):
    """The recipes of the contract."""

    quickstart = "quickstart"
    seed = "seed"
    standard = "standard"
    dependency = "dependency"


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that, with the data and the seed, determines one network's weights."""

    epochs: int
    """Passes over the training reviews at most."""
    batch_size: int
    """Reviews a step."""
    length_pool: int
    """Batches' worth of reviews that are sorted by length together, so that little is padding; 1 leaves it to chance."""
    units: int
    """Width of the recurrent layer, in each direction."""
    vocabulary_size: int
    """Token ids, counting the four special ones: ids from here on become the unknown token."""
    max_tokens: int
    """Tokens read of a review: its last ones."""
    learning_rate: float
    """The highest of the schedule."""
    embedding_size: int
    """Width of the token embedding; 0 feeds a review as one time step of raw ranks, as the tutorial does."""
    bigrams: int
    """Pairs of neighbouring words, the most frequent ones, that have an embedding of their own; 0 for none."""
    bigram_size: int
    """Width of a bigram's embedding, which stands beside that of its second word."""
    ratio_scale: float
    """Times which a word's or bigram's naive Bayes log-count ratio in the training reviews is added to the first number of its
    embedding at the start; 0 for a start by chance alone."""
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
    """Share of the numbers of a word's or bigram's embedding that are dropped in training, the same for a whole batch."""
    bigram_dropout: float
    """Share of bigrams whose embedding is dropped as a whole in training."""
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
    patience: int
    """Epochs without a better validation loss before training stops; 0 never stops early."""
    learned_accuracy: float
    """The validation accuracy at which training ends, as there is nothing more to learn; 0 for no such end."""
    first_reviews: int
    """Reviews taken of each part, after Keras's shuffle; 0 takes all."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value < least:
                option = "--" + name.replace("_", "-")
                raise ConfigurationError(f"{option} {value}: expected {least} or more")
        if not 0 < self.learning_rate < 100:
            raise ConfigurationError(f"--learning-rate {self.learning_rate}: expected a number above 0 and below 100")


# 4 special ids and one word; the last token and the start token.
_LEAST = {"epochs": 1, "batch_size": 1, "units": 1, "vocabulary_size": 5, "max_tokens": 2}

_STANDARD = Hyperparameters(
    epochs=3,
    batch_size=64,
    length_pool=40,
    units=100,
    vocabulary_size=30_000,
    max_tokens=400,
    learning_rate=2e-3,
    embedding_size=128,
    bigrams=100_000,
    bigram_size=32,
    ratio_scale=1.0,
    bidirectional=True,
    pooling="max_mean",
    hidden_units=0,
    activation="tanh",
    optimizer="adam",
    schedule="cosine",
    clip_norm=1.0,
    word_dropout=0.1,
    embedding_dropout=0.4,
    bigram_dropout=0.2,
    pooled_dropout=0.2,
    recurrent_start="orthogonal",
    recurrent_gain=1.0,
    validation_share=0.1,
    keep="last",
    patience=0,
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
    bigrams=0,
    bigram_size=0,
    ratio_scale=0.0,
    bidirectional=False,
    pooling="last",
    # Two clues that only together tell something are no linear matter: without this layer the plateau lasts for minutes.
    hidden_units=32,
    word_dropout=0.0,
    embedding_dropout=0.0,
    bigram_dropout=0.0,
    pooled_dropout=0.0,
    keep="best",
    patience=0,
)
_SEED = replace(
    _STANDARD,
    epochs=2,
    batch_size=32,
    vocabulary_size=1_000,
    max_tokens=888,
    learning_rate=1e-3,
    embedding_size=0,
    bigrams=0,
    bigram_size=0,
    ratio_scale=0.0,
    bidirectional=False,
    pooling="last",
    hidden_units=120,
    activation="relu",
    optimizer="rmsprop",
    schedule="constant",
    clip_norm=0.0,
    word_dropout=0.0,
    embedding_dropout=0.0,
    bigram_dropout=0.0,
    pooled_dropout=0.0,
    validation_share=0.0,
    keep="best",
    patience=0,
    first_reviews=100,
)

DISTANCES = (5, 10, 20, 50, 100, 200, 400)
"""In tokens, of the preset dependency."""
# Keras's layers as they come, but for the width, in which a clue is no rarity.
_DEPENDENCY = replace(
    _QUICKSTART,
    epochs=8,
    batch_size=64,
    # Reviews of one distance differ in length by their frames alone: sorted, a batch would hold one kind of frame.
    length_pool=1,
    units=32,
    max_tokens=DISTANCES[-1] + 40,
    # Of those tried (other seeds, validation data) the one with which each network learned furthest.
    learning_rate=5e-4,
    schedule="constant",
    clip_norm=0.0,
    learned_accuracy=0.99,
)
REMEDIES: dict[Architecture, dict[str, dict[str, Any]]] = {
    Architecture.rnn: {
        "Glorot start": {"recurrent_start": "glorot_uniform"},
        "gradient clipping": {"clip_norm": 1.0},
        "relu, identity start, gradient clipping": {"activation": "relu", "recurrent_start": "identity", "clip_norm": 1.0},
    },
    Architecture.lstm: {},
}
"""What differs in the networks of the preset dependency that are trained beside Keras's plain ones.

Sources: Saxe et al. (2014), arXiv:1312.6120, for the orthogonal start, which is Keras's own; Pascanu et al. (2013),
arXiv:1211.5063, for clipping; Le et al. (2015), arXiv:1504.00941, for relu with the identity.
"""

PRESETS: dict[PresetName, dict[Architecture, Hyperparameters]] = {
    PresetName.quickstart: {Architecture.rnn: _QUICKSTART, Architecture.lstm: _QUICKSTART},
    PresetName.seed: {Architecture.rnn: _SEED, Architecture.lstm: _SEED},
    # Below one, a SimpleRNN's recurrent kernel forgets instead of exploding. The rest is of scripts/measure/search.py, see the README.
    PresetName.standard: {
        Architecture.rnn: replace(_STANDARD, learning_rate=1e-3, embedding_dropout=0.3, recurrent_gain=0.9),
        Architecture.lstm: _STANDARD,
    },
    PresetName.dependency: {
        Architecture.rnn: _DEPENDENCY,
        Architecture.lstm: _DEPENDENCY,
    },
}
