"""Judges texts by a finished run's model: lines in, an answer for each in order."""

import codecs
import logging
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from job.analysis.scores import is_positive
from job.commands.models import Models, tables, vocabulary
from job.config import DeviceChoice
from job.data import sheet
from job.errors import DataError, InputOutputError, MissingInputError
from job.machine import device
from job.network.predictor import LinearPredictor, Predictor, known_words
from job.output.best import best_model
from job.output.finished import VerifiedRun, model_file
from job.presets import Architecture, ModelName

log = logging.getLogger(__name__)
# Texts that are read together, so that those of similar length can share a batch; of long ones fewer.
_CHUNK, _CHUNK_BYTES = 2048, 16 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Answer:
    """The judgement on one text."""

    index: int
    """The text's place, from 0."""
    architecture: ModelName
    """Whose model judged."""
    probability: float
    """Of being positive."""
    label: Literal["negative", "positive"]
    threshold: float
    """Above it a probability is labelled positive."""
    known_words: int
    """How many of the words that were read the model knows; where it is none, the probability says nothing."""


def load(run: VerifiedRun, asked: ModelName | None) -> Predictor:
    """A model of a run, of a network the best seed's; by default the one of `best_model`.

    Warns where the run is of the generated corpus: its model answers any text, with numbers that look like judgements.

    Raises:
        MissingInputError: The run has none, or not this one.
    """
    names = _there(run)
    if asked is not None and asked not in names:
        why = ""
        if not asked.is_network:
            why = ", as it is of the preset dependency or of a version that kept none"
        raise MissingInputError(f"{run.folder}: has no trained model of {asked}{why}; it has {' and '.join(names)}")
    chosen = asked or best_model(run.metrics, names)
    if asked is None and not chosen.is_network:
        than = "network" if chosen is ModelName.baseline else "of its members"
        log.info(
            f"the {chosen} judges, as it was right on significantly more test reviews than each {than}; --architecture names another model"
        )
    predictor = _load(run, chosen)
    if run.record.configuration.data == "embedded":
        log.warning(
            f"this model knows only {len(predictor.ids):,} words of a generated corpus and can judge nothing but its wordings; for other texts train with --preset standard, or with --data on your own"
        )
    return predictor


def load_all(run: VerifiedRun) -> list[Predictor]:
    """All models of a run; raises what `load` does."""
    return [_load(run, name) for name in _there(run)]


def _there(run: VerifiedRun) -> list[ModelName]:
    names = run.models()
    if not names:
        raise MissingInputError(f"{run.folder}: has no trained model, as every training of this shard diverged")
    return names


def _load(run: VerifiedRun, name: ModelName) -> Predictor:
    linear, record, threshold = run.linear_weights(), run.metrics.ensemble, run.metrics.threshold(name)
    if name is ModelName.baseline and linear is not None:
        return LinearPredictor(linear, vocabulary(run), threshold)
    # A model is small and a text short: a GPU would cost more to start than it saves.
    cpu = device.select(DeviceChoice.cpu, False)
    models = Models(run.record.identity.hyperparameters, vocabulary(run), tables(run), cpu)
    with run.reading(f"{name}/{model_file(name)}") as path:
        if name.is_network:
            return models.saved(Architecture(name), path, threshold)
        if linear is None or record is None:
            raise DataError(f"{run.folder}: has not all that its {name} consists of")
        return models.ensemble(record, run.member_weights(), linear)


def predict(predictor: Predictor, texts: Iterable[list[str]]) -> Iterator[list[Answer]]:
    """Judges each text, in order; in the end warns of those that hold no word that the model knows.

    Args:
        texts: In pieces, each of which is answered before the next one is asked for.
    """
    index = unknown = 0
    for piece in texts:
        tokens = predictor.encode(piece)
        known = list(map(known_words, tokens))
        probabilities = predictor.of_tokens(tokens)
        above = is_positive(probabilities, predictor.threshold).tolist()
        yield [
            Answer(place, predictor.name, probability, "positive" if said else "negative", predictor.threshold, count)
            for place, (probability, said, count) in enumerate(zip(probabilities.tolist(), above, known, strict=True), index)
        ]
        index += len(piece)
        unknown += known.count(0)
    if unknown:
        hold, their = ("holds", "its probability says") if unknown == 1 else ("hold", "their probabilities say")
        log.warning(f"{unknown:,} of {index:,} texts {hold} no word that the model knows, so {their} nothing")


