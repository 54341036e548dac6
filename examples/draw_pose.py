"""Render ``examples/pose.jpg``: the box of ``models/pose-box`` on a random background, with the truth printed.

Run from the repository root: ``python -m examples.draw_pose``. The camera is the one that pipeline ``pose`` assumes.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from pipeline.pose.box import load_box
from pipeline.pose.camera import Camera
from pipeline.pose.scene import render_scene

SEED = 41
HERE = Path(__file__).parent


def main() -> None:
    """Write the picture."""
    box = load_box(HERE.parent / "models" / "pose-box")
    scene = render_scene(np.random.default_rng(SEED), box, Camera(600, 600, 319.5, 239.5), (640, 480))
    cv2.imwrite(str(HERE / "pose.jpg"), scene.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    truth = {name: value for name, value in scene.pose.as_json().items() if name != "confidence"}
    print(json.dumps(truth))


if __name__ == "__main__":
    main()
