"""What is said where another run lies in the output folder."""

from pathlib import Path

import pytest

from job.output.existing import free_folder


@pytest.mark.parametrize(
    ("output", "name", "expected"),
    [
        ("output", "reviews", "output-reviews"),
        ("output", "Größe & Co. (2024)", "output-gr-e-co-2024"),
        ("output", "...", "output-run"),
        ("runs/a", "imdb", "runs/a-imdb"),
        ("output", "taken", "output-taken-3"),
    ],
)
def test_the_folder_that_is_proposed_is_called_after_the_data_and_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, name: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("output-taken").mkdir()
    Path("output-taken-2").touch()
    assert free_folder(Path(output), name) == Path(expected)
