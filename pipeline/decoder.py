"""What turns packets into pictures: libav in software, or libav with a device that does the work."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import av.error
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from pipeline.libav_log import LibavLog

SkipFrame: TypeAlias = Literal["NONE", "DEFAULT", "NONREF", "BIDIR", "NONINTRA", "NONKEY", "ALL"]
#: what devices hand over of 8-bit 4:2:0, and what libav's own decoders give of it; the samples are the same
STORED_ON_DEVICE, IN_SOFTWARE = "nv12", "yuv420p"


class Decoder(Protocol):
    """Takes packets in decoding order, gives pictures in presentation order; None drains it.

    libav's own context is one. ``skip_frame`` is heeded on devices too: libav drops what is not wanted unit by unit,
    before it calls the device.
    """

    skip_frame: SkipFrame

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Return the pictures that are due. Raises: av.error.FFmpegError, ValueError, EOFError once drained."""
        ...

    def flush_buffers(self) -> None:
        """Forget what was fed, so that decoding may start anew."""
        ...


class DeviceFault(Exception):
    """The device gave up, or gave what cannot be trusted: the CPU must go on from here."""


class DeviceDecoder:
    """A decoder on a device; whatever it complains of is a DeviceFault, as devices conceal damage in their own ways."""

    def __init__(self, context: Decoder, log: LibavLog) -> None:
        """Take a context that decodes on the device, and the log that it writes to."""
        self._context = context
        self._log = log
        self._began_amid = False
        self._reformatter = VideoReformatter()

    @property
    def skip_frame(self) -> SkipFrame:
        """Which pictures are left out."""
        return self._context.skip_frame

    @skip_frame.setter
    def skip_frame(self, value: SkipFrame) -> None:
        self._context.skip_frame = value

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Return the pictures that are due, still on the device. Raises: DeviceFault, EOFError once drained."""
        try:
            frames = self._context.decode(packet)
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, EOFError):
                raise
            raise DeviceFault(str(error)) from error
        if self._log.errors(None, began_amid=self._began_amid) or any(frame.is_corrupt for frame in frames):
            raise DeviceFault("it complained of the stream")
        return frames

    def flush_buffers(self) -> None:
        """Forget what was fed."""
        self._began_amid = True
        self._context.flush_buffers()

    def fetched(self, frame: VideoFrame) -> VideoFrame:
        """Return a picture in memory, stored as the software decoder stores it. Raises: DeviceFault.

        Called for wanted pictures only: those that others merely refer to never leave the device.
        """
        stored = frame.sw_format or frame.format
        if stored.name != STORED_ON_DEVICE:
            raise DeviceFault(f"its pictures are {stored.name}")
        try:
            picture = self._reformatter.reformat(frame, format=IN_SOFTWARE, threads=1)
        except (av.error.FFmpegError, ValueError) as error:
            raise DeviceFault(str(error)) from error
        # PyAV takes the matrix's number for one of swscale's, where 5 stands for several
        picture.colorspace, picture.color_range = frame.colorspace, frame.color_range
        return picture
