"""Batches from the host, and reviews that the device holds: the same training, to the bit."""

import json
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from job.machine import device
from job.network.forward import Forward
from job.presets import Architecture
from job.training import loop as training
from job.training import optimizer as optimizers
from job.training.feed import DeviceFeed, HostFeed
from tests.conftest import train_here
from tests.network import test_forward as test_models

# As the job does, before the first operation.
device.prepare_tensorflow()

Batch = namedtuple("Batch", "tokens labels")
REVIEWS = [[1, 4, 5], [1], [1, 6, 7, 8, 4], [1, 5], [1, 8]]
LABELS = np.array([1, 0, 1, 0, 1], np.float32)


def device_feed(orders: list[list[int]]) -> DeviceFeed:
    return DeviceFeed(
        np.concatenate([np.array(review, np.int32) for review in REVIEWS]),
        np.array([len(review) for review in REVIEWS]),
        LABELS,
        lambda epoch: [np.array(each) for each in orders],
        len(orders),
    )


def host_feed(orders: list[list[int]]) -> HostFeed:
    batches = []
    for each in orders:
        tokens = np.zeros((len(each), max(len(REVIEWS[place]) for place in each)), np.int32)
        for row, place in zip(tokens, each, strict=True):
            row[: len(REVIEWS[place])] = REVIEWS[place]
        batches.append(Batch(tokens, LABELS[each]))
    return HostFeed(len(batches), lambda epoch, done: batches[done:])


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
        # A loss that tells every token, its place and its label.
        def step(tokens: Any, labels: Any, draw: Any) -> tuple[Any, Any]:
            weights = tf.cast(tf.range(1, tf.size(tokens) + 1), tf.float32)
            told = tf.reduce_sum(weights * tf.cast(tf.reshape(tokens, [-1]), tf.float32))
            return told, tf.reduce_sum(labels * tf.range(1.0, 1.0 + tf.cast(tf.size(labels), tf.float32)))

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
    for feed in (host_feed(orders), device_feed(orders)):
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
    monkeypatch.setattr(device, "select", lambda *rest: real(*rest).but(memory_bytes=1 << 30))
    assert job("device") == expected
    # An epoch's last step has fewer reviews, and so a call of its own; wherever it comes in the epoch's order.
    metrics = json.loads((tmp_path / "device" / "metrics.json").read_text())
    assert sum(calls) == 2 * -(-metrics["data"]["train_reviews"] // 256)
    assert max(calls) == 16
    assert 1 in calls
    monkeypatch.setattr(device, "select", lambda *rest: real(*rest).but(memory_bytes=1 << 20))
    calls.clear()
    assert job("too small") == expected
    assert calls == []
