"""The networks against NumPy in float64 and against stock Keras."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.data.batches import Batch
from job.data.tokens import Vocabulary
from job.presets import PRESETS, Architecture, Hyperparameters, PresetName
from job.records.base import Kernel

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from job.machine import runtime
from job.network import forward as forward_pass
from job.network.build import as_input, with_tables
from job.network.build import build as build_network
from job.network.forward import Forward, Inputs
from job.network.kernel import FAST_ACTIVATIONS
from job.network.predictor import NetworkPredictor
from job.training import loop, optimizer
from tests.data.samples import tables

# As the job does, before the first operation.
runtime.prepare_tensorflow()

TOKENS = np.array([[1, 4, 5, 6, 2], [1, 7, 0, 0, 0], [1, 0, 0, 0, 0]], np.int32)
LABELS = np.array([1.0, 0.0, 1.0], np.float32)
DRAW = np.array([0, 2], np.int32)
KERNELS: list[Kernel] = ["while_loop", "xla"]
NO_DROPOUT: dict[str, Any] = {"word_dropout": 0.0, "embedding_dropout": 0.0, "pooled_dropout": 0.0}
NETWORKS: list[tuple[PresetName, dict[str, Any]]] = [
    (PresetName.standard, {"evidence": 6, "linear_path": 0.5}),
    (PresetName.standard, {"evidence": 3, "linear_path": 0.0, "embedded_ids": 0}),
    (PresetName.standard, {"evidence": 0, "linear_path": 0.0}),
    (PresetName.quickstart, {"hidden_units": 2}),
]


def tiny(architecture: Architecture, preset: PresetName = PresetName.standard, **changes: Any) -> Hyperparameters:
    values = PRESETS[preset].networks[architecture]
    small = {"units": 3, "embedding_size": 4, "vocabulary_size": 9}
    # Of the words, the last two share the unknown one's embedding.
    small |= {"embedded_ids": 7} if values.evidence else {}
    return replace(values, **small | changes)


def build(architecture: Architecture, values: Hyperparameters, seed: int = 0) -> Any:
    return build_network(architecture, values, seed)


def batch(values: Hyperparameters, tokens: Any = TOKENS) -> Batch:
    """Reviews with some numbers, which stand beside padding, too."""
    random = np.random.default_rng(0)
    numbers = random.normal(0, 1, (*tokens.shape, values.evidence)).astype(np.float16)
    linear = random.normal(0, 2, len(tokens)) if values.evidence else np.zeros(len(tokens))
    return Batch(tokens, np.resize(LABELS, len(tokens)), numbers, linear.astype(np.float32))


def inputs(given: Batch) -> Inputs:
    return Inputs(tf.constant(given.tokens), tf.constant(given.numbers), tf.constant(given.linear))


def spread(network: Any, scale: float = 0.7) -> list[Any]:
    """Gives a network weights that are nowhere small or equal, and returns them in float64."""
    weights = [np.random.default_rng(1).normal(0, scale, weight.shape) for weight in network.get_weights()]
    network.set_weights(weights)
    return weights


def reference(architecture: Architecture, values: Hyperparameters, weights: list[Any], given: Batch) -> tuple[Any, Any]:
    """The network in NumPy and float64, a review and a token at a time, by the equations in Keras's documentation.

    Its logits, and those without what the linear model adds.
    """

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    def run(x: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
        h = c = np.zeros(values.units)
        states = []
        for step in x:
            z = step @ kernel + h @ recurrent + bias
            if architecture is Architecture.rnn:
                h = np.tanh(z)
            else:
                i, f, g, o = np.split(z, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            states.append(h)
        return np.array(states)

    embedding, *weights = (np.asarray(weight, np.float64) for weight in weights)
    path = weights.pop()[0, 0] if values.linear_path else 0.0
    alone = []
    for review, numbers in zip(given.tokens, given.numbers.astype(np.float64), strict=True):
        words = review[review != 0]
        x = embedding[np.where(words < len(embedding), words, 2)]
        x = np.concatenate([x, numbers[: len(words)]], axis=1)
        states = run(x, *weights[:3])
        if values.bidirectional:
            states = np.concatenate([states, run(x[::-1], *weights[3:6])[::-1]], axis=1)
        pooled = np.concatenate([states.max(0), states.mean(0)]) if values.pooling == "max_mean" else states[-1]
        dense = weights[-4:] if values.hidden_units else weights[-2:]
        for kernel, bias in zip(dense[::2], dense[1::2], strict=True):
            last = kernel.shape[1] == 1
            pooled = pooled @ kernel + bias
            pooled = pooled if last else np.maximum(pooled, 0)
        alone.append(pooled[0])
    return np.array(alone) + path * given.linear.astype(np.float64), np.array(alone)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("preset", "changes"), NETWORKS)
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_network_computes_what_numpy_computes_padding_and_all(
    architecture: Architecture, preset: PresetName, changes: dict[str, Any], kernel: Kernel
) -> None:
    values = tiny(architecture, preset, **changes)
    network = build(architecture, values)
    given = batch(values)
    whole, alone = reference(architecture, values, spread(network), given)
    forward = Forward(network, values, kernel)
    np.testing.assert_allclose(forward.predict(given), whole, rtol=0, atol=2e-6)
    np.testing.assert_allclose(forward.logits(inputs(given)).alone, alone, rtol=0, atol=2e-6)
    assert (np.abs(whole - alone) > 0.1).tolist() == [bool(values.linear_path)] * 3
    wider = given._replace(
        tokens=np.pad(TOKENS, ((0, 0), (0, 4))), numbers=np.pad(given.numbers, ((0, 0), (0, 4), (0, 0)), constant_values=1)
    )
    np.testing.assert_allclose(forward.predict(wider), whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("preset", "changes"), NETWORKS)
@pytest.mark.parametrize("architecture", list(Architecture))
def test_training_differentiates_what_numpy_computes(
    architecture: Architecture, preset: PresetName, changes: dict[str, Any], kernel: Kernel
) -> None:
    values = tiny(architecture, preset, **NO_DROPOUT, **changes)
    network = build(architecture, values)
    weights, given = spread(network), batch(values)

    def total(logits: Any) -> Any:
        whole, alone = logits
        return sum((place + 1) * whole[place] + 0.5 * alone[place] for place in range(3))

    with tf.GradientTape() as tape:
        loss = total(Forward(network, values, kernel).logits(inputs(given), tf.constant(DRAW)))
    gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(loss, network.trainable_variables)]
    for number, weight in enumerate(weights):
        for place in list(np.ndindex(weight.shape))[:: max(1, weight.size // 6)]:
            step = np.zeros_like(weight)
            step[place] = 1e-6
            ends = [
                total(reference(architecture, values, [*weights[:number], weight + sign * step, *weights[number + 1 :]], given))
                for sign in (1, -1)
            ]
            assert gradients[number][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=5e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("architecture", list(Architecture))
@pytest.mark.parametrize("preset", [PresetName.standard, PresetName.quickstart])
def test_without_dropout_training_computes_what_prediction_does(
    architecture: Architecture, preset: PresetName, kernel: Kernel
) -> None:
    values = tiny(architecture, preset, **NO_DROPOUT)
    network = build(architecture, values, 3)
    forward, given = Forward(network, values, kernel), batch(values)
    trained = forward.logits(inputs(given), tf.constant(DRAW)).whole
    np.testing.assert_allclose(trained, forward.predict(given), rtol=0, atol=1e-6)


def random_reviews(count: int, length: int) -> Any:
    """Token ids of reviews of all lengths, the longest possible one and one of one token last."""
    random = np.random.default_rng(count)
    tokens = random.integers(1, 9, (count, length)).astype(np.int32)
    for row, end in zip(tokens, [*random.integers(1, length, count - 2), length, 1], strict=True):
        row[end:] = 0
    return tokens


@pytest.mark.parametrize("architecture", list(Architecture))
@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": 6, "linear_path": 0.0},
        {"evidence": 3, "linear_path": 0.5},
        {"evidence": 6, "linear_path": 0.5, "word_dropout": 0.5, "embedding_dropout": 0.0},
        {"evidence": 0, "linear_path": 0.0},
        {"bidirectional": False, "pooling": "last"},
        {"activation": "relu", "recurrent_start": "identity"},
    ],
)
def test_our_loops_are_keras_s_layers_dropout_padding_and_all(architecture: Architecture, changes: dict[str, Any]) -> None:
    """Two batches of different shapes, neither of which fills its buffer; the last review is one token long."""
    if changes.get("activation", "tanh") not in FAST_ACTIVATIONS[architecture]:
        pytest.skip("our loops have no relu for an LSTM")
    values = tiny(architecture, units=5, max_tokens=24, batch_size=7, **changes)
    network = build(architecture, values)
    spread(network, 0.5)
    for count, length in ((6, 17), (7, 24)):
        given = batch(values, random_reviews(count, length))
        results = {}
        for kernel in KERNELS:
            with tf.GradientTape() as tape:
                whole, alone = Forward(network, values, kernel).logits(inputs(given), tf.constant(DRAW))
                loss = tf.reduce_sum((whole + 0.5 * alone) * tf.range(1.0, count + 1.0))
            gradients = tape.gradient(loss, network.trainable_variables)
            results[kernel] = [whole.numpy(), alone.numpy(), *(tf.convert_to_tensor(each).numpy() for each in gradients)]
        for ours, theirs in zip(results["xla"], results["while_loop"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)


def test_a_dropped_word_takes_the_numbers_of_every_n_gram_that_holds_it() -> None:
    dropped = tf.constant([[False, True, False, False, False], [False, False, False, False, True]])
    first = [[1, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]
    second = [[1, 1, 1]] * 4 + [[0, 0, 0]]
    assert forward_pass._without(dropped, 3).numpy().tolist() == [first, second]
    both = [[row * 2 for row in rows] for rows in (first, second)]
    assert forward_pass._without(dropped, 6).numpy().tolist() == both
    assert forward_pass._without(dropped[:, :1], 3).numpy().tolist() == [[[1, 1, 1]]] * 2


@pytest.mark.parametrize("kinds", [0, 3, 6])
@pytest.mark.parametrize("kernel", KERNELS)
def test_with_words_dropped_a_network_reads_unknown_ones_without_their_numbers(kernel: Kernel, kinds: int) -> None:
    values = tiny(Architecture.rnn, **NO_DROPOUT | {"word_dropout": 0.4, "evidence": kinds})
    network = build(Architecture.rnn, values)
    spread(network)
    given = batch(values, random_reviews(5, 8))
    random = tf.random.stateless_uniform(given.tokens.shape, DRAW).numpy()
    tokens, numbers = given.tokens.copy(), given.numbers.copy()
    count = 0
    for row, place in np.argwhere((random < 0.4) & (tokens > 1)):
        tokens[row, place] = 2
        count += 1
        for order in range(3):
            numbers[row, place : place + order + 1, [kind for kind in range(kinds) if kind % 3 >= order]] = 0
    assert count > 4
    forward = Forward(network, values, kernel)
    expected = forward.predict(given._replace(tokens=tokens, numbers=numbers))
    np.testing.assert_allclose(forward.logits(inputs(given), DRAW).whole, expected, rtol=0, atol=1e-6)
    assert np.abs(forward.predict(given) - expected).max() > 0.01


def test_a_token_s_gradient_is_that_of_its_embedding_alone() -> None:
    values = tiny(Architecture.rnn, PresetName.dependency, max_tokens=6)
    network = build(Architecture.rnn, values)
    spread(network, 0.5)
    found = {kernel: Forward(network, values, kernel).token_gradients(TOKENS) for kernel in KERNELS}
    for number, review in enumerate(TOKENS):
        # No word occurs twice in a review, so its row of the table has the gradient of one token.
        with tf.GradientTape() as tape:
            forward = Forward(network, values, "while_loop")
            logit = forward.logits(inputs(batch(values, review[None])), tf.constant(DRAW)).whole[0]
        table = tf.convert_to_tensor(tape.gradient(logit, network.get_layer("embedding").embeddings.value)).numpy()
        expected = np.linalg.norm(table[review], axis=1) * (review != 0)
        for norms in found.values():
            np.testing.assert_allclose(norms[number], expected, rtol=1e-4, atol=1e-7)
    assert (found["xla"][1] > 0).tolist() == [True, True, False, False, False]


def test_the_fused_optimizer_is_keras_s_adam() -> None:
    random = np.random.default_rng(0)
    start = [random.normal(size=shape).astype(np.float32) for shape in ((5, 3), (4,))]
    ended = []
    for cls in (keras.optimizers.Adam, optimizer.FusedAdam):
        variables = [keras.Variable(value) for value in start]
        chosen = cls(keras.optimizers.schedules.CosineDecay(0.1, 6), global_clipnorm=1.0)
        chosen.build(variables)
        random = np.random.default_rng(1)
        for _ in range(5):
            slices = tf.IndexedSlices(
                tf.constant(random.normal(size=(2, 3)), tf.float32), tf.constant([4, 1]), tf.constant([5, 3])
            )
            chosen.apply([slices, tf.constant(random.normal(size=4), tf.float32)], variables)
        ended.append([*(variable.numpy() for variable in variables), *(variable.numpy() for variable in chosen.variables)])
    for theirs, ours in zip(*ended, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_dropout_is_a_function_of_the_draw(kernel: Kernel) -> None:
    values = tiny(Architecture.rnn)
    network = build(Architecture.rnn, values)

    def run(draw: int) -> list[float]:
        forward = Forward(network, values, kernel)
        return forward.logits(inputs(batch(values)), tf.constant([0, draw])).whole.numpy().tolist()  # type: ignore[no-any-return]

    assert run(2) == run(2)
    assert run(2) != run(4)


@pytest.mark.parametrize(("architecture", "parameters"), [(Architecture.rnn, 111_141), (Architecture.lstm, 407_841)])
def test_the_tutorial_s_networks_have_its_number_of_parameters(architecture: Architecture, parameters: int) -> None:
    network = build(architecture, PRESETS[PresetName.seed].networks[architecture])
    assert network.count_params() == parameters
    assert network.input_shape == (None, 1, 888)


@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_step_of_the_tutorial_s_recipe_is_keras_s(architecture: Architecture) -> None:
    values = PRESETS[PresetName.seed].networks[architecture]
    tokens = np.random.default_rng(0).integers(0, 1000, (32, 888)).astype(np.int32)
    labels = (np.arange(32) % 2).astype(np.float32)
    cls = {Architecture.rnn: keras.layers.SimpleRNN, Architecture.lstm: keras.layers.LSTM}[architecture]
    keras.utils.set_random_seed(5)
    stock = keras.Sequential([
        keras.Input((1, 888)), cls(100, activation="relu"), keras.layers.Dense(120, activation="relu"), keras.layers.Dense(1, activation="sigmoid")
    ])  # fmt: skip
    stock.compile(optimizer="rmsprop", loss=keras.losses.BinaryCrossentropy(), jit_compile=False)
    ours = build(architecture, values, 5)
    for mine, theirs in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    step = tf.function(loop.make_step(Forward(ours, values, "while_loop"), optimizer.optimizer(values, 8)))
    for _ in range(2):
        loss, _ = step(inputs(batch(values, tokens)), labels, DRAW)
        stock.reset_metrics()
        expected = stock.train_on_batch(tokens[:, None, :].astype(np.float32), labels)
        assert float(loss) == pytest.approx(float(np.ravel(expected)[0]), rel=1e-4)
    for mine, theirs in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-4)


def test_saved_models_load_without_this_package_and_compute_the_same(tmp_path: Path) -> None:
    import subprocess
    import sys

    presets = (PresetName.standard, PresetName.quickstart, PresetName.seed)
    expected = {}
    for preset in presets:
        values = PRESETS[preset].networks[Architecture.lstm] if preset is PresetName.seed else tiny(Architecture.lstm, preset)
        network = build(Architecture.lstm, values)
        forward = Forward(network, values, "while_loop")
        tokens = np.pad(TOKENS, ((0, 0), (0, 883))) if preset is PresetName.seed else TOKENS
        known = tables(9, [4 * 9 + 5], [(4 * 9 + 5) * 9 + 6]) if values.evidence else None
        (network if known is None else with_tables(network, values, known)).save(tmp_path / f"{preset}.keras")
        np.save(tmp_path / f"{preset}-inputs.npy", as_input(values, tf.constant(tokens)).numpy())
        predictor = NetworkPredictor(Architecture.lstm, forward, Vocabulary([]), tables=known)
        expected[preset] = predictor.of_tokens([row[row != 0] for row in TOKENS])
    script = """
import sys, keras, numpy
assert "job" not in sys.modules
for preset in sys.argv[1:]:
    model = keras.saving.load_model(f"{preset}.keras")
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers), model.layers
    numpy.save(f"{preset}-outputs.npy", model.predict(numpy.load(f"{preset}-inputs.npy"), verbose=0)[:, 0])
"""
    subprocess.run([sys.executable, "-c", script, *presets], cwd=tmp_path, check=True, timeout=120)
    for preset in presets:
        np.testing.assert_allclose(np.load(tmp_path / f"{preset}-outputs.npy"), expected[preset], rtol=0, atol=1e-6)
