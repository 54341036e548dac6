"""The known box, and the truth of the shared pictures of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.pose.box import load_box
from pipeline.pose.camera import Camera

PACKAGE = Path(__file__).parents[4] / "models" / "pose-box"


@pytest.fixture(scope="session")
def box():
    return load_box(PACKAGE)


@pytest.fixture(scope="session")
def camera():
    return Camera(600, 600, 320, 240)


@pytest.fixture(scope="session")
def pictures(shared):
    return shared / "data" / "images" / "pose" / "box"


@pytest.fixture(scope="session")
def truth(pictures):
    return json.loads((pictures / "poses.json").read_text())
