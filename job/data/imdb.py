"""Keras's IMDB file: reviews as lists of word ranks in an .npz of pickled arrays, its word index in a .json beside it.

Reading such a file with NumPy would unpickle whatever it holds, and unpickling can run any code. So the arrays are read
here through an unpickler that admits nothing but NumPy arrays, lists and integers.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from job.data import cache
from job.data.packed import check_size
from job.data.parts import TEST, TRAIN
from job.errors import DataError, MissingInputError
from job.files import checksum
from job.files.reading import explained
from job.presets import SPECIAL_TOKENS, START

_REVIEWS, WORD_INDEX = "imdb.npz", "imdb_word_index.json"
_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
# The checksums that Keras knows of its files.
_KNOWN_HASHES = {
    _REVIEWS: "sha256:69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    WORD_INDEX: "md5:bfafd718b763782e994055a2d397834f",
}
# Of the shuffle in Keras's `load_data`.
_SHUFFLE_SEED = 113
_MEMBERS = ("x_train", "y_train", "x_test", "y_test")
# Of Keras's Tokenizer, by which the file was made.
_SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
# Of fewer reviews, all may begin with the most frequent word.
_ENOUGH = 10
# Keras's file unpacks to 5 of these; the bound keeps a small file from filling the memory.
_MAX_MEMBER_BYTES = 1 << 30


def fetch(folder: Path) -> Path:
    """The path of Keras's IMDB file in the cache, fetched first where it is missing, its word index too.

    Raises:
        DataError: A file of this name is there that is not Keras's.
        TemporaryError, OutputError, InputOutputError: As in `cache.fetch`.
    """
    for name, known_hash in _KNOWN_HASHES.items():
        target = folder / name
        if not target.exists():
            (other,) = _KNOWN_HASHES.keys() - {name}
            otherwise = (
                f"without a network put {name} (and {other}) into {folder}, "
                "or use --data PATH for a copy elsewhere, or --data embedded"
            )
            cache.fetch(_URL + name, target, known_hash, otherwise)
            continue
        algorithm, _, expected = known_hash.partition(":")
        if checksum.of_file(target, algorithm) != expected:
            raise DataError(
                f"{target}: is not Keras's file (its {algorithm} is not {expected}); remove it, or name it with --data {target}"
            )
    return folder / _REVIEWS


def shuffled(*parts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The train and test reviews in the order of Keras's `imdb.load_data()`, which shuffles them one after the other.

    Source: keras/src/datasets/imdb.py

    Args:
        parts: Each <int64>[reviews], in the order of the file.
    """
    random = np.random.RandomState(_SHUFFLE_SEED)
    orders = []
    for part in parts:
        order = np.arange(len(part))
        random.shuffle(order)
        orders.append(part[order])
    return orders


def split(text: str) -> list[str]:
    """A text's words as the makers of the file split it: beyond ASCII not as `tokenize` does.

    Source: keras_preprocessing.text.text_to_word_sequence
    """
    return [word for word in text.lower().translate(_SEPARATORS).split(" ") if word]


def used_word_index(words: list[str], tokens: NDArray[np.int32]) -> dict[str, int]:
    """The tutorial's word index: Keras's, cut to the numbers that occur in the reviews, and four special tokens.

    As in the tutorial, the numbers in the reviews are ranks + 3 while those of the index are plain ranks, so most of the
    words that it keeps are not the ones that were read.

    Args:
        words: The vocabulary by rank.
        tokens: <int32>[all tokens] of the reviews that were read.
    """
    used = set(tokens.tolist())
    index = {word: rank for rank, word in enumerate(words, 1) if rank in used}
    return index | {token: number for number, token in enumerate(SPECIAL_TOKENS)}


