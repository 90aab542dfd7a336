"""Reviews worth reading: which ones are chosen, and how they are shown."""

from pathlib import Path
from typing import Any

import numpy as np

from job.data import corpus
from job.data.reviews import Reviews
from job.output.results import TrialResult, Trials
from job.presets import Architecture
from job.records.run import Examples
from job.report import examples
from job.source import DataSource
from tests.conftest import rows, table, train_here
from tests.output.test_folder import record
from tests.report.conftest import Changed


def test_examples_are_the_reviews_that_are_most_wrong_and_most_disputed() -> None:
    labels = np.array([0, 1, 0, 1, 1], np.int8)
    trials = Trials()
    for name, seed, probabilities in (
        ("lstm", 0, [0.1, 0.9, 0.6, 0.2, 0.9]), ("lstm", 1, [0.1, 0.9, 0.8, 0.0, 0.9]), ("rnn", 0, [0.9, 0.8, 0.1, 0.4, 0.6])
    ):  # fmt: skip
        trials.add(Architecture(name), TrialResult(record(seed), [], np.array(probabilities, np.float32), None))
    texts = ["a", "b", "c" * 2000, None, "e"]
    found = examples.choose(labels, trials, lambda number: texts[number], np.array([1, 2, 3, 4, 5]))
    # Review 3 is wronger still, but nobody knows its text.
    assert found.most_wrong == {"lstm": [2], "rnn": [0]}
    assert found.disagreements == [0, 2]
    assert found.texts == {"0": "a", "2": "… " + "c" * 1200}
    assert found.lengths == [1, 2, 3, 4, 5]


def test_texts_are_taken_from_the_source_and_of_what_it_no_longer_holds_the_words_stay(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(table(rows()))
    odd = [("Bad, bad. BAD!", "neg"), ("It's GOOD, isn't it?", "pos")]
    (tmp_path / "test.csv").write_bytes(table(odd))
    source = DataSource(name=str(tmp_path / "train.csv"), cache=tmp_path / "cache", test=str(tmp_path / "test.csv"))
    loaded = corpus.load(source)
    test = Reviews(loaded, loaded.part("test"), 1000)
    trials = Trials()
    trials.add(Architecture.rnn, TrialResult(record(0), [], np.array([0.9, 0.2], np.float32), None))
    found = examples.of_source(test, trials, source)
    assert found.most_wrong == {"rnn": [0, 1]}
    assert found.texts == {"0": "Bad, bad. BAD!", "1": "It's GOOD, isn't it?"}
    assert found.originals == [0, 1]
    (tmp_path / "test.csv").write_bytes(table([odd[0], ("Something else, now.", "pos")]))
    found = examples.of_source(test, trials, source)
    # Of the vocabulary, which is the training part's.
    assert found.texts == {"0": "Bad, bad. BAD!", "1": "good"}
    assert found.originals == [0]


def test_shards_choose_again_among_what_they_chose_and_a_text_goes_before_words() -> None:
    labels, trials = np.array([0, 1, 0], np.int8), Trials()
    trials.add(Architecture.rnn, TrialResult(record(0), [], np.array([0.9, 0.2, 0.6], np.float32), None))
    shards = [
        Examples(lengths=[1, 2, 3], most_wrong={}, disagreements=[], texts={"0": "A, b.", "1": "c d"}, originals=[0]),
        Examples(lengths=[1, 2, 3], most_wrong={}, disagreements=[], texts={"0": "a b", "1": "c d"}, originals=[]),
    ]
    found = examples.choose_among(shards, labels, trials)
    assert found.most_wrong == {"rnn": [0, 1]}
    assert found.texts == {"0": "A, b.", "1": "c d"}
    assert found.originals == [0]


def test_a_run_on_a_table_shows_texts_with_their_rows_and_ids_even_when_the_table_is_gone(tmp_path: Path) -> None:
    from job.commands import report

    words = ("fine", "grand", "neat", "nice", "dire", "grim", "poor", "sad")
    # Every fifth label is wrong, so that some reviews are.
    values = [
        (f"Really: {words[number % 8]} <b>No. {number}</b>!", "np"[(number % 8 < 4) ^ (number % 5 == 0)], f"r-{number}")
        for number in range(200)
    ]
    data = tmp_path / "mine.csv"
    data.write_bytes(table(values, header=("text", "label", "name")))
    options = {"data": str(data), "id_column": "name", "positive": ["p"], "negative": ["n"]}
    train_here(tmp_path / "output", tmp_path / "cache", options=options)
    data.unlink()
    page = report.write([tmp_path / "output"]).read_text()
    assert "Texts as they stand in the data" in page
    shown = page[page.index('id="reviews"') :]
    quoted = shown[shown.index("<blockquote") :].split(">")[1].split("</blockquote")[0]
    assert quoted.startswith("Really: ")
    assert "&lt;b&gt;No. " in quoted
    number = int(quoted.split("No. ")[1].split("&lt;")[0])
    assert f"; r-{number}, row {number + 1} of mine.csv</p>" in shown


def test_the_embedded_corpus_is_quoted_with_its_punctuation(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    shown = page[page.index('id="reviews"') :]
    assert "row 20," in shown
    assert " of embedded, distance 10</p>" in shown
    quoted = shown[shown.index("<blockquote") :].split(">")[1].split("</blockquote")[0]
    assert ": " in quoted
    assert quoted.endswith(".")


def test_words_are_called_words_and_said_why(changed: Changed) -> None:
    def of_before(content: Any) -> None:
        del content["originals"]
        content["texts"] = dict.fromkeys(content["texts"], "take my words")

    page = changed("examples.json", of_before)
    assert "Words in lower case, without punctuation, as the networks see them: the run is of an earlier version" in page
    assert "Texts as they stand in the data" not in page


def test_a_text_that_was_gone_is_marked_among_others_that_were_not(changed: Changed) -> None:
    def some(content: Any) -> None:
        content["originals"] = content["originals"][:1]

    page = changed("examples.json", some)
    assert "Texts as they stand in the data" in page
    assert "Words alone: when the run was finished, the data no longer held the text." in page
