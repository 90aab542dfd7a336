"""From texts to probabilities: a trained network with its vocabulary, fed with texts of whatever length, in order."""

import codecs
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from job.analysis import scores as evaluation
from job.data import batches
from job.data.tokens import FIRST_WORD_ID, Vocabulary, clip
from job.errors import ConfigurationError, InputOutputError, MissingInputError
from job.output.finished import validate
from job.output.folder import Output
from job.presets import Architecture, Hyperparameters

# Texts that are looked at together, so that those of similar length can share a batch.
_CHUNK = 2048
_LABELS = ("negative", "positive")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Predictor:
    """A network of one architecture, and the vocabulary that its token ids are of.

    Args:
        kernel: What runs the recurrence, as of `models.forward`.
        words: The vocabulary by rank.
    """

    def __init__(
        self, architecture: Architecture, network: Any, values: Hyperparameters, kernel: str, words: list[str]
    ) -> None:
        from job.network import forward as models

        self.architecture, self._values = architecture, values
        self._logits_of = models.make_predict(network, values, kernel)
        self._vocabulary = Vocabulary(words[: max(0, values.vocabulary_size - FIRST_WORD_ID)])

    @property
    def ids(self) -> dict[str, int]:
        """Token ids by word, of the words that the network knows."""
        return self._vocabulary.ids

    def probabilities(self, texts: list[str]) -> NDArray[np.float32]:
        """How likely each text is positive, <float32>[texts]."""
        values = self._values
        return self.of_tokens([self._vocabulary.encode(text, values.vocabulary_size) for text in texts])

    def of_tokens(self, reviews: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """The same for reviews as token ids <int32>[tokens], the start token first: <float32>[reviews]."""
        values = self._values
        reviews = [clip(review, values.vocabulary_size, values.max_tokens) for review in reviews]
        logits = np.empty(len(reviews), np.float32)
        for places in batches.evaluation_order(np.array([len(review) for review in reviews], np.int64), values.batch_size):
            length = None if values.embedding_size else values.max_tokens
            logits[places] = self._logits_of(batches.padded([reviews[place] for place in places], length))
        return evaluation.probabilities(logits)


def load(folder: Path, asked: Architecture | None) -> Predictor:
    """The model of a finished run: the best seed's of an architecture, by default the one that is better on validation data.

    Raises:
        MissingInputError: There is no finished run, or none of this architecture.
        DataError: A file of the run was changed.
    """
    validate(folder)
    names = _trained(folder)
    if asked is not None and asked not in names:
        raise MissingInputError(f"{folder}: has no trained model of {asked}; it has {' and '.join(names)}")
    metrics = Output(folder).read_json("metrics.json")
    assert metrics is not None
    return _load(folder, asked or min(names, key=lambda name: _validation_loss(metrics["architectures"][name])))


def load_all(folder: Path) -> list[Predictor]:
    """The models of all architectures of a finished run; raises as `load` does."""
    validate(folder)
    return [_load(folder, name) for name in _trained(folder)]


def _trained(folder: Path) -> list[Architecture]:
    names = [name for name in Architecture if (folder / name / "model.keras").exists()]
    if not names:
        raise MissingInputError(f"{folder}: has no trained model, as every training of this shard diverged")
    return names


def _load(folder: Path, architecture: Architecture) -> Predictor:
    from job.config import DeviceChoice
    from job.machine import device

    run = Output(folder).read_json("run.json")
    assert run is not None
    try:
        values = Hyperparameters(**run["identity"]["hyperparameters"][architecture])
    except (KeyError, TypeError):
        raise ConfigurationError(
            f"{folder / 'run.json'}: was written by another version of this program; train again"
        ) from None
    # A model is small and a text short: a GPU would cost more to start than it saves.
    kernel = device.kernel(device.select(DeviceChoice.cpu, False), architecture, values)
    from job.network import forward as models  # not before TensorFlow is set up

    network = models.load(folder / architecture / "model.keras")
    return Predictor(architecture, network, values, kernel, Output(folder).read_words())


def _validation_loss(entry: dict[str, Any]) -> float:
    record = next(run for run in entry["runs"] if run["seed"] == entry["best_seed"])
    return float(record["validation"]["loss"]) if record["validation"] else 0.0


def predict(predictor: Predictor, texts: Iterable[list[str]]) -> Iterator[list[dict[str, Any]]]:
    """For each text, in order, its `index` (from 0), `architecture`, `probability` and `label`.

    Args:
        texts: In pieces, each of which is answered before the next one is asked for.
    """
    index = 0
    for piece in texts:
        probabilities = predictor.probabilities(piece).tolist()
        yield [
            {"index": number, "architecture": str(predictor.architecture), "probability": each, "label": _LABELS[each > 0.5]}
            for number, each in enumerate(probabilities, index)
        ]
        index += len(piece)


def pieces(stream: IO[bytes], name: str) -> Iterator[list[str]]:
    """The lines of a stream, as many at a time as are there: who types gets an answer, who pipes gets full batches.

    Text is UTF-8, or UTF-16 where a byte-order mark says so; a line that is not is taken for Windows-1252. Only a newline ends a line.

    Raises:
        InputOutputError: Reading failed.
    """
    lines: queue.Queue[bytes | OSError | None] = queue.Queue(2 * _CHUNK)

    def read() -> None:
        try:
            for line in _lines(stream):
                lines.put(line)
            lines.put(None)
        except OSError as error:
            lines.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        piece: list[str] = []
        while len(piece) < _CHUNK and not (piece and lines.empty()):
            line = lines.get()
            if isinstance(line, OSError):
                raise InputOutputError(f"{name}: reading failed ({line.strerror or line})")
            if line is None:
                ended = True
                break
            piece.append(decode(line))
        if piece:
            yield piece


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines without their ends, in UTF-8 or an encoding of single bytes."""
    first = stream.readline()
    mark, encoding = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", ""))
    if encoding.startswith("utf-16"):
        # Its newline is two bytes, of which `readline` knows one.
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        rest, block = "", first[len(mark) :]
        while block:
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            yield from (line.encode() for line in whole)
            block = stream.read(1 << 16)
        rest += decoder.decode(b"", final=True)
        if rest:
            yield rest.encode()
        return
    if first:
        yield first[len(mark) :].removesuffix(b"\n")
    for line in stream:
        yield line.removesuffix(b"\n")


def decode(line: bytes) -> str:
    """A line as text, whatever it holds; a carriage return at its end belongs to the line's end."""
    line = line.removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")
