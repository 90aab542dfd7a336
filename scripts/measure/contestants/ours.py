"""This job's step on given batches. Called by scripts.measure.speed."""

import sys
from collections import namedtuple
from dataclasses import replace

from job.config import DeviceChoice
from job.machine import device
from job.network import kernel
from job.presets import PRESETS, Architecture, PresetName
from scripts.measure.contestants.measure import Batches, measure

Batch = namedtuple("Batch", "tokens labels")


def main() -> None:
    """Measures, and prints or writes what was found."""
    source, name = sys.argv[1:3]
    facts = device.select(DeviceChoice.auto, False)
    import numpy as np

    from job.network.build import build
    from job.network.forward import Forward
    from job.training import feed
    from job.training import loop as training
    from job.training import optimizer as optimizers

    architecture = Architecture(name)
    data = Batches(source)
    # No dropout: the others have none, and every library draws its own.
    values = replace(
        PRESETS[PresetName.standard].networks[architecture],
        word_dropout=0.0,
        embedding_dropout=0.0,
        bigram_dropout=0.0,
        pooled_dropout=0.0,
        bigrams=0,
        schedule="constant",
        vocabulary_size=data.vocabulary_size,
        max_tokens=data.longest,
    )
    network = build(architecture, values, 0, np.empty(0, np.int64))
    forward = Forward(network, values, kernel.choose(facts, architecture, values))
    step = training.make_step(forward, optimizers.optimizer(values, 1))
    source_of_steps: feed.Feed
    if facts.type == "gpu":
        source_of_steps = feed.DeviceFeed(*data.flat(), lambda epoch: data.places, len(data.places))
    else:
        batches = [Batch(tokens, labels) for tokens, labels in data]
        source_of_steps = feed.HostFeed(len(batches), lambda epoch, done: batches[done:])
    run_steps = source_of_steps.compile(step)
    calls = list(source_of_steps.calls(1, 0))

    def run(number: int) -> float:
        losses, _ = run_steps(calls[number], np.array([[0, 8 * number]] * len(calls[number].reviews), np.int32))
        return float(losses[-1])

    measure(run, len(calls), data.tokens, kernel=forward.kernel)


if __name__ == "__main__":
    main()
