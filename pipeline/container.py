"""Opens a video container: the one place that hands a file to libav, with everything else shut.

Runs in the cage's child only. The input is an open descriptor; libav may use no protocol but ``fd``, and no
demuxer but those that the content called for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.decoder import Decoder
from pipeline.errors import MediaError
from pipeline.false_sizes import false_sizes_are_damage
from pipeline.libav_log import LibavLog
from pipeline.media import MediaLimits
from pipeline.ranged_file import RangedFile
from pipeline.sniff import ACCEPTED, Sniffed, no_video

#: libav's own names of what each demuxer reads
_DEMUXERS = {"mov": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm"}
#: what a video may be coded in; libav knows hundreds more, of games and old cameras, that nobody has tested for years
_DECODER_NAMES = """
    h264 hevc vvc av1 libdav1d vp8 vp9 mpeg4 mpeg1video mpeg2video mjpeg prores dnxhd theora vc1 wmv1 wmv2 wmv3
    msmpeg4v1 msmpeg4v2 msmpeg4 msmpeg4v3 flv h263 h263p h261 ffv1 huffyuv ffvhuff utvideo dvvideo svq1 svq3 rawvideo
    cinepak qtrle png apng gif webp jpeg2000 vp6 vp6f vp6a v210 cfhd magicyuv
"""
DECODERS = frozenset(_DECODER_NAMES.split())
_UNMARKED = frozenset({"h261", "h263", "h263p", "h263i"})
#: demuxers that take the container's own word on keyframes
_WITHOUT_PARSER = frozenset({"mov", "matroska", "webm", "flv"})
#: more than any file needs; what a hostile header claims is not believed
_PROBE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class OpenVideo:
    """An open container and the stream that is the video.

    in_order: it must be read as it lies, since times name no places in it.
    """

    container: InputContainer
    stream: VideoStream
    log: LibavLog
    on_device: Decoder | None = None
    in_order: bool = False

    @property
    def decoder(self) -> Decoder:
        """What the packets are given to."""
        return self.on_device or self.stream.codec_context

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of this stream's timestamps."""
        return self.stream.time_base or Fraction(1, 1000)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the video in decoding order, and empty ones. Raises: av.error.FFmpegError, EOFError."""
        try:
            with false_sizes_are_damage():
                yield from self.container.demux(self.stream)
        except IndexError:
            return  # another stream turned up on the way; PyAV stumbles over it after the last packet

    @property
    def guessed_times(self) -> bool:
        """Whether timestamps are guesses: AVI has none, and where pictures are reordered libav guesses wrong."""
        context = self.stream.codec_context
        reorders = context.codec.canonical_name in ("h264", "hevc") and context.has_b_frames
        return bool(reorders and "avi" in self.container.format.name.split(","))

    @property
    def marks_keys(self) -> bool:
        """Whether keyframes are told apart: libav's parser of these old codecs calls every picture one."""
        names = self.container.format.name.split(",")
        return self.stream.codec_context.codec.canonical_name not in _UNMARKED or not _WITHOUT_PARSER.isdisjoint(names)

    @property
    def announced(self) -> int:
        """How many packets the container says it holds, less those that an edit list leaves out; 0: it does not say."""
        if "mov" in self.container.format.name.split(","):
            return len(self.stream.index_entries)
        return self.stream.frames

    @property
    def rate(self) -> Fraction:
        """Average frames a second, guessed where the container does not say."""
        for rate in (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate):
            if rate:
                return Fraction(rate)
        return Fraction(25)


