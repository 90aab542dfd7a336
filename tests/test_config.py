"""From what a user asks for to a configuration."""

from pathlib import Path

import pytest

from job.config import Request, fingerprint, resolve
from job.presets import ClassWeight, PresetName


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
