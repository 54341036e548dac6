"""Spoiled media, and files that name others, reach nothing but the cage; ``make bench-mutations`` tries 10,000."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from bench.hostile.crew import trials
from bench.hostile.lures import Watch, lures
from bench.hostile.mutating import mutated
from bench.mutations import growth, judged, measure, sources, table
from tests.media import Clip

#: one of each container and of the common codecs; the long run takes the whole corpus
CLIPS = ("gop12.mp4", "hevc.mkv", "vp9.webm", "transport.ts", "mpeg4_b.avi", "raw.h264", "windows.wmv", "flash.flv")


def test_some_hundred_spoiled_files_hurt_nobody(tmp_path: Path, shared: Path) -> None:
    data = shared / "data"
    report = measure(tmp_path, sources(tmp_path, CLIPS, data), seed=7, count=400, data=data)
    assert report["ok"], table(report)
    assert sum(report["outcomes"].values()) == 400
    assert {"shown", "shown with damage", "media.undecodable"} <= report["outcomes"].keys()
    assert sum(report["malformed"].values()) == 60
    assert report["reads_outside"] == 0
    assert report["cage_ended"] == {}
    assert report["in_force"]["files"] is True


def test_a_mutation_is_known_by_its_seed_and_number() -> None:
    material = [b"RIFF" + bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n" + bytes(3000), bytes(100)]
    first = [mutated(1, number, material) for number in range(200)]
    assert first == [mutated(1, number, material) for number in range(200)]
    assert first != [mutated(2, number, material) for number in range(200)]
    assert {source for source, _, _ in first} == {0, 1, 2}
    changed = sum(data != material[source] for source, _, data in first)
    assert changed > 150
    assert len({way for _, done, _ in first for way in done}) >= 11


def test_a_process_that_dies_is_counted_and_the_next_number_is_tried(tmp_path: Path) -> None:
    (tmp_path / "folder that cannot be read as a source").mkdir()
    events = trials(tmp_path, seed=1, count=3, processes=2)
    assert sorted(event["number"] for event in events) == [0, 1, 2]
    report = judged(events)
    assert sum(report["outcomes"].values()) == 3
    assert len(report["died"] + report["silent"]) == 3


def test_growth_is_that_after_the_start() -> None:
    assert growth([40.0, 60.0, 80.0, 80.0, 80.5, 80.0, 80.0, 80.5]) == pytest.approx(0.25)
    assert growth([80.0 + number for number in range(100)]) == pytest.approx(50)


@pytest.mark.parametrize("name", ["reference_alias_file.mov", "ffconcat_file.mp4", "playlist_url.mp4"])
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is not installed")
def test_the_watch_notices_who_follows_a_lure(tmp_path: Path, name: str) -> None:
    film = Clip("film.mp4", frames=20).write(tmp_path).read_bytes()
    with Watch(tmp_path, Clip("film.ts", frames=20).write(tmp_path).read_bytes()) as watch:
        assert watch.touches() == 0
        path = tmp_path / name
        path.write_bytes(lures(film, watch.target, watch.address)[name])
        careless = {"ffconcat": ["-safe", "0", "-f", "concat"], "playlist": ["-allowed_extensions", "ALL", "-f", "hls"],
                    "reference": ["-enable_drefs", "1", "-use_absolute_path", "1"]}[name.partition("_")[0]]  # fmt: skip
        command = ["ffmpeg", "-v", "error", *careless, "-i", str(path), "-f", "null", "-"]
        subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert watch.touches() > 0
        assert watch.touches() == 0


def test_the_watch_notices_a_connection(tmp_path: Path) -> None:
    with Watch(tmp_path, b"") as watch:
        with pytest.raises(OSError):
            urllib.request.urlopen(watch.address, timeout=0.2)
        assert watch.touches() == 1
