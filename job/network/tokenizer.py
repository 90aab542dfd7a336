"""The tokenizer (job/data/tokens.py, job/data/markup.py) in TensorFlow's own operations, for the SavedModel."""

from collections.abc import Sequence

import tensorflow as tf

from job.data import markup
from job.data.tokens import APOSTROPHES, FIRST_WORD_ID, SEPARATORS, Vocabulary
from job.presets import UNKNOWN

# Stands around entities. Of texts it is taken for a space, which separates words and names in tags alike.
_MARK = "\x1f"
_LAST_CODE_POINT = 0x10FFFF
# Of a code point, as job/data/markup.py reads them.
_MOST_DIGITS = 7


class Tokenizer(tf.Module):
    """Texts to token ids.

    Args:
        vocabulary: All of it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        words = vocabulary.words
        ids = tf.range(FIRST_WORD_ID, FIRST_WORD_ID + len(words))
        self._ids = _table(words, ids, UNKNOWN)
        self.plain = _WithoutHtml() if vocabulary.takes_out_html else None

    def ids(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Token ids <int32>[batch, words], without a start token, of <string>[batch]."""
        plain = self.plain(text) if self.plain else text
        # Without an encoding, TensorFlow lowers ASCII letters and no others: as Keras's IMDB data are made.
        plain = tf.strings.regex_replace(tf.strings.lower(plain), _any_of(APOSTROPHES), "'")
        spaced = tf.strings.regex_replace(plain, _any_of(SEPARATORS), " ")
        words = tf.strings.split(spaced, sep=" ")
        words = tf.ragged.boolean_mask(words, words != "")
        return words.with_flat_values(self._ids.lookup(words.flat_values))


class _WithoutHtml(tf.Module):
    """`without_html` of <string>[batch]."""

    def __init__(self) -> None:
        super().__init__()
        known = markup.exceptions()
        # What stands for itself; a value of the table is never this.
        self._known = _table(list(known), tf.constant(list(known.values())), _MARK)

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        plain = tf.strings.regex_replace(text, _MARK, " ")
        for _ in range(markup.LAYERS):
            for opening, closing in markup.PAIRS:
                plain = tf.strings.regex_replace(plain, f"{opening}(?s:.*?){closing}", " ")
            plain = tf.strings.regex_replace(plain, markup.TAG, " ")
            pieces = tf.strings.split(tf.strings.regex_replace(plain, markup.ENTITY, f"{_MARK}\\0{_MARK}"), sep=_MARK)
            plain = tf.strings.reduce_join(pieces.with_flat_values(self._characters(pieces.flat_values)), axis=-1)
        return plain

    def _characters(self, pieces: tf.Tensor) -> tf.Tensor:
        """`character` of those pieces that are entities, and the others: <string>[pieces]."""
        is_decimal = tf.strings.regex_full_match(pieces, markup.DECIMAL)
        is_hexadecimal = tf.strings.regex_full_match(pieces, markup.HEXADECIMAL)
        numbers = tf.where(is_hexadecimal, _number(pieces, is_hexadecimal, 16), _number(pieces, is_decimal, 10))
        is_number = is_decimal | is_hexadecimal
        names = tf.where(is_number, tf.strings.join(["&#", tf.strings.as_string(numbers), ";"]), pieces)
        # Code points that are none become U+FFFD, as in `html.unescape`.
        points = tf.where(is_number, tf.minimum(numbers, _LAST_CODE_POINT + 1), 0)
        plain = tf.strings.unicode_encode(points[:, None], "UTF-8", errors="replace")
        found = self._known.lookup(names)
        return tf.where(found != _MARK, found, tf.where(is_number, plain, pieces))


def _number(pieces: tf.Tensor, which: tf.Tensor, base: int) -> tf.Tensor:
    """What the digits of these pieces say, 0 of the others: <int32>[pieces]."""
    digits = tf.strings.regex_replace(tf.where(which, pieces, ""), "[&#xX;]", "")
    codes = tf.cast(tf.io.decode_raw(tf.strings.lower(digits), tf.uint8, fixed_length=_MOST_DIGITS), tf.int32)
    numbers = tf.zeros_like(codes[:, 0])
    for code in tf.unstack(codes, axis=1):
        value = tf.where(code >= ord("a"), code - ord("a") + 10, code - ord("0"))
        # Shorter ones end with zero bytes.
        numbers = tf.where(code > 0, numbers * base + value, numbers)
    return numbers


def _table(keys: Sequence[str], values: tf.Tensor, default: int | str) -> tf.lookup.StaticHashTable:
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(list(keys), tf.string), values), default)


def _any_of(characters: str) -> str:
    """A regular expression (RE2's) for one of these."""
    return "[" + "".join(f"\\x{{{ord(character):x}}}" for character in characters) + "]"
