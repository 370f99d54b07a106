"""Files of settings to search over are read, and mistakes in them told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rllib_integration.config.merging import ConfigError
from rllib_integration.tuning.space import read_space, to_tune, with_values

ROOT = Path(__file__).resolve().parents[2]


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    return file


def test_values_are_drawn_from_what_the_file_says(tmp_path: Path) -> None:
    lines = (
        *("training.lr: {loguniform: [0.001, 0.1]}", "model.fcnet_hiddens: {choice: [[8], [16, 16]]}"),
        "n: {randint: [2, 4]}",
    )
    domains = to_tune(read_space(write(tmp_path, "\n".join(lines))))
    for _ in range(50):
        drawn = {path: domain.sample() for path, domain in domains.items()}
        assert 0.001 <= drawn["training.lr"] <= 0.1
        assert drawn["model.fcnet_hiddens"] in ([8], [16, 16])
        assert drawn["n"] in (2, 3)


def test_values_are_laid_over_a_configuration_which_stays_as_it_is() -> None:
    document = {"training": {"lr": 1.0, "gamma": 0.9}}
    changed = with_values(document, {"training.lr": 2.0, "model.fcnet_hiddens": [8]})
    assert changed == {"training": {"lr": 2.0, "gamma": 0.9}, "model": {"fcnet_hiddens": [8]}}
    assert document == {"training": {"lr": 1.0, "gamma": 0.9}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.lr: 0.1", "has to be one distribution"),
        ("training.lr: {logunifrom: [0.1, 1]}", "loguniform"),
        ("training.lr: {uniform: [0.1]}", "takes a list of 2 numbers"),
        ("training.lr: {uniform: [1, 0.1]}", "from a smaller to a larger"),
        ("training.lr: {loguniform: [0, 0.1]}", "from a smaller to a larger"),
        ("training.lr: {choice: []}", "one or more values"),
        ("{}", "names no setting"),
    ],
)
def test_mistakes_are_told(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_space(write(tmp_path, text))


@pytest.mark.parametrize("file", sorted((ROOT / "rl_example" / "spaces").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_files_are_read(file: Path) -> None:
    assert len(read_space(file)) >= 3
