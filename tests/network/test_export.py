"""The SavedModel: its tokenizer is the package's, and what it computes is what was trained."""

import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.data.markup import exceptions, without_html
from job.data.tokens import SEPARATORS, Vocabulary
from job.errors import InputOutputError, JobError
from job.files import atomic
from job.presets import PRESETS, Architecture, PresetName
from tests.conftest import Command

tf = pytest.importorskip("tensorflow")

from job.machine import runtime
from job.network import export
from job.network.forward import Forward
from job.network.fresh import FreshProcess, KilledError, difference
from job.network.predictor import EnsemblePredictor, LinearPredictor, NetworkPredictor, Predictor
from job.network.tokenizer import Tokenizer
from job.output import tensorboard
from job.output.results import LinearWeights, Trials
from tests.data.samples import tables
from tests.network import test_forward
from tests.output.test_folder import EPOCH

# As the job does, before the first operation.
runtime.prepare_tensorflow()

WORDS = Vocabulary(["the", "film", "it's", "é", "É", "a\u00a0b", "good"])
FEWER = Vocabulary([*WORDS.words[:5], "good"])


VALUES = test_forward.tiny(Architecture.rnn, vocabulary_size=10, max_tokens=6)
TABLES = tables(10, [4 * 10 + 9, 5 * 10 + 6], [(4 * 10 + 9) * 10 + 4])


@pytest.fixture(scope="module")
def model() -> Any:
    member = export.NetworkMember(test_forward.build(Architecture.rnn, VALUES), VALUES, TABLES)
    return member, export.TextModel([(member, 1.0)], WORDS)


def ids(model: Any, texts: list[str]) -> list[list[int]]:
    member, whole = model
    return member.encode(whole.tokenizer.ids(tf.constant(texts, tf.string))).to_list()  # type: ignore[no-any-return]


def expected(texts: list[str]) -> list[list[int]]:
    return [WORDS.encode(text, 10)[-6:].tolist() for text in texts]


def test_tokens_are_those_of_training(model: Any) -> None:
    texts = ["", "The FILM!!! (it's) good", "é É", "a\u00a0b a b", "\r\n\tthe\x00", "the " * 9, "[the]\\film-good^"]
    assert ids(model, texts) == expected(texts)
    assert ids(model, ["the film"]) == [[1, 4, 5]]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(st.one_of(st.sampled_from("theflmgodis'ÉéTHE \x0b\r\u2028" + SEPARATORS), st.characters(exclude_categories=["Cs"]))), min_size=1, max_size=4))  # fmt: skip
def test_tokens_are_those_of_training_whatever_the_text(model: Any, texts: list[str]) -> None:
    assert ids(model, texts) == expected(texts)


OF_HTML = Vocabulary(["the", "film", "é", "b"], takes_out_html=True)
PIECES = [
    "the",
    "film",
    "b",
    "é",
    " ",
    "<",
    ">",
    "&",
    ";",
    "<b>",
    "</B >",
    "<br/>",
    "<a href='x'>",
    "<!--",
    "-->",
    "<script>",
    "</Script>",
    "<3",
]
PIECES += [
    "&lt;",
    "&gt;",
    "&amp;",
    "&eacute;",
    "&Eacute;",
    "&nbsp;",
    "&fjlig;",
    "&nosuch;",
    "&#39;",
    "&#x62;",
    "&#X0E9;",
    "&#31;",
    "&#150;",
    "&#0;",
]
PIECES += [
    "&#55296;",
    "&#9999999;",
    "&#xFFFFFF;",
    "&#128512;",
    "&#x;",
    "&#12345678;",
    "#",
    "x",
    "62",
    "\x1f",
    "\x00",
    "\n",
    "=",
    "/",
    "😀",
]


@functools.cache
def of_html() -> Any:
    return Tokenizer(OF_HTML)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join), min_size=1, max_size=4))  # fmt: skip
def test_html_is_taken_out_as_in_training(texts: list[str]) -> None:
    plain = [without_html(text) for text in texts]
    assert [each.decode() for each in of_html().plain(tf.constant(texts)).numpy()] == [
        each.replace("\x1f", " ") for each in plain
    ]
    assert of_html().ids(tf.constant(texts)).to_list() == [OF_HTML.encode(text, 8)[1:].tolist() for text in texts]


