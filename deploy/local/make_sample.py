"""Make ``sample.mp4``, the clip of the demo: ``python -m deploy.local.make_sample [PATH]``.

Ten seconds at 25 frames/s, 480x270, drawn here from nothing else (CC0). Four stretches, each something that the
``motion`` pipeline names: 0-3.6 s shapes that move, 3.6 s a hard cut to another scene that moves till 6.4 s,
6.4-7.8 s black, 7.8-10 s a picture that stands still.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

WIDTH, HEIGHT, RATE = 480, 270, 25
#: (end in seconds, what is drawn)
CUT, BLACK, STILL, END = 3.6, 6.4, 7.8, 10.0


def frame_at(seconds: float) -> Image:
    """The picture at an instant, (HEIGHT, WIDTH, 3) RGB uint8."""
    if seconds < CUT:
        return street(seconds)
    if seconds < BLACK:
        return harbour(seconds - CUT)
    if seconds < STILL:
        return np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return harbour(0.9)


def street(seconds: float) -> Image:
    """By day: two boxes pass each other, a ball bounces."""
    image = gradient((150, 190, 225), (90, 110, 95))
    for lane in range(0, WIDTH, 60):
        cv2.rectangle(image, (lane, 215), (lane + 30, 219), (210, 210, 190), -1)
    left = round(-80 + seconds * 150)
    right = round(WIDTH - seconds * 120)
    cv2.rectangle(image, (left, 160), (left + 84, 205), (200, 40, 40), -1)
    cv2.rectangle(image, (right, 222), (right + 70, 258), (30, 60, 170), -1)
    ball = (round(90 + 80 * seconds), round(120 - 70 * abs(math.sin(3 * seconds))))
    cv2.circle(image, ball, 16, (245, 220, 60), -1, cv2.LINE_AA)
    return image


def harbour(seconds: float) -> Image:
    """By night: a boat crosses, a light turns."""
    image = gradient((12, 16, 44), (30, 52, 86))
    rng = np.random.default_rng(7)
    for x, y in zip(rng.integers(0, WIDTH, 60), rng.integers(0, 120, 60), strict=True):
        cv2.circle(image, (int(x), int(y)), 1, (190, 190, 170), -1)
    x = round(40 + seconds * 110)
    boat = np.array([[x, 190], [x + 100, 190], [x + 80, 222], [x + 18, 222]], np.int32)
    cv2.fillPoly(image, [boat], (230, 230, 235), cv2.LINE_AA)
    cv2.line(image, (x + 50, 190), (x + 50, 120), (230, 230, 235), 3)
    angle = 1.4 * seconds
    tip = (round(420 + 60 * math.cos(angle)), round(70 + 60 * math.sin(angle)))
    cv2.line(image, (420, 70), tip, (255, 230, 120), 6, cv2.LINE_AA)
    return image


def gradient(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image:
    """A background from one colour down to another."""
    mix = np.linspace(0.0, 1.0, HEIGHT)[:, None, None]
    column = np.array(top)[None, None] * (1 - mix) + np.array(bottom)[None, None] * mix
    return np.ascontiguousarray(np.broadcast_to(column, (HEIGHT, WIDTH, 3)).astype(np.uint8))


def write(path: Path) -> None:
    """Encode the clip as H.264 with a keyframe every two seconds."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "26", "preset": "slow", "g": str(2 * RATE), "threads": "1"}
        for index in range(round(END * RATE)):
            picture = av.VideoFrame.from_ndarray(frame_at(index / RATE), format="rgb24")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("sample.mp4")))
