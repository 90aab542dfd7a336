"""The step loop, on a network of one weight."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.errors import DeviceMemoryError, DivergedError
from job.presets import PRESETS, Architecture, PresetName
from tests.conftest import train_here

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from job.data.batches import Batch
from job.machine import runtime
from job.network.forward import Forward, Inputs, Logits
from job.training import loop as training
from job.training.feed import HostFeed
from job.training.position import Position

# As the job does, before the first operation.
runtime.prepare_tensorflow()

VALUES = replace(PRESETS[PresetName.quickstart].networks[Architecture.rnn], epochs=4)


def make(
    validation: list[float] | None,
    spoil: Any = lambda draw: 0.0,
    values: Any = VALUES,
    momentum: float = 0.0,
    class_weights: tuple[float, float] = (1.0, 1.0),
) -> tuple[training.Training, Any]:
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    layer = network.layers[0]
    tokens, labels = np.array([[1, 1], [1, 0]], np.int32), np.array([1.0, 0.0], np.float32)
    batch = Batch(tokens, labels, np.zeros((2, 2, 0), np.float16), np.array([1.0, 3.0], np.float32))
    scores = iter(validation or [])

    class Line:
        """A line through the number of tokens, for a network; `path` times the linear model's logit is added."""

        def __init__(self) -> None:
            self.network, self.values = network, values

        def logits(self, inputs: Inputs, draw: Any, share: Any = None) -> Logits:
            counts = tf.cast(tf.reduce_sum(inputs.tokens, 1), tf.float32)
            alone = spoil(draw) + counts * layer.kernel[0, 0] + layer.bias[0]
            return Logits(alone + values.linear_path * inputs.linear, alone)

    made = training.Training(
        Line(),
        keras.optimizers.SGD(0.5, momentum=momentum),
        7,
        HostFeed(2, lambda epoch, done: [batch, batch][done:]),
        (lambda: (next(scores), 0.5)) if validation else None,
        class_weights,
    )
    return made, network


def loop(
    validation: list[float] | None, spoil: Any = lambda draw: 0.0, values: Any = VALUES
) -> tuple[Position, Any, list[float]]:
    made, network = make(validation, spoil, values)
    losses: list[float] = []
    made.run(lambda position: losses.append(position.loss), lambda epoch: None)
    return made.position, network, losses


def test_a_step_is_gradient_descent_on_the_mean_cross_entropy() -> None:
    trained, network, steps = loop(None, values=replace(VALUES, epochs=1))
    kernel = bias = 0.0
    for _ in range(2):
        errors = [1 / (1 + np.exp(-(x * kernel + bias))) - y for x, y in ((2, 1), (1, 0))]
        kernel, bias = kernel - 0.5 * np.mean([2 * errors[0], errors[1]]), bias - 0.5 * np.mean(errors)
    assert network.get_weights()[0][0, 0] == pytest.approx(kernel, abs=1e-6)
    assert network.get_weights()[1][0] == pytest.approx(bias, abs=1e-6)
    assert steps[0] == pytest.approx(np.log(2), abs=1e-6)
    assert trained.history[0].tokens_per_second * trained.history[0].seconds == pytest.approx(6)
    assert (trained.best_epoch, trained.diverged) == (1, None)


@pytest.mark.parametrize("class_weights", [(1.0, 1.0), (2.5, 0.625)])
def test_a_share_of_the_loss_is_of_the_network_s_own_logit(class_weights: tuple[float, float]) -> None:
    values = replace(VALUES, epochs=1, linear_path=0.5, alone_share=0.25)
    made, network = make(None, values=values, class_weights=class_weights)
    losses: list[float] = []
    made.run(lambda position: losses.append(position.loss_sum / 2 / position.step), lambda epoch: None)
    kernel = bias = 0.0
    negative, positive = class_weights
    for number in range(2):
        errors, total = [], 0.0
        for x, y, linear, weight in ((2, 1, 1.0, positive), (1, 0, 3.0, negative)):
            alone = x * kernel + bias
            for logit, share in ((alone + 0.5 * linear, 0.75), (alone, 0.25)):
                errors.append((weight * share * (1 / (1 + np.exp(-logit)) - y), x))
                total += weight * share * float(np.logaddexp(0, -logit if y else logit)) / 2
        if not number:
            assert losses[0] == pytest.approx(total, abs=1e-6)
        kernel -= 0.5 * sum(error * x for error, x in errors) / 2
        bias -= 0.5 * sum(error for error, _ in errors) / 2
    assert network.get_weights()[0][0, 0] == pytest.approx(kernel, abs=1e-6)
    assert network.get_weights()[1][0] == pytest.approx(bias, abs=1e-6)


