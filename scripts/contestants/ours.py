"""This job's step on given batches. Called by scripts/benchmark.py."""

import sys
from dataclasses import replace

from job import config, device
from job.config import Architecture, DeviceChoice, PresetName
from scripts.contestants.measure import Batches, measure


def main() -> None:
    """Measures, and prints or writes what was found."""
    source, name = sys.argv[1:3]
    facts = device.select(DeviceChoice.auto, False)
    import numpy as np

    from job import models, training

    architecture = Architecture(name)
    data = Batches(source)
    # No dropout: the others have none, and every library draws its own.
    values = replace(
        config.PRESETS[PresetName.standard][architecture],
        word_dropout=0.0,
        spatial_dropout=0.0,
        schedule="constant",
        vocabulary_size=data.vocabulary_size,
        max_tokens=data.longest,
    )
    network = models.build(architecture, values, 0)
    kernel = device.kernel(facts, architecture, values)
    step = training.make_step(
        network, lambda tokens, draw: models.forward(network, values, kernel, tokens, draw), models.optimizer(values, 1)
    )
    batches = list(data)

    def run(number: int) -> float:
        tokens, labels = batches[number]
        loss, _ = step(tokens, labels, np.array([0, 2 * number], np.int32))
        return float(loss)

    measure(run, len(batches), data.tokens, kernel=kernel)


if __name__ == "__main__":
    main()