def test_every_entity_is_what_it_is_in_training() -> None:
    texts = [
        f"a{entity}b"
        for entity in [*exceptions(), "&#160;", "&#xA0;", "&#0x41;", "&#65;", "&#x1F600;", "&#1114111;", "&#1114112;"]
    ]
    assert [each.decode() for each in of_html().plain(tf.constant(texts)).numpy()] == [without_html(text) for text in texts]


def test_of_no_text_there_is_no_answer(model: Any) -> None:
    _, whole = model
    answer = whole.serve(tf.constant([], tf.string))
    assert {name: each.shape.as_list() for name, each in answer.items()} == {"probability": [0], "label": [0]}
    assert whole.serve(tf.constant(["the film"]))["label"].shape == (1,)


# The second word's weight is beyond the last one that has any; of the pairs, "the good" and "good the" have one, and of the
# triples "the good the".
WEIGHTS = LinearWeights(
    bias=np.array([0.25], np.float32),
    words=np.array([0, 0, 0, 0, -1, 0, 2], np.float32),
    bigrams=np.array([4 * 10 + 9, 9 * 10 + 4]),
    bigram_weights=np.array([4, -8], np.float32),
    vocabulary_size=np.array([10]),
    trigrams=np.array([(4 * 10 + 9) * 10 + 4]),
    trigram_weights=np.array([0.5], np.float32),
)
OLD = replace(WEIGHTS, trigrams=np.empty(0, np.int64), trigram_weights=np.empty(0, np.float32))


def logits(texts: list[str], weights: LinearWeights) -> list[float]:
    model = export.TextModel([(export.LinearMember(weights), 1.0)], FEWER)
    probability = model.serve(tf.constant(texts, tf.string))["probability"].numpy()
    return [round(float(each), 3) for each in np.log(probability / (1 - probability))]


def test_the_linear_model_adds_each_word_pair_and_triple_once() -> None:
    few = ["", "zzzz", "the", "the the", "it's the film"]
    assert logits(few, WEIGHTS) == logits(few, OLD) == [0.25, 0.25, -0.75, -0.75, 1.25]
    more = ["the good", "the good the good the", "good zz the", "good", "good. The"]
    assert logits(more, WEIGHTS) == [3.25, -4.25, -0.75, 0.25, -8.75]
    assert logits(more, OLD) == [3.25, -4.75, -0.75, 0.25, -8.75]


@functools.cache
def linear(has_trigrams: bool) -> Any:
    predictor = LinearPredictor(WEIGHTS if has_trigrams else OLD, FEWER)
    return predictor, export.text_model(predictor)


