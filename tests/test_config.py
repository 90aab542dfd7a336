"""From what a user asks for to a configuration."""

from pathlib import Path

import pytest

from job.config import Request, fingerprint, resolve
from job.errors import ConfigurationError
from job.presets import ClassWeight, PresetName, ThresholdRule


@pytest.mark.parametrize(
    ("preset", "before"),
    [
        (PresetName.quickstart, "4a2f895fc136f32d4fdf1d5ca4277cae98f02a87e4d6b4d62c8b824e9b27c9e9"),
        (PresetName.dependency, "01004fdf8ccaa8f7a03a5188863be267acf15f3c40c185b16bb0be1b5921c03e"),
    ],
)
def test_a_setting_that_came_later_changes_no_fingerprint_until_it_is_set(preset: PresetName, before: str) -> None:
    def identified(**hyperparameters: ClassWeight) -> str:
        return fingerprint(
            resolve(Request(preset=preset, cache=Path("cache"), hyperparameters=hyperparameters)).identity("0" * 64)
        )

    assert identified() == before
    assert identified(class_weight=ClassWeight.none) == before
    assert identified(class_weight=ClassWeight.balanced) != before


@pytest.mark.parametrize(("text", "expected"), [("f1", ThresholdRule.f1), ("0.7", 0.7), ("0", 0.0), ("1", 1.0), ("5e-1", 0.5)])
def test_a_threshold_is_a_rule_or_a_number(text: str, expected: ThresholdRule | float) -> None:
    assert resolve(Request(threshold=text)).threshold == expected


@pytest.mark.parametrize(
    ("preset", "text", "said"),
    [
        (PresetName.standard, "F2", "--threshold F2: expected accuracy, f1, balanced or a number from 0 to 1"),
        (PresetName.standard, "1.1", "--threshold 1.1: expected accuracy"),
        (PresetName.standard, "nan", "--threshold nan: expected accuracy"),
        (PresetName.seed, "f1", "is chosen on validation reviews, of which --preset seed has none; give a number"),
        (PresetName.dependency, "0.4", "trains one for each distance; leave it out"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(preset: PresetName, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        resolve(Request(preset=preset, threshold=text))


def test_without_validation_reviews_a_number_is_taken_and_a_threshold_changes_no_fingerprint_where_it_is_one_half() -> None:
    assert resolve(Request(preset=PresetName.seed, threshold="0.3")).threshold == 0.3
    plain, half, other = (resolve(Request(threshold=text)).identity("0" * 64) for text in ("0.5", "0.50", "0.6"))
    assert fingerprint(plain) == fingerprint(half) != fingerprint(other)
