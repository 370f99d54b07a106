"""The server's semantic tags are those of the client."""

from __future__ import annotations

import re

import carla

from minicarla import labels


def test_every_tag_of_the_client_has_its_number_and_a_colour() -> None:
    tags = {name: int(tag) for name, tag in vars(carla.CityObjectLabel)["names"].items() if name != "Any"}
    ours = {name: vars(labels)[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()] for name in tags}
    assert ours == tags
    assert len(labels.NAMES) == len(labels.PALETTE) == len(set(tags.values()))