def opened(file: Path) -> IO[bytes]:
    """A file of lines; - is the standard input.

    Raises:
        MissingInputError: It cannot be read.
    """
    try:
        if str(file) != "-":
            return file.open("rb")
        if sys.stdin is None:
            raise MissingInputError("standard input: is closed; expected one text a line")
        # Not what Python has opened: that it closes at its end, and ends by SIGABRT where a thread still waits for a line.
        return open(0, "rb", closefd=False)
    except OSError as error:
        raise MissingInputError(f"{file}: cannot be read ({error.strerror}); expected a file with one text a line") from None


class _Lines(queue.Queue[bytes | OSError | DataError | None]):
    """Lines that wait to be judged, in a bounded memory: its size is counted in bytes."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0

    def _qsize(self) -> int:
        return self._bytes

    def _put(self, item: bytes | OSError | DataError | None) -> None:
        super()._put(item)
        self._bytes += _size(item)

    def _get(self) -> bytes | OSError | DataError | None:
        item = super()._get()
        self._bytes -= _size(item)
        return item


def _size(item: bytes | OSError | DataError | None) -> int:
    return sys.getsizeof(item)


def pieces(stream: IO[bytes], name: str) -> Iterator[list[str]]:
    """The lines of a stream, as many at a time as are there: who types gets an answer, who pipes gets full batches.

    Text is UTF-8, or UTF-16 where a byte-order mark says so; a line that is not is taken for Windows-1252. Only a newline ends a line.

    Raises:
        InputOutputError: Reading failed.
        DataError: A line is longer than a text may be.
    """
    lines = _Lines(_CHUNK_BYTES)

    def read() -> None:
        try:
            for line in _lines(stream, name):
                lines.put(line)
            lines.put(None)
        except (OSError, DataError) as error:
            lines.put(error)

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        piece: list[str] = []
        size = 0
        while len(piece) < _CHUNK and size < _CHUNK_BYTES and not (piece and lines.empty()):
            line = lines.get()
            if isinstance(line, DataError):
                raise line
            if isinstance(line, OSError):
                raise InputOutputError(f"{name}: reading failed ({line.strerror or line})")
            if line is None:
                ended = True
                break
            piece.append(decode(line))
            size += len(line)
        if piece:
            yield piece


def _lines(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """Lines without their ends, in UTF-8 or an encoding of single bytes."""

    def check(number: int, length: int) -> None:
        if length > sheet.MAX_LINE:
            raise DataError(f"{name}, line {number}: has more than {sheet.MAX_LINE} bytes; expected one text a line")

    first = stream.readline(sheet.MAX_LINE + 1)
    check(1, len(first))
    mark, encoding = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", ""))
    if encoding.startswith("utf-16"):
        # Its newline is two bytes, of which `readline` knows one.
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        rest, block, number = "", first[len(mark) :], 1
        while block:
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            yield from (line.encode() for line in whole)
            number += len(whole)
            check(number, len(rest))
            block = stream.read(1 << 16)
        rest += decoder.decode(b"", final=True)
        if rest:
            yield rest.encode()
        return
    if first:
        yield first[len(mark) :].removesuffix(b"\n")
    for number, line in enumerate(iter(lambda: stream.readline(sheet.MAX_LINE + 1), b""), 2):
        check(number, len(line))
        yield line.removesuffix(b"\n")


def decode(line: bytes) -> str:
    """A line as text, whatever it holds; a carriage return at its end belongs to the line's end."""
    line = line.removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")
