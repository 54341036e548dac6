"""Facts about an input, and refusals, from headers; only a video's first picture is decoded, for its rotation."""

from __future__ import annotations

import os
from collections.abc import Mapping

import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.container import OpenVideo, open_video
from pipeline.errors import MediaError
from pipeline.index import too_long, too_many
from pipeline.libav_log import LibavLog
from pipeline.media import MediaInfo, MediaLimits
from pipeline.picture import Turn, turn_of
from pipeline.sniff import Sniffed, sniff_file
from pipeline.stills import probe_image
from pipeline.truncation import announced_bytes

#: how far the probe looks for a first picture; a damaged start is told by the decoding itself
_PACKETS_TRIED = 300


def probe_file(descriptor: int, limits: MediaLimits, log: LibavLog | None = None) -> tuple[MediaInfo, Sniffed]:
    """Judge an open regular file by its content.

    Raises: MediaError (media.empty, media.too_large, media.too_long, media.too_many_streams, media.no_video,
    media.unsupported, media.undecodable).
    """
    size = os.fstat(descriptor).st_size
    if size > limits.max_bytes:
        raise MediaError(
            f"The file has {size:,} bytes, more than the {limits.max_bytes:,} allowed.", code="media.too_large",
            advice="Send a shorter or a smaller version.",
        )  # fmt: skip
    found = sniff_file(descriptor)
    if found.kind == "image":
        return probe_image(descriptor, found, limits), found
    with open_video(descriptor, found, limits, log) as video:
        return _describe(video, size, limits, _cut_short(descriptor, found, size)), found


def _describe(video: OpenVideo, size: int, limits: MediaLimits, warnings: tuple[Mapping[str, str], ...]) -> MediaInfo:
    stream, container = video.stream, video.container
    seconds = _duration(video)
    if seconds is not None and seconds > limits.max_duration_seconds:
        raise too_long(limits)
    if stream.frames > limits.max_frames:
        raise too_many(limits)
    context = stream.codec_context
    turn = _first_turn(video)
    width, height = (context.height, context.width) if turn.swap else (context.width, context.height)
    aspect = stream.sample_aspect_ratio
    return MediaInfo(
        kind="video",
        format=container.format.name,
        codec=context.codec.canonical_name,
        width=width,
        height=height,
        rotation=turn.degrees,
        duration_seconds=seconds,
        frame_rate=float(video.rate),
        frames=stream.frames or None,
        size_bytes=size,
        warnings=warnings,
        extra={
            "pixel_format": context.pix_fmt,
            "pixel_aspect": str(aspect) if aspect else "1",
            "streams": len(container.streams),
            "stream": stream.index,
            "mirrored": turn.mirrored,
            "time_base": str(video.time_base),
            "start_seconds": float(stream.start_time * video.time_base) if stream.start_time is not None else 0.0,
        },
    )


def _cut_short(descriptor: int, found: Sniffed, size: int) -> tuple[Mapping[str, str], ...]:
    announced = announced_bytes(descriptor, found.formats[0])
    if announced is None or announced <= size:
        return ()
    message = f"The file is cut short: it announces {announced:,} bytes and has {size:,}."
    return ({"code": "media.damaged", "message": message},)


def _duration(video: OpenVideo) -> float | None:
    """Return the longer of what stream and container claim; None where neither says."""
    stream, container = video.stream, video.container
    claims = []
    if stream.duration is not None:
        claims.append(float(stream.duration * video.time_base))
    if container.duration is not None:
        claims.append(container.duration / 1_000_000)
    return max(claims) if claims else None


def _first_turn(video: OpenVideo) -> Turn:
    """Decode up to the first picture, which carries the rotation."""
    context = video.stream.codec_context
    try:
        for tried, packet in enumerate(video.packets()):
            last = not packet.size or tried >= _PACKETS_TRIED
            for frame in _decoded(context, packet if packet.size else None) + (_decoded(context, None) if last else []):
                return turn_of(frame)
            if last:
                break
    except MemoryError:
        raise
    except (av.error.FFmpegError, EOFError):
        pass  # damage is told by the index and by decoding
    return Turn()


def _decoded(context: VideoCodecContext, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
    try:
        return context.decode(packet)
    except MemoryError:
        raise
    except (av.error.FFmpegError, EOFError, ValueError):
        return []
