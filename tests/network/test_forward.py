"""The networks against NumPy in float64 and against stock Keras."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.analysis import scores
from job.presets import PRESETS, Architecture, Hyperparameters, PresetName
from job.records.base import Kernel

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from job.machine import device
from job.network.build import as_input
from job.network.build import build as build_network
from job.network.forward import Forward
from job.network.kernel import FAST_ACTIVATIONS
from job.training import loop, optimizer

# As the job does, before the first operation.
device.prepare_tensorflow()

TOKENS = np.array([[1, 4, 5, 6, 2], [1, 7, 0, 0, 0], [1, 0, 0, 0, 0]], np.int32)
LABELS = np.array([1.0, 0.0, 1.0], np.float32)
DRAW = np.array([0, 2], np.int32)
KERNELS: list[Kernel] = ["while_loop", "xla"]
# Of a vocabulary of 9: "4 5", "5 6" and one that does not occur.
BIGRAMS = np.array([4 * 9 + 5, 5 * 9 + 6, 8 * 9 + 8])
NO_DROPOUT = {"word_dropout": 0.0, "embedding_dropout": 0.0, "bigram_dropout": 0.0, "pooled_dropout": 0.0}


def tiny(architecture: Architecture, preset: PresetName = PresetName.standard, **changes: Any) -> Hyperparameters:
    values = PRESETS[preset].networks[architecture]
    return replace(values, **{"units": 3, "embedding_size": 4, "bigram_size": 2, "vocabulary_size": 9} | changes)


def build(architecture: Architecture, values: Hyperparameters, seed: int = 0) -> Any:
    return build_network(architecture, values, seed, BIGRAMS if values.bigrams else BIGRAMS[:0])


def reference(architecture: Architecture, values: Hyperparameters, weights: list[Any], tokens: Any) -> Any:
    """The network in NumPy and float64, a review and a token at a time, by the equations in Keras's documentation."""

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

    weights = [np.asarray(weight, np.float64) for weight in weights]
    embedding, *weights = weights
    pairs, *weights = weights if values.bigrams else (None, *weights)
    results = []
    for review in tokens:
        words = review[review != 0].tolist()
        x = embedding[words]
        if pairs is not None:
            numbers = {key: number for number, key in enumerate(BIGRAMS.tolist(), 1)}
            x = np.concatenate(
                [x, pairs[[numbers.get(a * 9 + b, 0) for a, b in zip([0, *words], words, strict=False)]]], axis=1
            )
        states = run(x, *weights[:3])
        if values.bidirectional:
            states = np.concatenate([states, run(x[::-1], *weights[3:6])[::-1]], axis=1)
        pooled = np.concatenate([states.max(0), states.mean(0)]) if values.pooling == "max_mean" else states[-1]
        dense = weights[-4:] if values.hidden_units else weights[-2:]
        for kernel, bias in zip(dense[::2], dense[1::2], strict=True):
            last = kernel.shape[1] == 1
            pooled = pooled @ kernel + bias
            pooled = pooled if last else np.maximum(pooled, 0)
        results.append(pooled[0])
    return np.array(results)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("preset", [PresetName.standard, PresetName.quickstart])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_network_computes_what_numpy_computes_padding_and_all(
    architecture: Architecture, preset: PresetName, kernel: Kernel
) -> None:
    values = tiny(architecture, preset, hidden_units=2 if preset is PresetName.quickstart else 0)
    network = build(architecture, values)
    network.set_weights([np.random.default_rng(1).normal(0, 0.7, weight.shape) for weight in network.get_weights()])
    expected = reference(architecture, values, network.get_weights(), TOKENS)
    np.testing.assert_allclose(Forward(network, values, kernel).predict(TOKENS), expected, rtol=0, atol=2e-6)
    wider = np.pad(TOKENS, ((0, 0), (0, 4)))
    np.testing.assert_allclose(Forward(network, values, kernel).predict(wider), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("preset", [PresetName.standard, PresetName.quickstart])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_training_differentiates_what_numpy_computes(architecture: Architecture, preset: PresetName, kernel: Kernel) -> None:
    hidden = 2 if preset is PresetName.quickstart else 0
    values = tiny(architecture, preset, **NO_DROPOUT, hidden_units=hidden)
    network = build(architecture, values)
    weights = [np.random.default_rng(1).normal(0, 0.7, weight.shape) for weight in network.get_weights()]
    network.set_weights(weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(Forward(network, values, kernel).logits(tf.constant(TOKENS), tf.constant(DRAW)))
    gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(loss, network.trainable_variables)]
    for number, weight in enumerate(weights):
        for place in list(np.ndindex(weight.shape))[:: max(1, weight.size // 6)]:
            step = np.zeros_like(weight)
            step[place] = 1e-6
            ends = [
                reference(architecture, values, [*weights[:number], weight + sign * step, *weights[number + 1 :]], TOKENS).sum()
                for sign in (1, -1)
            ]
            assert gradients[number][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=2e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("architecture", list(Architecture))
@pytest.mark.parametrize("preset", [PresetName.standard, PresetName.quickstart])
def test_without_dropout_training_computes_what_prediction_does(
    architecture: Architecture, preset: PresetName, kernel: Kernel
) -> None:
    values = tiny(architecture, preset, **NO_DROPOUT)
    network = build(architecture, values, 3)
    trained = Forward(network, values, kernel).logits(tf.constant(TOKENS), tf.constant(DRAW)).numpy()
    np.testing.assert_allclose(trained, Forward(network, values, kernel).predict(TOKENS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", list(Architecture))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"embedding_dropout": 0.0},
        {"bigrams": 0},
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
    network.set_weights([np.random.default_rng(1).normal(0, 0.5, weight.shape) for weight in network.get_weights()])
    for count, length in ((6, 17), (7, 24)):
        random = np.random.default_rng(count)
        tokens = random.integers(1, 9, (count, length)).astype(np.int32)
        for row, end in zip(tokens, [*random.integers(1, length, count - 2), length, 1], strict=True):
            row[end:] = 0
        results = {}
        for kernel in KERNELS:
            with tf.GradientTape() as tape:
                logits = Forward(network, values, kernel).logits(tf.constant(tokens), tf.constant(DRAW))
                loss = tf.reduce_sum(logits * tf.range(1.0, count + 1.0))
            gradients = tape.gradient(loss, network.trainable_variables)
            results[kernel] = [logits.numpy(), *(tf.convert_to_tensor(each).numpy() for each in gradients)]
        for ours, theirs in zip(results["xla"], results["while_loop"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)


def test_a_token_s_gradient_is_that_of_its_embedding_alone() -> None:
    values = tiny(Architecture.rnn, PresetName.dependency, max_tokens=6)
    network = build(Architecture.rnn, values)
    network.set_weights([np.random.default_rng(1).normal(0, 0.5, weight.shape) for weight in network.get_weights()])
    found = {kernel: Forward(network, values, kernel).token_gradients(TOKENS) for kernel in KERNELS}
    for number, review in enumerate(TOKENS):
        # No word occurs twice in a review, so its row of the table has the gradient of one token.
        with tf.GradientTape() as tape:
            logit = Forward(network, values, "while_loop").logits(tf.constant(review[None]), tf.constant(DRAW))[0]
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
        return Forward(network, values, kernel).logits(tf.constant(TOKENS), tf.constant([0, draw])).numpy().tolist()  # type: ignore[no-any-return]

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
        loss, _ = step(tokens, labels, DRAW)
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
        inputs = np.pad(TOKENS, ((0, 0), (0, 883))) if preset is PresetName.seed else TOKENS
        network.save(tmp_path / f"{preset}.keras")
        np.save(tmp_path / f"{preset}-inputs.npy", as_input(values, tf.constant(inputs)).numpy())
        expected[preset] = scores.probabilities(Forward(network, values, "while_loop").predict(inputs))
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
