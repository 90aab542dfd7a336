"""The one tokenizer and the one vocabulary, by the rules of Keras's IMDB data.

A text is lower-cased in ASCII only, punctuation becomes spaces, and it is split at spaces. A word's id is its rank by
frequency in the training part (from 1) plus 3; ids 0 to 3 are padding, start, unknown and unused.
Source: keras.datasets.imdb and keras_preprocessing.text.Tokenizer.
"""

import hashlib
import string
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from job.presets import SPECIAL_TOKENS, START, UNKNOWN

FIRST_WORD_ID = len(SPECIAL_TOKENS)

SEPARATORS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_TABLE = str.maketrans(dict.fromkeys(SEPARATORS, " ") | dict(zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)))


def tokenize(text: str) -> list[str]:
    """Splits a text into words: `tokenize("It's GREAT, isn't it?")` is `["it's", "great", "isn't", "it"]`."""
    return [word for word in text.translate(_TABLE).split(" ") if word]


def content_hash(words: Sequence[str]) -> int:
    """A 64-bit hash of a text's words: equal for texts that no network here can distinguish."""
    digest = hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class Vocabulary:
    """Words by rank; `words[0]` is the most frequent and has id 4."""

    def __init__(self, words: Sequence[str]) -> None:
        self.ids = {word: rank for rank, word in enumerate(words, FIRST_WORD_ID)}

    def encode(self, text: str, size: int, max_tokens: int | None = None) -> NDArray[np.int32]:
        """Token ids of a text, the start token first, as far as they are read (see `clip`): <int32>[tokens]."""
        ids = [self.ids.get(word, UNKNOWN) for word in tokenize(text)]
        return clip(np.array([START, *ids], dtype=np.int32), size, max_tokens)


def clip(ids: NDArray[np.int32], size: int, max_tokens: int | None = None) -> NDArray[np.int32]:
    """What is read of a review: <int32>[tokens].

    Longer reviews than `max_tokens` lose their beginning, since the end decides. Ids from `size` on become the unknown
    token, as with `num_words` in Keras's `load_data`.
    """
    if max_tokens is not None:
        ids = ids[-max_tokens:]
    return np.where(ids < size, ids, np.int32(UNKNOWN))
