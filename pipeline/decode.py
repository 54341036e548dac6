"""Gives the wanted frames of a video, exactly those, in presentation order.

A frame is known by its timestamp. Runs of packets in which nothing is wanted are read past and never decoded;
a run starts where the decoder can start anew, so leaving one out changes no other picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.cage_wire import Tick, no_tick
from pipeline.container import OpenVideo
from pipeline.index import PacketScan
from pipeline.media import PacketIndex
from pipeline.packet_reader import PacketReader
from pipeline.seek import Packets
from pipeline.skipping import Skipping

#: With threads, libav conceals damage from whatever the other thread has finished: other pictures each run, fewer at a
#: cut end, and errors that no packet can be blamed for. One thread costs the least processor time in all.
DECODE_THREADS = 1
#: whose libav decoder hands out the picture of a packet that it refused, in memory to which nobody has written
_LEAVE_UNWRITTEN = frozenset({"mpeg1video", "mpeg2video"})


@dataclass(slots=True)
class Damage:
    """What went wrong on the way: packets the decoder refused, pictures it gave with errors, frames it never gave.

    began_amid: no damage; whether the decoder was made to begin anew amid the film. refused: timestamps of the packets.
    """

    packets: int = 0
    pictures: int = 0
    missing: int = 0
    began_amid: bool = False
    refused: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Feed:
    """What the decoder is to be given.

    flags: bool, (packets,), by position in decoding order. anew: where it must first forget what it holds, since
    packets before were left out. start: position of the first of ``packets``. scan: what the index pass saw.
    """

    flags: NDArray[np.bool_]
    anew: frozenset[int]
    start: int
    packets: Packets
    scan: PacketScan


def decode_places(
    video: OpenVideo, index: PacketIndex, feed: Feed, wanted: NDArray[np.int64], damage: Damage, *, tick: Tick = no_tick
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (place, frame) for each wanted place that could be had, rising; counts what could not in ``damage``.

    wanted: int64, rising places in ``index``. Stops reading after the last one. Of the packets fed, those whose picture
    is neither wanted nor made use of by others cost only their header.
    """
    context = video.stream.codec_context
    context.thread_type = "SLICE"
    context.thread_count = DECODE_THREADS
    skipping = Skipping(video, index.pts[wanted] if index.timed else None, feed.scan.top_layer)
    frames = _fed_frames(video, feed, skipping, damage, tick)
    left = [int(place) for place in wanted[::-1]]
    for place, frame in _placed(frames, index):
        while left and left[-1] < place:
            damage.missing += 1
            left.pop()
        if left and left[-1] == place:
            left.pop()
            damage.pictures += frame.is_corrupt
            yield place, frame
        if not left:
            return
    damage.missing += len(left)


def runs(scan: PacketScan) -> NDArray[np.int64]:
    """Return where runs start, in decoding order: int64, the first at the first keyframe.

    A run starts at a reset that is shown after everything before it, and before every later reset (an edit list may go
    back). Pictures may lead it: decoded after it, shown before it, and built on the run before (open GOP). What stands
    before the first keyframe belongs to no run: decoders make no picture of it.
    """
    if not len(scan):
        return np.zeros(0, np.int64)
    pts = np.frombuffer(scan.pts, np.int64)
    resets = np.flatnonzero(np.frombuffer(scan.reset, np.bool_))
    first = max(0, scan.key.find(1))
    before = np.maximum.accumulate(np.concatenate(([np.iinfo(np.int64).min], pts[:-1])))
    later = np.minimum.accumulate(pts[resets][::-1])[::-1]
    good = resets[(before[resets] < pts[resets]) & np.append(later[1:] > pts[resets[:-1]], True)[: len(resets)]]
    return np.concatenate(([first], good[good > first])).astype(np.int64)


def packets_to_feed(scan: PacketScan, index: PacketIndex, wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return bool, (packets,): those of every run that holds a wanted frame, up to the last one it needs.

    A wanted picture that leads its run needs the run before as well; pictures that lead a run whose forerunner is not
    decoded to its end are left out.
    """
    if not index.timed:
        return np.ones(len(scan), np.bool_)
    feed = np.zeros(len(scan), np.bool_)
    pts, starts = np.frombuffer(scan.pts, np.int64), runs(scan)
    shown = np.frombuffer(scan.shown, np.bool_)
    needed = np.flatnonzero(np.isin(pts, index.pts[wanted]) & shown)
    needed = needed[needed >= starts[:1].sum()]
    run = np.searchsorted(starts, needed, side="right") - 1
    leads = (pts[needed] < pts[starts[run]]) & (run > 0)
    for place in np.flatnonzero(leads):
        feed[starts[run[place] - 1] : starts[run[place]]] = True
    for place in np.flatnonzero(np.diff(run, append=len(starts))):
        start, stop = starts[run[place]], needed[place] + 1
        joined = start > 0 and feed[start - 1]
        feed[start:stop] = True if joined else pts[start:stop] >= pts[start]
    return feed


def fresh_starts(scan: PacketScan, flags: NDArray[np.bool_]) -> frozenset[int]:
    """Return the positions of fed runs whose forerunner is not fed to its end."""
    starts = runs(scan)[1:]
    return frozenset(starts[flags[starts] & ~flags[starts - 1]].tolist())


def _fed_frames(video: OpenVideo, feed: Feed, skipping: Skipping, damage: Damage, tick: Tick) -> Iterator[VideoFrame]:
    """Yield what the decoder gives for the packets to feed."""
    reader = PacketReader(video, feed.scan, feed.start, feed.packets, tick=tick)
    for position in np.flatnonzero(feed.flags).tolist():
        anew = position in feed.anew
        if anew:
            damage.began_amid = True
            yield from _decoded(video, None, damage)
            video.decoder.flush_buffers()
        packet = _read(reader, position, damage, apart=anew)
        if packet is None:
            break
        if damage.packets or damage.pictures:
            skipping.stop()
        skipping.prepare(packet)
        yield from _decoded(video, packet, damage)
    yield from _decoded(video, None, damage)


def _read(reader: PacketReader, position: int, damage: Damage, *, apart: bool) -> Packet[VideoStream] | None:
    """Return a packet to feed; None where the rest of the file cannot be read, which is counted, or it ends."""
    try:
        return reader.at(position, apart=apart)
    except MemoryError:
        raise
    except (av.error.FFmpegError, EOFError):
        damage.packets += 1
        return None


def _decoded(video: OpenVideo, packet: Packet[VideoStream] | None, damage: Damage) -> list[VideoFrame]:
    try:
        frames = video.decoder.decode(packet)
    except MemoryError:
        raise
    except EOFError:
        return []
    except (av.error.FFmpegError, ValueError):
        damage.packets += packet is not None
        if packet is not None and packet.pts is not None:
            damage.refused.add(packet.pts)
        return []
    if damage.refused and video.stream.codec_context.codec.canonical_name in _LEAVE_UNWRITTEN:
        return [frame for frame in frames if frame.pts not in damage.refused]
    return frames


def _placed(frames: Iterator[VideoFrame], index: PacketIndex) -> Iterator[tuple[int, VideoFrame]]:
    """Give each frame its place: by timestamp, or by counting where there are none. Strangers are left out."""
    if not index.timed:
        yield from enumerate(frames)
        return
    for frame in frames:
        if frame.pts is None:
            continue
        place = int(index.pts.searchsorted(frame.pts))
        if place < len(index) and index.pts[place] == frame.pts:
            yield place, frame
