"""Draw the picture and the clip that docs/pipelines/deepfake.md uses: a face nobody has.

Usage: python examples/draw_face.py [FOLDER]. Writes face.jpg, and face.mp4 (three seconds in which it wanders).
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE, SECONDS = 320, 240, 10, 3
Image = NDArray[np.uint8]


def portrait(side: int = 512) -> Image:
    """Return the face, uint8 RGB, (side, side, 3): ellipses with soft shading on a plain ground."""
    image = np.full((side, side, 3), (96, 120, 140), np.float32)
    unit = side / 512

    def blob(centre: tuple[float, float], axes: tuple[float, float], colour: tuple[int, int, int], soft: float) -> None:
        """Blend an ellipse in; soft: width of its edge in pixels of a 512 picture."""
        mask = np.zeros((side, side), np.float32)
        place = tuple(round(value * unit * 16) for value in centre)
        size = tuple(round(value * unit * 16) for value in axes)
        cv2.ellipse(mask, place, size, 0, 0, 360, 1.0, -1, cv2.LINE_AA, 4)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, soft * unit))[..., None]
        image[:] = image * (1 - mask) + np.array(colour, np.float32) * mask

    blob((256, 520), (190, 120), (52, 58, 92), 4)  # shoulders
    blob((256, 420), (62, 80), (178, 130, 104), 6)  # neck
    blob((256, 228), (158, 190), (58, 40, 30), 6)  # hair
    blob((256, 268), (126, 168), (206, 158, 130), 5)  # head
    blob((256, 330), (100, 96), (212, 164, 136), 20)
    blob((206, 262), (58, 40), (186, 136, 112), 14)  # hollows of the eyes
    blob((306, 262), (58, 40), (186, 136, 112), 14)
    for x in (204, 308):
        blob((x, 226), (36, 7), (66, 46, 36), 4)  # brow
        blob((x, 256), (28, 13), (120, 84, 70), 4)
        blob((x, 257), (24, 10), (236, 232, 228), 2)  # white of the eye
        blob((x, 256), (11, 11), (70, 52, 40), 1.5)  # iris
        blob((x, 256), (5, 5), (16, 12, 12), 1)
        blob((x + 4, 252), (2.5, 2.5), (250, 250, 250), 1)
    blob((256, 298), (13, 48), (220, 174, 146), 9)  # bridge of the nose
    blob((256, 332), (26, 15), (216, 164, 138), 6)
    blob((240, 342), (7, 4), (120, 76, 64), 3)  # nostrils
    blob((272, 342), (7, 4), (120, 76, 64), 3)
    blob((256, 386), (46, 15), (176, 92, 88), 4)  # mouth
    blob((256, 385), (42, 3.5), (112, 50, 50), 2)
    blob((256, 404), (34, 6), (190, 138, 114), 6)
    blob((180, 320), (30, 30), (216, 150, 128), 18)  # cheeks
    blob((332, 320), (30, 30), (216, 150, 128), 18)
    grain = np.random.default_rng(5).normal(0, 3, image.shape)
    return np.clip(image + grain, 0, 255).round().astype(np.uint8)


def scene(seconds: float) -> Image:
    """Return the clip's picture at a time: one second of nothing, then the face goes from left to right."""
    image = np.full((HEIGHT, WIDTH, 3), (96, 120, 140), np.uint8)
    if seconds >= 1:
        side = 200
        left = round(10 + (WIDTH - side - 20) * (seconds - 1) / (SECONDS - 1))
        image[30 : 30 + side, left : left + side] = cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_AREA)
    return image


def main(folder: Path) -> None:
    """Write both files."""
    small = cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "face.jpg"), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    with av.open(str(folder / "face.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "g": str(RATE)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for place in range(RATE * SECONDS):
            frame = av.VideoFrame.from_ndarray(scene(place / RATE), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