@pytest.mark.parametrize("has_trigrams", [True, False])
@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.sampled_from([*WORDS.words, "zz", "The,", ""]), max_size=8).map(" ".join), min_size=1, max_size=4))
def test_the_linear_model_is_served_as_the_package_computes_it(has_trigrams: bool, texts: list[str]) -> None:
    predictor, model = linear(has_trigrams)
    served = model.serve(tf.constant(texts, tf.string))["probability"]
    np.testing.assert_allclose(served, predictor.probabilities(texts), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sure", [5.0, 10.0, 13.0, 40.0])
def test_members_that_are_sure_of_the_opposite_are_served_as_the_package_computes_it(sure: float) -> None:
    """A probability near 1 is rounded so that its logit is off by as much as a tenth."""
    two = [LinearPredictor(replace(OLD, bias=np.array([bias], np.float32)), WORDS) for bias in (sure + 0.1234, 0.05 - sure)]
    asked = EnsemblePredictor([(each, 0.5) for each in two], WORDS)
    model, texts = export.text_model(asked), ["", "the", "it's the good"]
    served = model.serve(tf.constant(texts))["probability"]
    np.testing.assert_allclose(served, asked.probabilities(texts), rtol=0, atol=2e-6)
    votes = [np.clip(each.logits(each.encode(texts)).astype(np.float64), -np.log(999_999), np.log(999_999)) for each in two]
    np.testing.assert_allclose(served, 1 / (1 + np.exp(-(votes[0] + votes[1]) / 2)), rtol=0, atol=2e-6)


def test_exported_models_agree_in_a_process_without_this_package(tmp_path: Path) -> None:
    texts = ["", "The film, it's GOOD", "good " * 500]
    predictors: list[Predictor] = []
    for preset in (PresetName.standard, PresetName.quickstart, PresetName.seed):
        values = replace(PRESETS[preset].networks[Architecture.lstm], vocabulary_size=10, units=3)
        values = values if preset is PresetName.seed else test_forward.tiny(Architecture.lstm, preset, vocabulary_size=10)
        network = test_forward.build(Architecture.lstm, values)
        forward = Forward(network, values, "while_loop" if preset is PresetName.seed else "xla")
        known = TABLES if values.evidence else None
        predictors.append(NetworkPredictor(Architecture.lstm, forward, WORDS, tables=known))
    other = test_forward.build(Architecture.rnn, VALUES)
    simple = NetworkPredictor(Architecture.rnn, Forward(other, VALUES, "xla"), WORDS, tables=TABLES)
    last = LinearPredictor(WEIGHTS, WORDS, 0.9)
    members = [(predictors[0], 0.5), (simple, 0.2), (last, 0.3)]
    predictors += [EnsemblePredictor(members, WORDS, 0.4), last]
    folders, trained = [], []
    for place, predictor in enumerate(predictors):
        folders.append(tmp_path / f"{place}-{predictor.name}" / "saved_model")
        export.save(export.text_model(predictor), folders[-1])
        trained.append(predictor.probabilities(texts))
    thresholds = [each.threshold for each in predictors]
    assert thresholds == [0.5] * 3 + [0.4, 0.9]

    def worst(first: int, expected: list[NDArray[np.float32]], thresholds: list[float]) -> float:
        with closing(FreshProcess(texts, tmp_path)) as fresh:
            for folder in folders[first:]:
                fresh.load(folder, folder)
            answers = fresh.answers()
        return max(map(difference, folders[first:], answers, expected, thresholds))

    assert worst(0, trained, thresholds) < 1e-5
    with pytest.raises(JobError, match=r"baseline/saved_model: the exported model does not label by its threshold of 0\.01"):
        worst(-2, trained[-2:], [0.4, 0.01])
    # The last of them: the ones before do not hide it.
    with pytest.raises(JobError, match=r"baseline/saved_model: the exported model differs from the trained one by 0\.001"):
        worst(-2, [trained[-2], trained[-1] + np.float32(0.001)], thresholds[-2:])
    (folders[-1] / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(
        JobError, match="baseline/saved_model: the exported model cannot be loaded in a fresh process"
    ) as caught:
        worst(-2, trained[-2:], thresholds[-2:])
    assert caught.value.exit_code == 1


def test_a_process_that_is_ended_from_outside_says_nothing_of_the_models(tmp_path: Path) -> None:
    with closing(FreshProcess(["good"], tmp_path)) as fresh:
        fresh.load(tmp_path / "saved_model", tmp_path / "saved_model")
        fresh._process.kill()
        with pytest.raises(KilledError, match="the process that tries the exported models was ended by SIGKILL"):
            fresh.answers()


def test_the_run_s_saved_model_is_served_as_the_readme_says(command: Command, finished: Path) -> None:
    """Its lines, in a process that has TensorFlow and not this package; the answers are those of `predict`."""
    script = """
import json, sys
import tensorflow as tf
assert "job" not in sys.modules
model = tf.saved_model.load(sys.argv[1])
texts = json.loads(sys.argv[2])
answer = model.signatures["serving_default"](text=tf.constant(texts))
print(json.dumps([[float(each) for each in answer["probability"]], [each.decode() for each in answer["label"].numpy()]]))
"""
    texts = ["take my words as they stand the film was superb", "", "Ünïcode, punctuation!"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(finished / "lstm" / "saved_model"), json.dumps(texts)],
        capture_output=True, text=True, timeout=120, cwd=finished.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    predicted = command("predict", finished, "--architecture", "lstm", "--json", *texts)
    expected = [json.loads(line) for line in predicted.stdout.splitlines()]
    probabilities, labels = json.loads(done.stdout)
    np.testing.assert_allclose(probabilities, [each["probability"] for each in expected], rtol=0, atol=1e-5)
    assert labels == [each["label"] for each in expected]


@pytest.mark.parametrize("write", [
    lambda folder: export.save(linear(True)[1], folder),
    lambda folder: tensorboard.write(Trials(), folder),
], ids=["model", "events"])  # fmt: skip
def test_what_tensorflow_cannot_write_is_74(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "_named", lambda _: {"rnn": [EPOCH] * 40})
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, allowed[1]))
    try:
        with (
            pytest.raises(InputOutputError, match=r"/made: writing failed \(File too large\); what was finished"),
            atomic.explained(tmp_path / "made"),
        ):
            write(tmp_path / "made")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
def test_a_model_is_tried_without_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with closing(FreshProcess(["the film"], tmp_path)):
        assert [path.name for path in tmp_path.iterdir()] == ["texts.json"]