@contextmanager
def open_video(
    source: int | RangedFile, found: Sniffed, limits: MediaLimits, log: LibavLog | None = None, *,
    accel: HWAccel | None = None, in_order: bool = False,
) -> Iterator[OpenVideo]:  # fmt: skip
    """Open a container and choose its video stream; refuses by headers alone.

    source: an open descriptor, or a file that is filled as it is read; what that raises passes through. accel: what its
    streams are to be decoded on; what PyAV raises of it passes through where it is no libav error. in_order: the pieces
    of a fragmented MP4 are met as they are read, not looked for first in all of the file.
    Raises: MediaError (media.undecodable, media.no_video, media.unsupported, media.too_many_streams,
    media.too_large).
    """
    log = log or LibavLog()
    log.mark()
    if isinstance(source, int):
        os.lseek(source, 0, os.SEEK_SET)
    else:
        source.seek(0)
    try:
        with false_sizes_are_damage():
            container = av.open(
                "fd:" if isinstance(source, int) else source, "r",
                format=found.formats[0] if len(found.formats) == 1 else None,
                container_options=_options(source, found, limits) | ({"fflags": "ignidx"} if in_order else {}),
                options={"max_pixels": str(limits.max_pixels)}, hwaccel=accel,
            )  # fmt: skip
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError, EOFError) as error:
        raise _unreadable(log, limits) from error
    with container:
        _check_streams(container, limits)
        stream = choose_stream(container)
        check_size(stream.codec_context.width, stream.codec_context.height, limits)
        log.mark()  # what opening said is not damage: a broadcast recording starts amid pictures
        yield OpenVideo(container, stream, log, in_order=in_order)


def choose_stream(container: InputContainer) -> VideoStream:
    """Return the stream a player would show: no cover art; marked default first, then the larger picture."""
    films = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not films:
        raise no_video()
    known = [stream for stream in films if stream.codec_context is not None]
    usable = [stream for stream in known if stream.codec_context.codec.name in DECODERS]
    if not usable:
        name = known[0].codec_context.codec.name if known else "unknown"
        raise MediaError(
            f"The video is coded as {name}, which is not supported.", code="media.unsupported",
            advice="Convert it to H.264, HEVC, VP9 or AV1.",
        )  # fmt: skip
    return max(usable, key=_preference)


def check_size(width: int, height: int, limits: MediaLimits) -> None:
    """Refuse pictures of more pixels than allowed. Raises: MediaError (media.too_large)."""
    if width * height > limits.max_pixels:
        raise MediaError(
            f"A picture of {width} x {height} pixels is more than the {limits.max_pixels:,} allowed.",
            code="media.too_large", advice="Send a smaller version.",
        )  # fmt: skip


def _preference(stream: VideoStream) -> tuple[bool, int, int]:
    default = bool(stream.disposition & av.stream.Disposition.default)
    return default, stream.codec_context.width * stream.codec_context.height, -stream.index


def _is_cover(stream: VideoStream) -> bool:
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return bool(stream.disposition & cover)


def _options(source: int | RangedFile, found: Sniffed, limits: MediaLimits) -> dict[str, str]:
    names = ",".join(_DEMUXERS.get(name, name) for name in found.formats)
    return {
        "protocol_whitelist": "fd",
        "format_whitelist": names,
        "max_streams": str(limits.max_streams + 1),
        "probesize": str(_PROBE_BYTES),
        "max_pixels": str(limits.max_pixels),
        **({"fd": str(source)} if isinstance(source, int) else {}),
    }


def _check_streams(container: InputContainer, limits: MediaLimits) -> None:
    if len(container.streams) > limits.max_streams:
        raise _too_many_streams(limits)


def _too_many_streams(limits: MediaLimits) -> MediaError:
    return MediaError(
        f"The file holds more than {limits.max_streams} streams.", code="media.too_many_streams",
        advice="Send a file with the one video stream that is meant.",
    )  # fmt: skip


def _unreadable(log: LibavLog, limits: MediaLimits) -> MediaError:
    """Tell why a container could not be opened, as far as libav said."""
    said = log.text()
    if "max_streams" in said:
        return _too_many_streams(limits)
    if "moov atom not found" in said:
        return MediaError(
            "The file ends before its index (moov): the recording or the upload was cut short.",
            advice="Upload the whole file; a cut recording may be repaired by its camera's software.",
        )
    return MediaError("The video container cannot be read: it is damaged or cut short.", advice=ACCEPTED)
