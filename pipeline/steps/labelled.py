"""Recordings with the truth beside them: walks of the Oxford Step Counter data set, and made ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.read import read_recording
from pipeline.sensors.recording import Recording

#: the shared walks: name and file, below ``sensors`` of the data folder
WALKS = {
    "hand": "user1_hand.csv",
    "frontpocket": "user1_frontpocket.csv",
    "armband": "user1_armband.csv",
    "bag": "user1_bag.csv",
}


@dataclass(frozen=True, slots=True)
class Walk:
    """A recorded walk. steps: float64, (steps,), when the device on the foot counted each, seconds from the start."""

    name: str
    recording: Recording
    steps: NDArray[np.float64]


def load_walk(data: Path, name: str) -> Walk:
    """Read a walk of ``WALKS`` with its truth, the sixth column: steps so far by the device on the foot.

    data: the folder of the shared data. Raises: OSError, MediaError, ValueError for a file of another layout.
    """
    path = data / "sensors" / WALKS[name]
    recording = read_recording(path, {})
    if recording.facts["layout"] != "oxford":
        raise ValueError(f"{path.name} does not have the columns of the Oxford data set")
    cells = np.loadtxt(path, delimiter=",", usecols=(0, 5))
    seconds = (cells[:, 0] - cells[0, 0]) * 1e-9
    return Walk(name, recording, seconds[1:][np.diff(cells[:, 1]) > 0])
