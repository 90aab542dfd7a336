"""This job's step on given batches. Called by scripts.measure.speed."""

import sys
from dataclasses import replace

from job.config import DeviceChoice
from job.data.batches import Batch
from job.machine import device
from job.network import kernel
from job.presets import PRESETS, Architecture, PresetName
from scripts.measure.contestants.measure import Batches, measure


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
        pooled_dropout=0.0,
        # Nor have they the evidence of n-grams, and with words alone this width is no less common.
        embedding_size=128,
        embedded_ids=0,
        evidence=0,
        linear_path=0.0,
        alone_share=0.0,
        schedule="constant",
        vocabulary_size=data.vocabulary_size,
        max_tokens=data.longest,
    )
    network = build(architecture, values, 0)
    forward = Forward(network, values, kernel.choose(facts, architecture, values))
    step = training.make_step(forward, optimizers.optimizer(values, 1))
    source_of_steps: feed.Feed
    if facts.type == "gpu":
        tokens, lengths, labels = data.flat()
        numbers, linear = np.empty((len(tokens), 0), np.float16), np.zeros(len(labels), np.float32)
        source_of_steps = feed.DeviceFeed(tokens, lengths, labels, numbers, linear, lambda epoch: data.places, len(data.places))
    else:
        batches = [
            Batch(tokens, labels, np.empty((*tokens.shape, 0), np.float16), np.zeros(len(labels), np.float32))
            for tokens, labels in data
        ]
        source_of_steps = feed.HostFeed(len(batches), lambda epoch, done: batches[done:])
    run_steps = source_of_steps.compile(step)
    calls = list(source_of_steps.calls(1, 0))

    def run(number: int) -> float:
        losses, _ = run_steps(calls[number], np.array([[0, 8 * number]] * len(calls[number].reviews), np.int32))
        return float(losses[-1])

    measure(run, len(calls), data.tokens, kernel=forward.kernel)


if __name__ == "__main__":
    main()