def _latin1(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, by which pickles of protocol 2 hold bytes."""
    if type(text) is not str or encoding != "latin1":
        raise pickle.UnpicklingError("not bytes")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"{module}.{name} is not an array, a list or an integer")


def read_array(stream: Any) -> np.ndarray[Any, Any]:
    """Reads one array in numpy's .npy format, objects only through the restricted unpickler.

    Raises:
        ValueError, pickle.UnpicklingError, EOFError and the like: The stream holds something else.
    """
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = npy_format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = npy_format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version} of the .npy format")
    if len(shape) != 1:
        raise ValueError(f"an array of shape {shape}; one dimension was expected")
    if dtype.hasobject:
        array = _ArrayUnpickler(stream).load()
        if type(array) is not np.ndarray or array.shape != shape:
            raise ValueError("a pickle that holds no array of the shape that its header gives")
        return array
    if dtype.kind not in "iu":
        raise ValueError(f"an array of {dtype}; integers were expected")
    # What a header claims is not asked for: so much memory would be taken before anything is read.
    content = stream.read(min(shape[0] * dtype.itemsize, _MAX_MEMBER_BYTES))
    return np.frombuffer(content, dtype=dtype, count=shape[0])


def read_word_index(path: Path) -> list[str]:
    """The words by rank from Keras's word index, a JSON object of word: rank with ranks 1, 2, 3, ..."""
    try:
        index = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise MissingInputError(
            f"{path}: no such file, so the numbers in the .npz beside it stand for no words; put the index that belongs to it there"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected a JSON object of word: rank, but it is not JSON ({error})") from None
    if not isinstance(index, dict) or not all(type(rank) is int for rank in index.values()):
        raise DataError(f"{path}: expected a JSON object of word: rank")
    words = sorted(index, key=index.__getitem__)
    if [index[word] for word in words] != list(range(1, len(words) + 1)):
        raise DataError(f"{path}: expected the ranks 1 to {len(words)}, each once")
    return words


class RankedReview(NamedTuple):
    """One review of the file."""

    ranks: NDArray[np.int64]
    """<int64>[words], from 1; one more than there are words stands for a word that is not known."""
    label: int
    part: int
    row: int
    """In its part, from 1."""


def read_reviews(path: Path, word_count: int, warnings: list[str]) -> Iterator[RankedReview]:
    """Yields every review of the file.

    What Keras's `load_data()` returns is read right where it was saved like this: every review begins with 1, which stands
    for its start there, and ranks are raised by 3.

    Args:
        warnings: Is told what may be misread.

    Raises:
        MissingInputError: The file is not there, or may not be read.
        DataError: The file holds something else.
    """
    try:
        with explained(path, "an .npz that this user may read"):
            archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: expected an .npz archive with {', '.join(_MEMBERS)}, but it is not one ({error})") from None
    with archive:
        missing = [name for name in _MEMBERS if name + ".npy" not in archive.namelist()]
        if missing:
            raise DataError(f"{path}: expected the arrays {', '.join(_MEMBERS)}; missing: {', '.join(missing)}")
        shift = 0
        for part, name in ((TRAIN, "train"), (TEST, "test")):
            labels = _member(archive, path, f"y_{name}")
            reviews = _member(archive, path, f"x_{name}")
            if len(labels) != len(reviews):
                raise DataError(f"{path}: x_{name} holds {len(reviews)} reviews, but y_{name} {len(labels)} labels")
            if part == TRAIN and _is_shifted(reviews):
                shift = len(SPECIAL_TOKENS) - 1
                warnings.append(
                    f"every review of {path.name} begins with 1, as those do that Keras's load_data() returns: that start mark was left out, and {shift} taken from each rank"
                )
            for row in range(len(reviews)):
                # Handed over and dropped one by one: as Python lists the reviews take ten times the memory of an array.
                review, reviews[row] = reviews[row], None
                ranks = _ranks(review, f"{path}, x_{name} row {row + 1}")
                if shift:
                    # Beside the start mark there are padding and words that are not known.
                    ranks = ranks[ranks > START] - shift
                    ranks = np.where((ranks >= 1) & (ranks <= word_count), ranks, word_count + 1)
                elif len(ranks) and not (ranks.min() >= 1 and ranks.max() <= word_count):
                    raise DataError(
                        f"{path}, x_{name} row {row + 1}: expected word ranks from 1 to {word_count}, as many as {WORD_INDEX} has words"
                    )
                if labels[row] not in (0, 1):
                    raise DataError(f"{path}, y_{name} row {row + 1}: label {labels[row]!r}; expected 0 or 1")
                yield RankedReview(ranks, int(labels[row]), part, row + 1)


def _is_shifted(reviews: "np.ndarray[Any, Any]") -> bool:
    """Whether every review begins with the start mark of Keras's `load_data`."""
    return len(reviews) >= _ENOUGH and all(
        isinstance(review, (list, np.ndarray))
        and len(review)
        and isinstance(review[0], (int, np.integer))
        and review[0] == START
        for review in reviews
    )


def _ranks(review: Any, where: str) -> NDArray[np.int64]:
    if type(review) not in (list, np.ndarray):
        raise DataError(f"{where}: expected a list of word ranks, not {type(review).__name__}")
    try:
        ranks = np.asarray(review, dtype=np.int64) if len(review) else np.empty(0, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: expected word ranks, all integers") from None
    if ranks.ndim != 1:
        raise DataError(f"{where}: expected word ranks, all integers")
    return ranks


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> np.ndarray[Any, Any]:
    info = archive.getinfo(name + ".npy")
    if info.file_size > _MAX_MEMBER_BYTES:
        raise DataError(f"{path}: {name} unpacks to {info.file_size} bytes; at most {_MAX_MEMBER_BYTES} are read")
    check_size(f"{path}: {name}", info.file_size, info.compress_size)
    try:
        with archive.open(info) as stream:
            array = read_array(io.BufferedReader(stream))
    # The errors of damaged zip files, NumPy headers and pickles have no common type.
    except Exception as error:
        raise DataError(
            f"{path}: {name} is not an array of reviews or labels as Keras writes it ({' '.join(str(error).split())[:200]})"
        ) from None
    return array if array.dtype.hasobject else array.copy()