def test_weighted_by_class_a_training_is_keras_fit_s_with_class_weight() -> None:
    made, network = make(None, values=replace(VALUES, epochs=1), class_weights=(2.5, 0.625))
    losses: list[float] = []
    made.run(lambda position: losses.append(position.loss_sum / position.step), lambda epoch: None)
    stock = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros")])
    stock.compile(keras.optimizers.SGD(0.5), keras.losses.BinaryCrossentropy())
    tokens, labels = np.array([[2.0], [1.0]] * 2, np.float32), np.array([1.0, 0.0] * 2, np.float32)
    stock.fit(tokens, labels, batch_size=2, shuffle=False, verbose=0, class_weight={0: 2.5, 1: 0.625})
    for ours, theirs in zip(network.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # Both logits are 0 at the start: ln 2, weighted by 2.5 and 0.625, of two reviews.
    assert losses[0] == pytest.approx(2 * np.log(2) * (2.5 + 0.625) / 2, abs=1e-6)


def test_the_best_epoch_s_weights_are_kept() -> None:
    trained, network, _ = loop([0.6, 0.4, 0.5, 0.45, 0.1])
    best, reference, _ = loop(None, values=replace(VALUES, epochs=2))
    assert len(trained.history) == 4
    assert trained.best_epoch == best.best_epoch == 2
    np.testing.assert_array_equal(network.get_weights()[0], reference.get_weights()[0])


def test_the_last_epoch_s_weights_are_kept_where_that_is_asked() -> None:
    trained, network, _ = loop([0.6, 0.1, 0.5, 0.7], values=replace(VALUES, keep="last"))
    reference, last, _ = loop(None, values=VALUES)
    assert (trained.best_epoch, reference.best_epoch) == (4, 4)
    np.testing.assert_array_equal(network.get_weights()[0], last.get_weights()[0])


def test_a_training_that_is_over_gives_its_memory_back() -> None:
    made, network = make(None, momentum=0.5)
    made.run(lambda position: None, lambda epoch: None)
    kept = network.get_weights()
    made.release()
    assert [tf.size(variable.value.read_value()).numpy() for variable in network.variables] == [0, 0]
    assert all(tf.size(variable.value.read_value()).numpy() == 0 for variable in made._optimizer.variables)
    assert [array.shape for array in kept] == [(1, 1), (1,)]


def test_training_goes_on_though_validation_gets_worse() -> None:
    trained, _, _ = loop([0.1, 0.2, 0.3, 0.4])
    assert (len(trained.history), trained.best_epoch) == (4, 1)


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_step_and_seed() -> None:
    # Draws are eight apart: the third step is the first of epoch 2.
    trained, _, _ = loop(None, lambda draw: tf.where(draw[1] < 24, 0.0, np.nan))
    assert trained.diverged == "the loss was not a number at step 1 of epoch 2, seed 7"
    assert len(trained.history) == 1


def test_a_validation_loss_or_a_weight_that_is_no_number_ends_the_run() -> None:
    trained, _, _ = loop([0.5, float("nan"), 0.1, 0.1])
    assert trained.diverged == "the validation loss or a weight was not a number after step 2 of epoch 2, seed 7"
    assert (trained.ended, len(trained.history)) == (True, 1)
    # The loss is a number to the end, and the last update makes the weights infinite.
    made, network = make(None, values=replace(VALUES, epochs=1))
    made.run(lambda position: network.layers[0].kernel.assign([[np.inf]]) if position.step == 2 else None, lambda epoch: None)
    assert made.position.diverged is not None


class StopError(Exception):
    pass


@pytest.mark.parametrize("moment", range(1, 9))
@pytest.mark.parametrize("kind", ["step", "validation"])
def test_a_training_that_is_left_and_taken_up_again_is_the_one_that_was_not(kind: str, moment: int) -> None:
    scores = [0.6, 0.4, 0.5, 0.3]

    def noisy(draw: Any) -> Any:
        return tf.random.stateless_normal([2], draw)

    def fresh(left: list[float]) -> tuple[training.Training, Any]:
        return make(left, noisy, momentum=0.5)

    def times_aside(position: Position) -> Any:
        return [{**vars(epoch), "seconds": 0, "tokens_per_second": 0} for epoch in position.history]

    whole, reference = fresh(scores)
    whole.run(lambda position: None, lambda epoch: None)
    first, network = fresh(scores)
    count = 0

    def stop(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise StopError

    def validate() -> tuple[float, float]:
        stop()
        assert real is not None
        return real()

    real = first._validate
    if kind == "validation":
        first._validate = validate
    try:
        first.run(stop if kind == "step" else lambda position: None, lambda epoch: None)
        assert kind == "validation"
        assert moment > 4
    except StopError:
        pass
    state = first.state()
    state = training.State(json.loads(json.dumps(state.position)), {key: array.copy() for key, array in state.arrays.items()})
    second, network = fresh(scores[len(state.position["history"]) :] or [0.0])
    second.restore(state)
    second.run(lambda position: None, lambda epoch: None)
    for array, expected in zip(network.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert times_aside(second.position) == times_aside(whole.position)
    assert (second.position.best_epoch, second.position.ended) == (whole.position.best_epoch, True) == (4, True)
    np.testing.assert_array_equal(second._optimizer.variables[0], whole._optimizer.variables[0])


def test_memory_that_does_not_suffice_is_71_and_tells_what_to_lower() -> None:
    def exhaust(draw: Any) -> Any:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(DeviceMemoryError, match=r"a batch of 2×2 tokens; lower --batch-size") as caught:
        loop(None, exhaust)
    assert caught.value.exit_code == 71


def test_a_diverged_seed_is_recorded_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    real = Forward.logits

    def logits(self: Forward, inputs: Inputs, draw: Any = None, share: Any = None) -> Logits:
        factor = 1.0 if draw is None else tf.where(draw[0] == 0, np.nan, 1.0)
        return Logits(*(each * factor for each in real(self, inputs, draw, share)))

    monkeypatch.setattr(Forward, "logits", logits)

    entry = train_here(tmp_path / "two", shared_cache, seeds=2)["architectures"]["rnn"]
    assert [each["status"] for each in entry["runs"]] == ["diverged", "finished"]
    assert entry["runs"][0]["diverged"] == "the loss was not a number at step 1 of epoch 1, seed 0"
    assert entry["best_seed"] == 1
    with pytest.raises(DivergedError, match="every run of rnn diverged"):
        train_here(tmp_path / "one", shared_cache)
    assert not (tmp_path / "one" / "metrics.json").exists()
