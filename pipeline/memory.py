"""What a run holds in memory at most: frames in slots, the decoder's pictures, the packet index, a segment's rows.

The model comes on top, as large as it is: nobody but its runtime knows. Nothing here grows with the length of a video
but the packet index, by 64 bytes a frame; rows grow with the length of a segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.cage_ring import slots_of
from pipeline.media import MediaInfo, shrunk

MIB = 1 << 20
#: frames so large that a batch of them takes more go in smaller batches
BATCH_BYTES = 256 * MIB
#: the child before its first input: interpreter, libav, OpenCV, Pillow, numpy (74 MiB measured)
_CHILD_BYTES = 96 * MIB
#: what libav reads of a file to find out what it is, and the packets on their way
_READ_BYTES = 16 * MIB
#: 16 that others refer to, and those waiting for their turn to be shown
_DECODER_PICTURES = 20
#: Pillow keeps 4 bytes a pixel; at worst the picture as stored, with transparency, on white, as bytes, and as an array
_STILL_BYTES_PER_PIXEL = 24
_INDEX_BYTES_PER_FRAME = 64
#: a result as Python objects: 1.4 KiB measured of motion, 2.0 of detect with two findings a frame
_ROW_BYTES = 2 << 10
#: the thread that waits for the cage: its stack, and a heap of its own with gaps between frames (0.6 MiB measured)
_THREAD_BYTES = 1 * MIB
#: time, acceleration and rotation as float64
_READING_BYTES = 7 * 8
#: of a recording that is just being read: its numbers as they grow, as a table, checked, and in SI units
_READING_COPIES = 4


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that one input needs, beside the idle processes and the model. Sizes in bytes.

    held_frames: in the batch, waiting for the next one, and in the hand of the thread that waits; ring_slots: in the
    memory that both processes share, counted once, here; rows_bytes: of the largest segment's results, in hand until
    it is whole; thread_bytes: what working ahead takes beside frames.
    """

    frame_bytes: int
    held_frames: int
    ring_slots: int
    rows_bytes: int
    thread_bytes: int
    index_bytes: int
    decoder_bytes: int
    child_bytes: int

    @property
    def worker_bytes(self) -> int:
        """What the process that runs the model holds."""
        frames = self.frame_bytes * (self.held_frames + self.ring_slots)
        return frames + self.rows_bytes + self.thread_bytes + self.index_bytes

    @property
    def total_bytes(self) -> int:
        """Both processes; the child's own limit bounds its part where that is less."""
        return self.worker_bytes + self.child_bytes

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data, with the sum."""
        return {
            "frame_bytes": self.frame_bytes, "held_frames": self.held_frames, "ring_slots": self.ring_slots,
            "rows_bytes": self.rows_bytes, "thread_bytes": self.thread_bytes, "index_bytes": self.index_bytes,
            "worker_bytes": self.worker_bytes, "decoder_bytes": self.decoder_bytes, "child_bytes": self.child_bytes,
            "total_bytes": self.total_bytes,
        }  # fmt: skip


def ahead(batch_size: int) -> int:
    """Return how many frames may wait for their batch in the worker; the ring's slots hold as many again.

    Together they hold the next batch while the model has the last one, so that decoding need not stop.
    """
    return max(1, batch_size - slots_of(1))


def batch_frames(batch_size: int, frame_bytes: int) -> int:
    """Return how many frames of that size a batch holds at most."""
    return max(1, min(batch_size, -(-BATCH_BYTES // frame_bytes)))


def peak(media: MediaInfo, *, width: int | None, batch_size: int, cage_memory_bytes: int, rows: int = 0) -> Peak:
    """Return the formula's numbers for an input.

    width: what frames are shrunk to, None for their full size. rows: how many the largest segment gives.
    """
    if media.kind == "sensor":
        return _of_readings(media, batch_size, rows)
    across, down = shrunk(media.width, media.height, width)
    frame_bytes = max(1, 3 * across * down)
    slots, index_bytes = slots_of(frame_bytes), _INDEX_BYTES_PER_FRAME * _frames(media)
    decoder_bytes = _decoder_bytes(media, frame_bytes)
    # the ring is the worker's here, though the child's limit counts it too
    child_bytes = min(_CHILD_BYTES + _READ_BYTES + decoder_bytes + index_bytes, cage_memory_bytes)
    return Peak(
        frame_bytes=frame_bytes, held_frames=batch_frames(batch_size, frame_bytes) + ahead(batch_size) + 1,
        ring_slots=slots, rows_bytes=_ROW_BYTES * rows, thread_bytes=_THREAD_BYTES, index_bytes=index_bytes,
        decoder_bytes=decoder_bytes, child_bytes=child_bytes,
    )  # fmt: skip


def _of_readings(media: MediaInfo, batch_size: int, rows: int) -> Peak:
    """Return the numbers of a recording: it is read in this process, and no child takes part."""
    frame_bytes = max(1, _READING_BYTES * (media.frames or 0))
    held = batch_frames(batch_size, frame_bytes) + ahead(batch_size) + _READING_COPIES
    return Peak(
        frame_bytes=frame_bytes, held_frames=held, ring_slots=0, rows_bytes=_ROW_BYTES * rows,
        thread_bytes=_THREAD_BYTES, index_bytes=0, decoder_bytes=0, child_bytes=0,
    )  # fmt: skip


def _decoder_bytes(media: MediaInfo, frame_bytes: int) -> int:
    pixels = media.width * media.height
    if media.kind != "video":
        return _STILL_BYTES_PER_PIXEL * pixels
    stored = int(pixels * _bytes_per_pixel(str(media.extra.get("pixel_format"))))
    return _DECODER_PICTURES * stored + 2 * (3 * pixels + frame_bytes)  # and on the way to RGB


def _bytes_per_pixel(pixel_format: str) -> float:
    """Return bytes a pixel of libav's formats by name: yuv420p, yuv422p10le, gbrp12le ..."""
    samples = 1.5 if "420" in pixel_format or "nv12" in pixel_format or "p010" in pixel_format else 3.0
    deep = re.search(r"(9|10|12|14|16)(le|be)$", pixel_format) is not None
    return 2 * samples if deep else samples


def _frames(media: MediaInfo) -> int:
    if media.frames is not None:
        return media.frames
    return int((media.duration_seconds or 0.0) * (media.frame_rate or 0.0)) or 1
