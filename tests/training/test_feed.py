"""Batches from the host, and reviews that the device holds: the same training, to the bit."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from job.data import batches
from job.data.batches import Batch
from job.machine import device, runtime
from job.network.forward import Forward
from job.presets import Architecture
from job.training import loop as training
from job.training import optimizer as optimizers
from job.training.feed import DeviceFeed, HostFeed
from tests.conftest import train_here
from tests.network import test_forward as test_models

# As the job does, before the first operation.
runtime.prepare_tensorflow()

REVIEWS = [[1, 4, 5], [1], [1, 6, 7, 8, 4], [1, 5], [1, 8]]
LABELS = np.array([1, 0, 1, 0, 1], np.float32)
# At each token, and of each review.
NUMBERS = [np.random.default_rng(len(review)).normal(0, 1, (len(review), 6)).astype(np.float16) for review in REVIEWS]
LINEAR = np.array([0.5, -1, 2, 0.25, -3], np.float32)


def device_feed(orders: list[list[int]], kinds: int = 6) -> DeviceFeed:
    return DeviceFeed(
        np.concatenate([np.array(review, np.int32) for review in REVIEWS]),
        np.array([len(review) for review in REVIEWS]),
        LABELS,
        np.concatenate(NUMBERS)[:, :kinds],
        LINEAR,
        lambda epoch: [np.array(each) for each in orders],
        len(orders),
    )


def host_feed(orders: list[list[int]], kinds: int = 6) -> HostFeed:
    made = []
    for each in orders:
        tokens = batches.padded([np.array(REVIEWS[place], np.int32) for place in each])
        numbers = batches.padded([NUMBERS[place][:, :kinds] for place in each])
        made.append(Batch(tokens, LABELS[each], numbers, LINEAR[each]))
    return HostFeed(len(made), lambda epoch, done: made[done:])


def test_a_batch_has_its_reviews_tokens_numbers_and_logits_and_nothing_beside_padding() -> None:
    given, labels = device_feed([[2, 0]], 3)._gather(tf.constant([2, 0], tf.int64))
    assert given.tokens.numpy().tolist() == [[1, 6, 7, 8, 4], [1, 4, 5, 0, 0]]
    np.testing.assert_array_equal(given.numbers[0], NUMBERS[2][:, :3])
    np.testing.assert_array_equal(given.numbers[1], [*NUMBERS[0][:, :3], [0] * 3, [0] * 3])
    assert (given.linear.numpy().tolist(), labels.numpy().tolist()) == ([2.0, 0.5], [1.0, 1.0])


def test_a_call_holds_steps_of_one_size() -> None:
    calls = list(device_feed([[0, 1]] * 17 + [[2]]).calls(1, 0))
    assert [call.reviews for call in calls] == [[2] * 16, [2], [1]]
    assert [call.tokens for call in calls] == [[4] * 16, [4], [5]]
    assert [call.longest for call in calls] == [3, 3, 5]
    assert [len(call.reviews) for call in device_feed([[0, 1]] * 17 + [[2]]).calls(1, 16)] == [1, 1]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=6))
def test_the_device_gathers_the_batches_that_the_host_assembles(orders: list[list[int]]) -> None:
    def seen(feed: Any) -> list[tuple[float, float]]:
        def told(array: Any) -> Any:
            weights = tf.cast(tf.range(1, tf.size(array) + 1), tf.float32)
            return tf.reduce_sum(weights * tf.cast(tf.reshape(array, [-1]), tf.float32))

        # A loss that tells every token, its number, its place, and one that tells the labels and logits.
        def step(inputs: Any, labels: Any, draw: Any) -> tuple[Any, Any]:
            return told(inputs.tokens) + told(inputs.numbers), told(labels) + 10 * told(inputs.linear)

        run = feed.compile(step)
        found: list[tuple[float, float]] = []
        for call in feed.calls(1, 0):
            losses, hits = run(call, np.zeros((len(call.reviews), 2), np.int32))
            found += zip(losses.tolist(), hits.tolist(), strict=True)
        return found

    assert seen(device_feed(orders)) == seen(host_feed(orders))


@pytest.mark.parametrize("architecture", list(Architecture))
def test_several_steps_in_a_call_end_with_the_weights_of_single_ones(architecture: Architecture) -> None:
    values = test_models.tiny(architecture, epochs=2, batch_size=2, max_tokens=5)
    orders = [[0, 1], [2, 3], [4, 0], [3]]
    ends = []
    for feed in (host_feed(orders, values.evidence), device_feed(orders, values.evidence)):
        network = test_models.build(architecture, values)
        made = training.Training(Forward(network, values, "xla"), optimizers.optimizer(values, 8), 3, feed, None)
        made.run(lambda position: None, lambda epoch: None)
        ends.append((network.get_weights(), [epoch.loss for epoch in made.position.history]))
    for ours, theirs in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert ends[0][1] == ends[1][1]


@pytest.mark.long
def test_a_job_whose_device_holds_the_reviews_ends_as_one_whose_host_does(
    tmp_path: Any, shared_cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = device.select

    def job(name: str) -> Any:
        train_here(tmp_path / name, shared_cache, epochs=2, batch_size=256, units=8)
        return (tmp_path / name / "predictions.csv").read_bytes()

    expected = job("host")
    calls: list[int] = []
    compiled = DeviceFeed.compile

    def counted(self: DeviceFeed, step: Any) -> Any:
        function = compiled(self, step)

        def call(given: Any, draws: Any) -> Any:
            calls.append(len(given.reviews))
            return function(given, draws)

        return call

    monkeypatch.setattr(DeviceFeed, "compile", counted)
    monkeypatch.setattr(device, "select", lambda *rest, **named: real(*rest, **named).but(memory_bytes=1 << 30))
    assert job("device") == expected
    # An epoch's last step has fewer reviews, and so a call of its own; wherever it comes in the epoch's order.
    metrics = json.loads((tmp_path / "device" / "metrics.json").read_text())
    assert sum(calls) == 2 * -(-metrics["data"]["train_reviews"] // 256)
    assert max(calls) == 16
    assert 1 in calls
    monkeypatch.setattr(device, "select", lambda *rest, **named: real(*rest, **named).but(memory_bytes=1 << 20))
    calls.clear()
    assert job("too small") == expected
    assert calls == []
