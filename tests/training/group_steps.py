"""Fifty steps of both networks, by as many processes as are started with it; prints the losses and a hash of the weights.

    python -m tests.training.group_steps INDEX COUNT PORT CACHE

The first one's port is PORT, that of each other ten more.
"""

import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

STEPS = 50


class EnoughError(Exception):
    pass


def main(index: int, count: int, port: int, cache: Path) -> None:
    from job.config import DeviceChoice, Request, resolve
    from job.data import corpus as corpora
    from job.data import reviews
    from job.machine import runtime
    from job.network import kernel
    from job.peers import Peers
    from job.presets import PresetName
    from job.training.group import Group
    from job.training.trial import Task, Trial

    # All that draws: dropped words, embeddings and features, and the numbers of the evidence; batches that nothing divides.
    small = {"units": 12, "batch_size": 61, "epochs": 1, "embedding_dropout": 0.2, "pooled_dropout": 0.3, "word_dropout": 0.1}
    configuration = resolve(
        Request(preset=PresetName.standard, data="embedded", cache=cache, device=DeviceChoice.cpu, hyperparameters=small)
    )
    corpus = corpora.load(configuration.source)
    device = kernel.select_device(configuration)
    group = None
    if count > 1:
        group = Group(Peers(index, tuple(f"127.0.0.1:{port + 10 * each}" for each in range(count))))
    else:
        runtime.start_tensorflow()
    found: dict[str, Any] = {}
    for architecture, values in configuration.hyperparameters.items():
        task = Task(architecture=architecture, seed=3, values=values, name=str(architecture))
        trial = Trial(task, reviews.split(corpus, values), device, cache, group=group)
        losses: list[float] = []

        def on_step(position: Any, losses: list[float] = losses) -> None:
            losses.append(position.loss_sum - sum(losses))
            if position.step == STEPS:
                raise EnoughError

        with contextlib.suppress(EnoughError):
            trial.loop.run(on_step, lambda epoch: None)
        judged = trial.predict(trial.parts.validation.take(slice(0, 200)))
        weights = hashlib.sha256(b"".join(each.tobytes() for each in trial.network.get_weights())).hexdigest()
        found[architecture] = {"losses": losses, "weights": weights, "judged": judged.tolist()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
