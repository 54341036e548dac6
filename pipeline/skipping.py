"""Tells the decoder which pictures it may leave out: nobody wants them, and no other picture is made from them.

Half the pictures of a usual H.264 or HEVC film are such. A left-out one costs the parsing of its header.
"""

from __future__ import annotations

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.container import OpenVideo
from pipeline.units import nal_length, temporal_layer

#: whose libav decoder drops just those when told so before a packet; VP9's cannot, AV1's asks only when it is opened
_CODECS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video"})


class Skipping:
    """Sets the decoder's ``skip_frame`` for one packet after another."""

    def __init__(self, video: OpenVideo, wanted_pts: NDArray[np.int64] | None, top_layer: int) -> None:
        """Take the wanted frames' timestamps, rising; None where frames are counted and all must be decoded.

        top_layer: the highest TemporalId of the stream (HEVC). A picture that its own layer does not refer to may still
        be needed by a higher one, so only the topmost are left out.
        """
        self._decoder, context = video.decoder, video.stream.codec_context
        codec = context.codec.canonical_name
        self._wanted = wanted_pts if codec in _CODECS else None
        self._layer = top_layer if codec == "hevc" and top_layer else None  # of a single layer all are the topmost
        self._nal_bytes = nal_length(codec, context.extradata)
        self._on = False

    def prepare(self, packet: Packet[VideoStream]) -> None:
        """Let the decoder leave out this packet's picture, or not."""
        self._set(self._wanted is not None and not self._is_wanted(packet.pts) and self._is_topmost(packet))

    def stop(self) -> None:
        """Leave out nothing from here on: what conceals damage is taken from whatever was decoded before."""
        self._wanted = None

    def _set(self, on: bool) -> None:
        if on != self._on:
            self._decoder.skip_frame = "NONREF" if on else "DEFAULT"
            self._on = on

    def _is_wanted(self, pts: int | None) -> bool:
        if pts is None or self._wanted is None:
            return True
        place = int(self._wanted.searchsorted(pts))
        return place < len(self._wanted) and bool(self._wanted[place] == pts)

    def _is_topmost(self, packet: Packet[VideoStream]) -> bool:
        return self._layer is None or temporal_layer(packet, self._nal_bytes) == self._layer
