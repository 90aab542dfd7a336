"""The presets, and the configuration of a run resolved from a preset and the user's options."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
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


class DeviceChoice(StrEnum):
    """Where to compute; `auto` takes a GPU where one is present."""

    auto = "auto"
    gpu = "gpu"
    cpu = "cpu"


class LogFormat(StrEnum):
    """How progress is shown; `auto` is a live display on a terminal and plain lines elsewhere."""

    auto = "auto"
    text = "text"
    json = "json"


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Everything that, with the data and the seed, determines one network's weights."""

    epochs: int
    """Passes over the training reviews at most."""
    batch_size: int
    """Reviews a step."""
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
    spatial_dropout: float
    """Share of embedding channels dropped for a whole review in training."""
    recurrent_gain: float
    """Scale of the orthogonal recurrent kernel at the start."""
    validation_share: float
    """Share of the training part held out; 0 for none."""
    patience: int
    """Epochs without a better validation loss before training stops; 0 never stops early."""
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
    epochs=4,
    batch_size=64,
    units=100,
    vocabulary_size=30_000,
    max_tokens=400,
    learning_rate=2e-3,
    embedding_size=128,
    bidirectional=True,
    pooling="max_mean",
    hidden_units=0,
    activation="tanh",
    optimizer="adam",
    schedule="cosine",
    clip_norm=1.0,
    word_dropout=0.3,
    spatial_dropout=0.4,
    recurrent_gain=1.0,
    validation_share=0.1,
    patience=2,
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
    spatial_dropout=0.0,
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
    bidirectional=False,
    pooling="last",
    hidden_units=120,
    activation="relu",
    optimizer="rmsprop",
    schedule="constant",
    clip_norm=0.0,
    word_dropout=0.0,
    spatial_dropout=0.0,
    validation_share=0.0,
    patience=0,
    first_reviews=100,
)

PRESETS: dict[PresetName, dict[Architecture, Hyperparameters]] = {
    PresetName.quickstart: {Architecture.rnn: _QUICKSTART, Architecture.lstm: _QUICKSTART},
    PresetName.seed: {Architecture.rnn: _SEED, Architecture.lstm: _SEED},
    # A SimpleRNN at the LSTM's learning rate stays at chance; below one its recurrent kernel forgets instead of exploding.
    PresetName.standard: {
        Architecture.rnn: replace(_STANDARD, learning_rate=5e-4, spatial_dropout=0.3, recurrent_gain=0.9),
        Architecture.lstm: _STANDARD,
    },
}
_DEFAULT_DATA = {PresetName.quickstart: "embedded", PresetName.seed: "imdb", PresetName.standard: "imdb"}
DEFAULT_DISTANCE = 10


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where labelled reviews come from."""

    name: str
    """`embedded`, `imdb` or a path."""
    cache: Path
    """Folder for downloads and encoded data."""
    text_column: str | None = None
    label_column: str | None = None
    distance: int = DEFAULT_DISTANCE
    """Filler tokens between the two clues of the embedded corpus."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One run, resolved: nothing in it is a default still to be looked up."""

    preset: PresetName
    source: DataSource
    hyperparameters: dict[Architecture, Hyperparameters]
    seeds: int
    device: DeviceChoice
    require_fast_kernel: bool
    output: Path
    """The folder of this run, that of its shard included."""
    shard: tuple[int, int] | None = None
    """Which part of the grid this run trains, and of how many."""

    def trainings(self) -> list[tuple[Architecture, int]]:
        """The grid of architecture and seed, or this shard's part of it, in the order of training.

        The grid is dealt out one by one, seed by seed, the architectures in turn at the front: so every shard gets its
        share of each, and what it has stays its own when seeds are added.
        """
        names = list(self.hyperparameters)
        dealt = [(names[(place + seed) % len(names)], seed) for seed in range(self.seeds) for place in range(len(names))]
        index, count = self.shard or (0, 1)
        return sorted(dealt[index::count], key=lambda each: (names.index(each[0]), each[1]))

    def identity(self, data_hash: str) -> dict[str, Any]:
        """What determines a run's weights and scores, as JSON values."""
        networks = {str(name): asdict(values) for name, values in self.hyperparameters.items()}
        return {"preset": str(self.preset), "data": data_hash, "hyperparameters": networks}


def fingerprint(identity: dict[str, Any]) -> str:
    """SHA-256 of an identity, hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def resolve(
    *,
    output: Path,
    cache: Path,
    preset: PresetName = PresetName.standard,
    data: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    distance: int | None = None,
    architectures: list[Architecture] | None = None,
    seeds: int = 1,
    device: DeviceChoice = DeviceChoice.auto,
    require_fast_kernel: bool = False,
    overrides: dict[str, int | float | None] | None = None,
    shard: str | None = None,
) -> Configuration:
    """Resolves a preset and the options given.

    Raises:
        ConfigurationError: A value out of range, or options that contradict one another.
    """
    name = data or _DEFAULT_DATA[preset]
    if seeds < 1:
        raise ConfigurationError(f"--seeds {seeds}: expected 1 or more")
    if distance is not None and name != "embedded":
        raise ConfigurationError(f"--distance is of the embedded corpus, but --data is {name}; leave one of them out")
    if distance is not None and not 2 <= distance <= 10_000:
        raise ConfigurationError(
            f"--distance {distance}: expected 2 to 10000 tokens (next to each other, the clues are a word pair)"
        )
    if (text_column or label_column) and name in ("embedded", "imdb"):
        raise ConfigurationError(f"--text-column and --label-column are of a file, but --data is {name}; leave them out")
    if require_fast_kernel and device is DeviceChoice.cpu:
        raise ConfigurationError("--require-fast-kernel is about a GPU's kernels, but --device is cpu; leave one of them out")
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    unknown = set(given) - {field.name for field in fields(Hyperparameters)}
    if unknown:
        raise ConfigurationError(f"unknown hyperparameters: {', '.join(sorted(unknown))}")
    chosen = {}
    for architecture in Architecture:
        if architecture in (architectures or list(Architecture)):
            values = PRESETS[preset][architecture]
            if distance is not None and "max_tokens" not in given:
                # The frame must stay in sight, however far the end is away.
                values = replace(values, max_tokens=max(values.max_tokens, distance + 40))
            chosen[architecture] = replace(values, **given)  # type: ignore[arg-type]
    part = _shard(shard, len(chosen) * seeds) if shard else None
    return Configuration(
        preset=preset,
        source=DataSource(
            name=name,
            cache=cache,
            text_column=text_column,
            label_column=label_column,
            distance=DEFAULT_DISTANCE if distance is None else distance,
        ),
        hyperparameters=chosen,
        seeds=seeds,
        device=device,
        require_fast_kernel=require_fast_kernel,
        output=shard_folder(output, *part) if part else output,
        shard=part,
    )


def shard_folder(output: Path, index: int, count: int) -> Path:
    """Where a shard of a run writes."""
    return output / "shards" / f"{index}-of-{count}"


def _shard(text: str, trainings: int) -> tuple[int, int]:
    index, separator, count = text.partition("/")
    if not separator or not index.isdecimal() or not count.isdecimal() or not int(index) < int(count):
        raise ConfigurationError(f"--shard {text}: expected I/N, the I-th of N shards, counted from 0 (the last is N-1/N)")
    if int(count) > trainings:
        raise ConfigurationError(
            f"--shard {text}: there are only {trainings} trainings to share, so at most {trainings} shards; lower N or raise --seeds"
        )
    return int(index), int(count)
