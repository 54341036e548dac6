"""Clips that are made on the fly, larger than what one would keep in a repository."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 25


def moving_clip(path: Path, *, width: int, height: int, seconds: int) -> Path:
    """A grey gradient with a bright bar that wanders, H.264, a keyframe each second."""
    base = np.broadcast_to(np.linspace(30, 160, width, dtype=np.uint8)[None, :, None], (height, width, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30", "g": str(RATE), "bf": "0"}
        for index in range(seconds * RATE):
            image = base.copy()
            left = index * 17 % (width - width // 8)
            image[height // 3 : height // 2, left : left + width // 8] = 240
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def joined(source: Path, target: Path, *, times: int) -> Path:
    """The source again and again, by copying its packets: nothing is encoded."""
    with av.open(str(target), "w") as output:
        with av.open(str(source)) as first:
            stream = output.add_stream_from_template(first.streams.video[0])
            length = first.streams.video[0].duration
        for turn in range(times):
            with av.open(str(source)) as clip:
                for packet in clip.demux(video=0):
                    if packet.dts is None:
                        continue
                    packet.pts += turn * length
                    packet.dts += turn * length
                    packet.stream = stream
                    output.mux(packet)
    return target


def padded_mp4(source: Path, total_bytes: int) -> tuple[bytes, int]:
    """The bytes of an MP4 and how many zeros, as the inside of a ``free`` box, make it this long and still valid."""
    content = source.read_bytes()
    padding = total_bytes - len(content) - 16
    box = (1).to_bytes(4, "big") + b"free" + (padding + 16).to_bytes(8, "big")
    return content + box, padding
