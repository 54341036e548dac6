"""Gaps of a partial result in seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from storage.job import Job
from web.gaps import missing_ranges

MEDIA = {"duration_seconds": 60.0, "extra": {"time_base": "1/12800", "start_seconds": 0.5}}


def seconds(media: Any, *gaps: tuple[int | None, int | None]) -> list[tuple[float | None, float | None]]:
    stored = [
        {"segment": place, "start_pts": start, "end_pts": end, "code": "media.undecodable"}
        for place, (start, end) in enumerate(gaps)
    ]
    job = cast(Job, SimpleNamespace(media=media, missing_ranges=stored[::-1]))
    found = missing_ranges(job)
    assert [(gap.segment, gap.code) for gap in found] == [(place, "media.undecodable") for place in range(len(gaps))]
    return [(gap.start_seconds, gap.end_seconds) for gap in found]


def test_gaps_come_in_order_of_time_and_in_seconds_of_the_container() -> None:
    assert seconds(MEDIA, (None, 128000), (256000, None)) == [(0.5, 10.0), (20.0, 60.5)]


@pytest.mark.parametrize("media", [None, {}, {"kind": "video", "extra": {}}])
def test_without_a_time_base_the_times_are_not_known(media: Any) -> None:
    assert seconds(media, (None, 10), (10, None)) == [(None, None), (None, None)]


def test_the_end_of_a_video_of_unknown_length_is_open() -> None:
    assert seconds(MEDIA | {"duration_seconds": None}, (12800, None)) == [(1.0, None)]
