"""The one tokenizer and the one vocabulary, by the rules of Keras's IMDB data and, beyond ASCII, in their spirit.

A text is lower-cased in ASCII only, spaces and punctuation separate words, and apostrophes, straight or curly, do not. A
word's id is its rank by frequency in the training part (from 1) plus 3; ids 0 to 3 are padding, start, unknown and unused.
Source: keras.datasets.imdb and keras_preprocessing.text.Tokenizer.
"""

import hashlib
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from job.data.markup import first_html, without_html
from job.errors import DataError
from job.presets import SPECIAL_TOKENS, START, UNKNOWN

FIRST_WORD_ID = len(SPECIAL_TOKENS)

# Keras's own, and the other control characters that separate lines, cells and records.
_ASCII = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n\v\f\r\x1c\x1d\x1e\x1f'
# Beyond ASCII. A list and no property of Unicode's, as TensorFlow and each Python know another Unicode.
_RANGES = (
    *((0x80, 0x90), (0x93, 0xA1), (0xA7, 0xA7), (0xAB, 0xAB), (0xB6, 0xB7), (0xBB, 0xBB), (0xBF, 0xBF)),  # Latin-1
    *((0x2000, 0x200B), (0x200E, 0x2017), (0x201A, 0x201A), (0x201C, 0x201F), (0x2020, 0x2060), (0xFEFF, 0xFEFF)),
    *(
        (0x2E00, 0x2E2E),
        (0x2E30, 0x2E5D),
        (0x3000, 0x3003),
        (0x3008, 0x3011),
        (0x3014, 0x301F),
        (0x3030, 0x3030),
        (0x30FB, 0x30FB),
    ),
    *((0xFE10, 0xFE19), (0xFE30, 0xFE6B), (0xFF01, 0xFF06), (0xFF08, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40)),
    *((0xFF5B, 0xFF65), (0x60C, 0x60C), (0x61B, 0x61B), (0x61F, 0x61F), (0x6D4, 0x6D4), (0x964, 0x965), (0x1361, 0x1368)),
)
SEPARATORS = _ASCII + "".join(chr(number) for first, last in _RANGES for number in range(first, last + 1))
"""Every character that separates words."""
APOSTROPHES = "\x91\x92‘’‛ʼ＇"
"""Read as the straight one: Keras's rules keep it in a word."""
_TABLE = str.maketrans(
    dict.fromkeys(SEPARATORS, " ")
    | dict.fromkeys(APOSTROPHES, "'")
    | dict(zip(string.ascii_uppercase, string.ascii_lowercase, strict=True))
)
# Scripts that put no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Kana, Han.
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_SHOWN = 30


def lacks_spaces(text: str) -> bool:
    """Whether most letters of a text are of a script without spaces between words, so that `tokenize` cannot split it."""
    if text.isascii():
        return False
    return 2 * len(_WITHOUT_SPACES.findall(text)) > sum(map(str.isalpha, text))


class Writing:
    """Counts the texts that `tokenize` cannot split, and those that HTML was taken out of.

    Args:
        shown: The name of the data, for messages.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._texts = self._without = self._of_html = 0
        self._example = ""

    def add(self, text: str, plain: str) -> None:
        """Another text, as it stands in its source and as it is read."""
        self._texts += 1
        self._without += lacks_spaces(plain)
        if plain != text:
            self._of_html += 1
            self._example = self._example or first_html(text) or ""

    def notices(self) -> list[str]:
        """What was decided, when all have been seen."""
        if not self._of_html:
            return []
        where = f"{self._of_html} of the {self._texts} texts of {self._shown}"
        return [f"HTML, such as {self._example[:_SHOWN]!r}, was taken out of {where}"]

    def warnings(self) -> list[str]:
        """What is to be said of them, when all have been seen.

        Raises:
            DataError: They are the most.
        """
        if 2 * self._without > self._texts:
            raise DataError(
                f"{self._shown}: most texts ({self._without} of {self._texts}) are in a script that puts no spaces between words, such as Chinese, Japanese or Thai, and words are found by spaces here; put spaces between the words first (jieba, MeCab or PyThaiNLP do it)"
            )
        if not self._without:
            return []
        return [
            f"{self._without} texts are in a script without spaces between words, which is read as one word up to the next punctuation mark"
        ]


def tokenize(text: str) -> list[str]:
    """Splits a text into words: `tokenize("It's GREAT, isn't it?")` is `["it's", "great", "isn't", "it"]`."""
    return [word for word in text.translate(_TABLE).split(" ") if word]


def content_hash(words: Sequence[str]) -> int:
    """A 64-bit hash of a text's words: equal for texts that no network here can distinguish."""
    return hash_of(" ".join(words))


def hash_of(text: str) -> int:
    """A 64-bit hash."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Vocabulary:
    """The words that have ids, and how a text is split into words."""

    words: Sequence[str]
    """By rank: `words[0]` is the most frequent and has id 4."""
    takes_out_html: bool = False
    """Whether tags and entities are no part of a text: they are of Keras's IMDB, whose `br` is a word."""

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token ids by word."""
        return {word: rank for rank, word in enumerate(self.words, FIRST_WORD_ID)}

    def up_to(self, size: int) -> "Vocabulary":
        """The words whose ids are below `size`."""
        return replace(self, words=self.words[: max(0, size - FIRST_WORD_ID)])

    def encode(self, text: str, size: int, max_tokens: int | None = None) -> NDArray[np.int32]:
        """Token ids of a text, the start token first, as far as they are read (see `clip`): <int32>[tokens]."""
        words = tokenize(without_html(text) if self.takes_out_html else text)
        ids = [self.ids.get(word, UNKNOWN) for word in words]
        return clip(np.array([START, *ids], dtype=np.int32), size, max_tokens)


def clip(ids: NDArray[np.int32], size: int, max_tokens: int | None = None) -> NDArray[np.int32]:
    """What is read of a review: <int32>[tokens].

    Longer reviews than `max_tokens` lose their beginning, since the end decides. Ids from `size` on become the unknown
    token, as with `num_words` in Keras's `load_data`.
    """
    if max_tokens is not None:
        ids = ids[-max_tokens:]
    return np.where(ids < size, ids, np.int32(UNKNOWN))
