"""What others need for the same frames: the usual ways to every n-th picture, 640 wide, RGB.

``python -m bench.decode.peers PEER FILE STRIDE`` is one measured run. Peers that the product does not use are installed
into a folder of their own each; one that cannot be installed or does not run is named, with the reason.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from bench.decode.figures import Figure
from bench.decode.measuring import MethodFailed, inside, limit_command, measured, paired
from bench.decode.product import WIDTH
from bench.decode.streams import CACHE, REPOSITORY, Streams, ffmpeg

REQUIREMENTS = REPOSITORY / "deploy" / "requirements" / "bench.txt"
STREAM, STRIDES = "h264-720p-gop250", ("10", "150")
_BATCH = 32
_INSTALL_SECONDS = 600


def _height(width: int, height: int) -> int:
    return round(height * WIDTH / width)


def cv2_grab(path: str, stride: int) -> Iterator[Any]:
    film, number = cv2.VideoCapture(path, cv2.CAP_FFMPEG), 0
    while film.grab():
        if number % stride == 0:
            yield _cv2_picture(film.retrieve()[1])
        number += 1


def cv2_read(path: str, stride: int) -> Iterator[Any]:
    film, number = cv2.VideoCapture(path, cv2.CAP_FFMPEG), 0
    while (got := film.read())[0]:
        if number % stride == 0:
            yield _cv2_picture(got[1])
        number += 1


def _cv2_picture(picture: Any) -> Any:
    height, width, _ = picture.shape
    return cv2.cvtColor(cv2.resize(picture, (WIDTH, _height(width, height))), cv2.COLOR_BGR2RGB)


def pyav(path: str, stride: int) -> Iterator[Any]:
    with av.open(path) as film:
        film.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(film.decode(video=0)):
            if number % stride == 0:
                small = frame.reformat(WIDTH, _height(frame.width, frame.height), "rgb24")
                yield small.to_ndarray()


def torchcodec(path: str, stride: int) -> Iterator[Any]:
    decoders = importlib.import_module("torchcodec.decoders")
    film = decoders.VideoDecoder(path, num_ffmpeg_threads=1, seek_mode="exact", dimension_order="NHWC")
    size = WIDTH, _height(film.metadata.width, film.metadata.height)
    wanted = list(range(0, film.metadata.num_frames, stride))
    for first in range(0, len(wanted), _BATCH):
        for picture in film.get_frames_at(wanted[first : first + _BATCH]).data.numpy():
            yield cv2.resize(picture, size)


def decord(path: str, stride: int) -> Iterator[Any]:
    library = importlib.import_module("decord")
    height, width, _ = library.VideoReader(path, num_threads=1)[0].shape
    film = library.VideoReader(path, width=WIDTH, height=_height(width, height))
    wanted = list(range(0, len(film), stride))
    for first in range(0, len(wanted), _BATCH):
        yield from film.get_batch(wanted[first : first + _BATCH]).asnumpy()


def ffmpeg_pipe(path: str, stride: int) -> Iterator[Any]:
    with av.open(path) as film:
        size = WIDTH, _height(film.streams.video[0].width, film.streams.video[0].height)
    chosen = f"select=not(mod(n\\,{stride})),scale={size[0]}:{size[1]}"
    command = [ffmpeg(), "-v", "error", "-nostdin", "-i", path, "-map", "0:v:0", "-an", "-vf", chosen, "-vsync", "0",
               "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while len(raw := process.stdout.read(3 * size[0] * size[1])) == 3 * size[0] * size[1]:
            yield np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 3)


PEERS: Mapping[str, Callable[[str, int], Iterator[Any]]] = {
    "cv2 grab": cv2_grab, "cv2 read": cv2_read, "PyAV": pyav, "torchcodec": torchcodec, "decord": decord,
    "eva-decord": decord, "ffmpeg pipe": ffmpeg_pipe,
}  # fmt: skip
#: name: module to import
_INSTALLED = {"torchcodec": "torchcodec.decoders", "decord": "decord", "eva-decord": "decord"}


def measure(streams: Streams, repetitions: int) -> tuple[list[Figure], dict[str, str]]:
    """Measure every peer at a short and a long stride; also return why each missing one is. Raises: MissingTool."""
    figures, missing, path = list[Figure](), dict[str, str](), streams.path(STREAM)
    for name in PEERS:
        try:
            _install(name)
            for stride in STRIDES:
                command = inside("bench.decode.peers", name, str(path), stride)
                result = paired(command, limit_command(path), repetitions)
                told = f"{name}, {STREAM} stride {stride}"
                figures.append(Figure(f"{told}: CPU", result.cpu[0], None, spread=result.cpu[1], gate=False))
                figures.append(Figure(f"{told}: rate", result.wall[0], None, spread=result.wall[1], gate=False))
        except MethodFailed as failed:
            missing[name] = str(failed)
    return figures, missing


def _install(name: str) -> None:
    """Install a peer into its own folder, once. Raises: MethodFailed."""
    wanted = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{name}==")]
    if not wanted or _folder(name).is_dir():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(_folder(name)), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode:
        raise MethodFailed((done.stderr.strip().splitlines() or ["pip failed"])[-1][:200])


def _folder(name: str) -> Path:
    return CACHE / "peers" / name


def main(name: str, path: str, stride: str) -> None:
    """Do it once, measured; libraries are imported before."""
    if name in _INSTALLED:
        sys.path.insert(0, str(_folder(name)))
        importlib.import_module(_INSTALLED[name])
    measured(lambda: {"frames": sum(1 for _ in PEERS[name](path, int(stride)))})


if __name__ == "__main__":
    main(*sys.argv[1:])
