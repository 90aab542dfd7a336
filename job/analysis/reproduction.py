"""The tutorial's published figures beside the ones measured, and what they show."""

from job.analysis.intervals import summarize, summarize_shares
from job.presets import Architecture
from job.records.reproduction import Measured, MeasuredParts, PublishedParts, ReproducedNetwork, Reproduction
from job.records.trials import ArchitectureRecord, LossAndAccuracy

# What the tutorial printed: the progress bar at the end of the last of two epochs, and evaluate() on the test reviews.
PUBLISHED = {
    Architecture.rnn: PublishedParts(
        train=LossAndAccuracy(loss=10.3028, accuracy=0.7742), test=LossAndAccuracy(loss=25.5020, accuracy=0.53)
    ),
    Architecture.lstm: PublishedParts(
        train=LossAndAccuracy(loss=4.0905, accuracy=0.8172), test=LossAndAccuracy(loss=8.4033, accuracy=0.61)
    ),
}


def reproduce(architectures: dict[Architecture, ArchitectureRecord]) -> Reproduction:
    """Sets both beside each other."""
    networks: dict[str, ReproducedNetwork] = {}
    sentences = []
    for name, entry in architectures.items():
        runs = [run for run in entry.runs if run.status == "finished"]
        train = [run.last_epoch for run in runs if run.last_epoch]
        test = [LossAndAccuracy(loss=run.test.loss, accuracy=run.test.accuracy) for run in runs if run.test]
        measured = MeasuredParts(train=_measured(train), test=_measured(test))
        published = PUBLISHED[name]
        networks[name] = ReproducedNetwork(published=published, measured=measured)
        accuracy = measured.test.accuracy
        if accuracy.mean is None:
            continue
        reviews = runs[0].test_reviews
        # The chance spread of a fair coin over the test reviews: what a published figure has to stand out from.
        far = abs(published.test.accuracy - 0.5) / (0.5 / reviews**0.5)
        spread = f" ± {accuracy.sd:.3f} over {len(runs)} seeds" if accuracy.sd is not None else ""
        sentences.append(
            f"{name.upper()}: test accuracy {accuracy.mean:.3f}{spread}; the published {published.test.accuracy:.2f} "
            f"lies {far:.1f} standard errors from guessing on {reviews} reviews"
        )
    note = "each review is a single time step of raw word ranks, so nothing recurs, and these networks guess"
    return Reproduction(**networks, sentence="; ".join(sentences) + f". In this recipe {note}.")


def _measured(figures: list[LossAndAccuracy]) -> Measured:
    return Measured(
        loss=summarize([each.loss for each in figures]), accuracy=summarize_shares([each.accuracy for each in figures])
    )
