"""A device that needs no hardware: another decoder of libav's, whose pictures are stored and fetched as a GPU's are."""

from __future__ import annotations

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.frame import VideoFrame

from pipeline.container import OpenVideo
from pipeline.decoder import STORED_ON_DEVICE, Decoder, SkipFrame

#: decoders of the same codecs by other authors
OTHERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class SecondDecoder:
    """An ``acceleration.Device``: a decoder of its own for each video, with faults where they are asked for.

    options: of libav's decoder. breaks_at: the packet that it refuses. drops: the picture, counted from 0, that it
    keeps to itself. accel: what libav is asked to open the video on.
    """

    name = "cuda"

    def __init__(
        self, *, options: dict[str, str] | None = None, breaks_at: int | None = None, drops: int | None = None,
        accel: HWAccel | None = None,
    ) -> None:  # fmt: skip
        self.accel = accel
        self.options = options or {}
        self.breaks_at = breaks_at
        self.drops = drops
        #: packets that were decoded on it so far
        self.packets = 0

    def decoder(self, video: OpenVideo) -> Decoder | None:
        first = video.stream.codec_context
        if first.codec.name == "mpeg4":
            return None
        context = av.CodecContext.create(OTHERS.get(first.codec.name, first.codec.name), "r")
        context.extradata, context.options, context.thread_count = first.extradata, self.options, 1
        context.width, context.height = first.width, first.height
        return _Faulty(self, context)


class _Faulty:
    def __init__(self, device: SecondDecoder, context: av.VideoCodecContext) -> None:
        self._device = device
        self._context = context
        self._fed = self._given = 0

    @property
    def skip_frame(self) -> SkipFrame:
        return self._context.skip_frame

    @skip_frame.setter
    def skip_frame(self, value: SkipFrame) -> None:
        self._context.skip_frame = value

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        if packet is not None:
            if self._fed == self._device.breaks_at:
                raise av.error.ExternalError(0, "the device fell off the bus")
            self._fed += 1
            self._device.packets += 1
        return [stored for frame in self._context.decode(packet) if (stored := self._stored(frame)) is not None]

    def flush_buffers(self) -> None:
        self._context.flush_buffers()

    def _stored(self, frame: VideoFrame) -> VideoFrame | None:
        self._given += 1
        if self._given - 1 == self._device.drops:
            return None
        stored = frame.reformat(format=STORED_ON_DEVICE, threads=1)
        stored.colorspace, stored.color_range = frame.colorspace, frame.color_range
        return stored
