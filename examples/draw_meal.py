"""Draw examples/meal.png: two apples and an orange on a plate, shaded as by one lamp.

``python examples/draw_meal.py [TARGET]``. Everything is drawn here from formulas; the same on every machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 960, 640
SHOWN = (720, 480)
#: drawn larger and shrunk, so that edges are smooth
FINER = 2
LAMP = np.array([-0.45, -0.6, 0.66])
Picture = NDArray[np.float32]


def grid() -> tuple[Picture, Picture]:
    """Return x and y of each pixel's middle, in pixels of the finished picture."""
    y, x = np.mgrid[0 : HEIGHT * FINER, 0 : WIDTH * FINER].astype(np.float32)
    return (x + 0.5) / FINER, (y + 0.5) / FINER


def noise(seed: int, size: float) -> Picture:
    """Return smooth noise, -1 to 1, with blots about ``size`` pixels wide."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (int(HEIGHT / size) + 2, int(WIDTH / size) + 2)).astype(np.float32)
    return cv2.resize(coarse, (WIDTH * FINER, HEIGHT * FINER), interpolation=cv2.INTER_CUBIC)


def table(x: Picture, y: Picture) -> Picture:
    """Return dark planks of wood."""
    grain = noise(1, 6) * 0.02 + np.sin(y * 0.9 + noise(2, 90) * 9) * 0.015 + noise(3, 200) * 0.03
    plank = np.floor(y / 110) % 2 * 0.02
    seam = np.exp(-(((y % 110) - 3) ** 2) / 6) * 0.12
    light = 1.05 - 0.35 * (x / WIDTH) - 0.1 * (y / HEIGHT)
    return (np.array([0.42, 0.30, 0.21], np.float32) + (grain + plank - seam)[..., None]) * light[..., None]


def shadow(picture: Picture, x: Picture, y: Picture, place: tuple[float, float], radius: float) -> None:
    """Darken what lies behind a thing, away from the lamp."""
    far = np.hypot((x - place[0] - radius * 0.3) / (radius * 1.25), (y - place[1] - radius * 0.62) / (radius * 0.6))
    picture *= (1 - 0.6 * np.clip(1.15 - far, 0, 1))[..., None]


def plate(picture: Picture, x: Picture, y: Picture, place: tuple[float, float], radius: float) -> None:
    """Lay a white plate with a rim, seen a little from the side."""
    shadow(picture, x, y, (place[0], place[1] - radius * 0.25), radius * 0.95)
    far = np.hypot(x - place[0], (y - place[1]) / 0.72) / radius
    inside = np.clip((1 - far) * radius * 0.9 + 0.5, 0, 1)[..., None]
    tone = 0.93 - 0.1 * np.exp(-((far - 0.72) ** 2) / 0.0012) + 0.05 * np.exp(-((far - 0.97) ** 2) / 0.0006)
    tone = tone * (1 - 0.12 * (x - place[0] + radius) / (2 * radius))
    picture[:] = picture * (1 - inside) + np.stack([tone, tone, tone * 0.985], axis=2) * inside


def lit(normal: Picture, colour: Picture, shine: float) -> Picture:
    """Return a surface under the lamp: soft light, light from around, a highlight."""
    lamp = LAMP / np.linalg.norm(LAMP)
    soft = np.clip(normal @ lamp, 0, 1)
    half = lamp + np.array([0, 0, 1])
    gloss = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** 40
    around = 0.32 + 0.12 * (1 - normal[..., 1]) / 2
    return colour * (around + 0.85 * soft)[..., None] + shine * gloss[..., None]


def ball(x: Picture, y: Picture, place: tuple[float, float], radius: float) -> tuple[Picture, Picture]:
    """Return a ball's normals and how much of each pixel it covers."""
    across, down = (x - place[0]) / radius, (y - place[1]) / radius
    far = np.hypot(across, down)
    up = np.sqrt(np.clip(1 - far**2, 0, 1))
    return np.stack([across, down, up], axis=2), np.clip((1 - far) * radius + 0.5, 0, 1)[..., None]


def apple(picture: Picture, x: Picture, y: Picture, place: tuple[float, float], *, radius: float, seed: int) -> None:
    """Lay a red apple with a yellow blush, a hollow and a stem."""
    shadow(picture, x, y, place, radius)
    across, down = (x - place[0]) / radius, (y - place[1]) / radius
    squeezed = down - 0.09 * np.exp(-(across**2) / 0.06) * (down < 0) - 0.05 * np.abs(across) ** 2 * (down > 0)
    far = np.hypot(across * (1 + 0.10 * np.clip(down, 0, 1)), squeezed * 1.06)
    up = np.sqrt(np.clip(1 - far**2, 0, 1))
    normal = np.stack([across, squeezed, up], axis=2)
    hollow = np.exp(-(across**2 / 0.10 + (down + 0.78) ** 2 / 0.02))
    streak = np.sin(np.arctan2(across, 1.15 + down) * 60 + seed) * 0.5 + noise(seed, 9)
    blush = np.clip(0.42 - up * 0.25 + streak * 0.10 + hollow * 0.9 + noise(seed + 1, 60) * 0.22, 0, 1)[..., None]
    colour = (1 - blush) * np.array([0.72, 0.06, 0.07]) + blush * np.array([0.86, 0.55, 0.16])
    colour = colour * (1 - 0.55 * hollow)[..., None]
    cover = np.clip((1 - far) * radius + 0.5, 0, 1)[..., None]
    picture[:] = picture * (1 - cover) + lit(normal, colour, 0.5) * cover
    foot = np.array([place[0], place[1] - radius * 0.74])
    bend = foot[0] + 6 * np.sin((foot[1] - y) / radius * 2.0)
    stem = (np.abs(x - bend) < radius * 0.035) & (y < foot[1] + 4) & (y > foot[1] - radius * 0.38)
    picture[stem] = np.array([0.28, 0.17, 0.09])


def orange(picture: Picture, x: Picture, y: Picture, place: tuple[float, float], radius: float) -> None:
    """Lay an orange: dimpled skin and a navel."""
    shadow(picture, x, y, place, radius)
    normal, cover = ball(x, y, place, radius)
    normal[..., 0] += noise(21, 3) * 0.07
    normal[..., 1] += noise(22, 3) * 0.07
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    navel = np.exp(-(((x - place[0] - radius * 0.1) ** 2 + (y - place[1] + radius * 0.55) ** 2) / (radius * 0.09) ** 2))
    colour = np.array([0.96, 0.47, 0.04]) * (1 + 0.05 * noise(23, 25))[..., None]
    colour = colour * (1 - navel[..., None]) + np.array([0.30, 0.32, 0.10]) * navel[..., None]
    picture[:] = picture * (1 - cover) + lit(normal, colour, 0.25) * cover


def draw() -> NDArray[np.uint8]:
    """Return the picture, uint8, (480, 720, 3), RGB."""
    x, y = grid()
    picture = table(x, y).astype(np.float32)
    plate(picture, x, y, (470, 350), 330)
    orange(picture, x, y, (600, 270), 92)
    apple(picture, x, y, (360, 275), radius=98, seed=5)
    apple(picture, x, y, (480, 395), radius=104, seed=11)
    small = cv2.resize(np.clip(picture, 0, 1), SHOWN, interpolation=cv2.INTER_AREA)
    return np.asarray((small ** (1 / 1.15) * 255).round(), dtype=np.uint8)


def main(arguments: list[str]) -> int:
    """Write the picture and return the exit code."""
    target = Path(arguments[0]) if arguments else Path(__file__).with_name("meal.png")
    cv2.imwrite(str(target), draw()[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
