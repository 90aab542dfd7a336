import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.data.markup import without_html
from job.data.tokens import APOSTROPHES, SEPARATORS, Vocabulary, Writing, clip, content_hash, lacks_spaces, tokenize


def test_punctuation_separates_words_and_the_apostrophe_does_not() -> None:
    assert tokenize("It's GREAT, isn't it?<br />5/10\n(well-made)") == [
        "it's",
        "great",
        "isn't",
        "it",
        "br",
        "5",
        "10",
        "well",
        "made",
    ]


def test_only_ascii_letters_are_lower_cased_as_in_keras_s_bytes() -> None:
    assert tokenize("ÉCOLE École") == ["École", "École"]


def test_a_word_s_id_is_its_rank_plus_three_after_the_start_token() -> None:
    vocabulary = Vocabulary(["the", "film", "good"])
    assert vocabulary.encode("The good film nobody saw", 100).tolist() == [1, 4, 6, 5, 2, 2]


def test_ids_from_the_vocabulary_size_on_become_the_unknown_token() -> None:
    assert clip(np.array([0, 1, 4, 9, 10, 11], np.int32), 10).tolist() == [0, 1, 4, 9, 2, 2]


def test_long_reviews_lose_their_beginning() -> None:
    assert clip(np.array([1, 4, 9, 10], np.int32), 10, 2).tolist() == [9, 2]
    assert Vocabulary(["the", "film", "good"]).encode("The good film", 6, 3).tolist() == [4, 2, 5]


@given(st.text(st.characters(max_codepoint=127) | st.sampled_from("éßжÉ中😀")))
def test_words_are_what_the_rule_on_utf8_bytes_gives(text: str) -> None:
    separators = b'!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n\v\f\r\x1c\x1d\x1e\x1f'
    data = text.encode("utf-8", "surrogatepass").lower().translate(bytes.maketrans(separators, b" " * len(separators)))
    assert tokenize(text) == [word.decode("utf-8", "surrogatepass") for word in data.split(b" ") if word]


def test_spaces_and_punctuation_beyond_ascii_separate_words_and_apostrophes_do_not() -> None:
    assert tokenize("film\r\nfilm\xa0film\u3000film\u200bfilm\x85film") == ["film"] * 6
    assert tokenize("“great”—really… «bon» 「良」！") == ["great", "really", "bon", "良"]
    assert tokenize("don’t ‘stop’ l\x92amour") == ["don't", "'stop'", "l'amour"]
    # Joiners hold emoji and Persian words together, and marks are of the letter before them.
    assert tokenize("👩\u200d👧 می\u200cروم cafe\u0301") == ["👩\u200d👧", "می\u200cروم", "cafe\u0301"]


def test_separators_are_no_letters_and_no_digits() -> None:
    assert [character for character in SEPARATORS if unicodedata.category(character)[0] in "LN"] == []
    assert len(set(SEPARATORS)) == len(SEPARATORS)
    assert not set(SEPARATORS) & set(APOSTROPHES)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("好看的电影", True),
        ("とても良い映画", True),
        ("หนังดีมาก", True),
        ("좋은 영화", False),
        ("ein schöner Film", False),
        ("I love 北京", False),
        ("", False),
    ],
)
def test_scripts_without_spaces_are_told(text: str, lacks: bool) -> None:
    assert lacks_spaces(text) is lacks


def test_texts_of_html_are_told() -> None:
    writing = Writing("a.csv")
    assert writing.notices() == []
    for text in ["Q&amp;A", "I <3 it", "plain words"]:
        writing.add(text, without_html(text))
    assert writing.notices() == ["HTML, such as '&amp;', was taken out of 1 of the 3 texts of a.csv"]
    assert writing.warnings() == []


def test_html_is_no_part_of_a_text_where_the_vocabulary_says_so() -> None:
    assert Vocabulary(["br", "good"]).encode("Good<br />", 9).tolist() == [1, 5, 4]
    assert Vocabulary(["br", "good"], takes_out_html=True).encode("Good<br />", 9).tolist() == [1, 5]


@given(st.lists(st.text(alphabet="abc", min_size=1), max_size=5))
def test_texts_of_the_same_words_have_the_same_hash_and_others_do_not(words: list[str]) -> None:
    assert content_hash(words) == content_hash(list(words))
    assert content_hash(words) != content_hash([*words, "d"])
    assert 0 <= content_hash(words) < 2**64
