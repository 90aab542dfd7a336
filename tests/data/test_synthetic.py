import hashlib

import numpy as np
import pytest

from job.data import synthetic
from job.data.parts import TEST, TRAIN
from job.data.tokens import tokenize


@pytest.fixture(scope="module")
def corpus() -> list[tuple[str, int, int]]:
    return list(synthetic.reviews(10))


def test_it_is_the_same_bytes_on_every_machine(corpus: list[tuple[str, int, int]]) -> None:
    content = "\n".join(f"{('train', 'test')[part]}\t{label}\t{text}" for text, label, part in corpus)
    assert hashlib.sha256(content.encode()).hexdigest() == "f55101a9dca31ad3e0c76dee4054e9d20e73a6e272aef4b5d18711cd2fc105e2"


def test_a_review_reads_like_one(corpus: list[tuple[str, int, int]]) -> None:
    assert corpus[0] == (
        "Take what follows literally: the second lawyer watches the baker during april and the. Simply delightful.",
        1,
        TRAIN,
    )


def test_the_vocabulary_is_a_few_hundred_words(corpus: list[tuple[str, int, int]]) -> None:
    assert 100 <= len({word for text, _, _ in corpus for word in tokenize(text)}) <= 400


@pytest.mark.parametrize("distance", [2, 10, 57])
def test_the_distance_is_the_number_of_filler_tokens_between_the_clues(distance: int) -> None:
    for number, (text, _, _) in enumerate(synthetic.reviews(distance)):
        frame, rest = text.split(": ")
        filler, closing, end = rest.split(".")
        assert len(tokenize(filler)) == distance
        assert tokenize(frame)
        assert tokenize(closing)
        assert end == ""
        if number == 200:
            break


def test_every_combination_of_the_clues_occurs_equally_often(corpus: list[tuple[str, int, int]]) -> None:
    for wanted in (TRAIN, TEST):
        counts: dict[tuple[bool, bool], int] = {}
        for text, label, part in corpus:
            if part == wanted:
                praise = any(word in tokenize(text)[-4:] for word in synthetic._JUDGEMENTS[1])
                counts[praise, bool(label)] = counts.get((praise, bool(label)), 0) + 1
        assert len(counts) == 4
        assert len(set(counts.values())) == 1


def test_a_bag_of_words_and_word_pairs_stays_at_chance(corpus: list[tuple[str, int, int]]) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = CountVectorizer(tokenizer=tokenize, token_pattern=None, ngram_range=(1, 2), binary=True)
    train = [(text, label) for text, label, part in corpus if part == TRAIN][:8000]
    test = [(text, label) for text, label, part in corpus if part == TEST]
    model = LogisticRegression(max_iter=200, C=0.1).fit(
        vectorizer.fit_transform([text for text, _ in train]), [label for _, label in train]
    )
    accuracy = np.mean(model.predict(vectorizer.transform([text for text, _ in test])) == [label for _, label in test])
    # Four standard errors of a fair coin over the 2,000 test reviews.
    assert abs(accuracy - 0.5) < 4 * 0.5 / 2000**0.5
