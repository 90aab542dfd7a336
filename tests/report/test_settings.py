"""Settings in words: each is explained by the text that stands under its field."""

from dataclasses import fields, replace

from job.presets import PRESETS, Architecture, Hyperparameters, PresetName
from job.report import settings

QUICKSTART = PRESETS[PresetName.quickstart].networks


def test_every_setting_has_its_text_and_its_value_for_each_network() -> None:
    networks = dict(QUICKSTART) | {Architecture.lstm: replace(QUICKSTART[Architecture.lstm], units=1234)}
    lines = {each.name: each for each in settings.table(networks)}
    assert list(lines) == [each.name for each in fields(Hyperparameters)]
    assert lines["units"].values == ["64", "1,234"]
    assert lines["units"].pieces == [("Width of the recurrent layer, in each direction.", False)]
    assert lines["optimizer"].pieces == [("", False), ("adam", True), (" or ", False), ("rmsprop", True), (".", False)]
    assert lines["bidirectional"].values == ["no", "no"]
    assert all(text.endswith(".") for text in settings.explanations().values())


def test_networks_of_the_same_settings_are_described_once() -> None:
    assert settings.describe(QUICKSTART) == [
        "Both networks have the same settings. Each reads a review’s last 100 tokens, of 1,000 that it can tell apart. A token is 32 numbers that it learns; 64 units take them in, and the last output, through 32 more units, decides. It trains for 5 epochs in batches of 32 reviews, with adam and a learning rate of 0.002 that falls to zero. The weights are those of the epoch with the best validation loss."
    ]


def test_networks_that_differ_are_described_one_by_one() -> None:
    first, second = settings.describe(PRESETS[PresetName.standard].networks)
    assert first == (
        "The SimpleRNN reads a review’s last 800 tokens, of 100,000 that it can tell apart. A token is 16 numbers that it learns, and 6 that say what n-grams tell; 100 units in each direction take them in, and the maximum and the mean of their outputs decide. It trains for 5 epochs in batches of 64 reviews, dropping 10 % of the tokens, 50 % of the embedding’s numbers and 30 % of the outputs at random, with adam and a learning rate of 0.001 that falls to zero. The weights are those of the last epoch."
    )
    assert second.startswith("The LSTM reads")
    assert "decide, together with the linear model." in second


def test_without_validation_reviews_no_epoch_is_called_the_best() -> None:
    (both,) = settings.describe(PRESETS[PresetName.seed].networks)
    assert "A review is one time step of raw ranks; 100 units take it in" in both
    assert both.endswith("The weights are those of the last epoch.")


def test_one_is_not_called_several() -> None:
    values = replace(QUICKSTART[Architecture.rnn], epochs=1, batch_size=1, units=1)
    (text,) = settings.describe({Architecture.rnn: values})
    assert "for 1 epoch in batches of 1 review," in text
    assert "; 1 unit takes them in," in text
