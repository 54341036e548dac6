"""Whatever a device does, the pictures are the CPU's: shown with a second real decoder in the device's place."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.codec.hwaccel import HWAccel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import acceleration
from pipeline.acceleration import Acceleration
from pipeline.cage_service import Service
from pipeline.cage_wire import no_tick
from pipeline.decoder_choice import Trial, Verdict, choose
from pipeline.media import MediaLimits
from tests import barcodes
from tests.media import Clip, noisy
from tests.second_decoder import SecondDecoder

FAST = {"preset": "ultrafast", "bf": "2", "g": "50"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "50"}
FRAMES = 200
EVERY_FIFTH = np.arange(0, FRAMES, 5)


def for_less(device: str, software: Trial, hardware: Trial | None) -> Verdict:
    """Judge as ever, but for a device that takes no time: the second decoder's is no GPU's."""
    return choose(device, software, hardware and replace(hardware, cpu_seconds=0.0, wall_seconds=0.0))


@dataclass
class Answer:
    """What a request came to."""

    checksums: dict[int, int] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)
    end: Mapping[str, Any] = field(default_factory=dict)

    @property
    def why(self) -> tuple[str, str]:
        return self.end["decoder"]["on"], self.end["decoder"]["why"]


def answered(service: Service, path: Path, wanted: np.ndarray, width: int | None = None) -> Answer:
    answer = Answer()
    with path.open("rb") as file:
        asked = {"op": "frames", "width": width, "gate": None}
        messages = service.answer(asked, bytearray(np.asarray(wanted, np.int64).tobytes()), file.fileno(), no_tick)
        for head, payload in messages:
            if head["type"] == "frame":
                answer.places.append(head["place"])
                answer.checksums[head["pts"]] = zlib.crc32(np.ascontiguousarray(payload))
            else:
                answer.end = head
    assert answer.end["type"] == "end", answer.end
    return answer


def service(device: SecondDecoder | None = None) -> Service:
    chosen = Acceleration(device, rule=for_less) if device is not None else None
    return Service(asdict(MediaLimits()), chosen)


def count(path: Path) -> int:
    with path.open("rb") as file:
        head, _ = next(service().answer({"op": "index"}, bytearray(), file.fileno(), no_tick))
    return int(head["count"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def film(folder: Path) -> Path:
    return Clip("film.mp4", frames=FRAMES, options=FAST).write(folder)


@pytest.fixture(scope="module")
def webm(folder: Path) -> Path:
    return Clip("film.webm", codec="libvpx-vp9", frames=FRAMES, options=VP9).write(folder)


@pytest.mark.parametrize("width", [None, 80])
def test_a_decoder_that_gives_the_same_pictures_for_less_serves(film: Path, webm: Path, width: int | None) -> None:
    for path in (film, webm):
        device = SecondDecoder()
        given = answered(service(device), path, EVERY_FIFTH, width)
        assert given.why == ("cuda", "quicker")
        assert given.checksums == answered(service(), path, EVERY_FIFTH, width).checksums
        assert given.places == EVERY_FIFTH.tolist()
        assert given.end["warnings"] == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_choice_of_frames_comes_as_from_the_cpu(film: Path, data: st.DataObject) -> None:
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, FRAMES - 1), min_size=1))))
    breaks_at = data.draw(st.none() | st.integers(0, FRAMES))
    one = service(SecondDecoder())
    answered(one, film, EVERY_FIFTH)  # the trial
    one._acceleration._device.breaks_at = breaks_at
    given = answered(one, film, wanted)
    assert given.places == wanted.tolist()
    assert given.checksums == answered(service(), film, wanted).checksums


def test_pictures_that_differ_are_never_served(folder: Path) -> None:
    path = Clip("filtered.mp4", frames=FRAMES, options={"preset": "veryfast"}).write(folder)
    device = SecondDecoder(options={"skip_loop_filter": "all"})
    given = answered(service(device), path, EVERY_FIFTH)
    assert given.why == ("cpu", "different")
    assert given.checksums == answered(service(), path, EVERY_FIFTH).checksums


def test_a_video_whose_first_picture_differs_is_the_cpus_though_its_kind_was_tried(folder: Path) -> None:
    path = Clip("noisy.mp4", frames=FRAMES, options={"preset": "veryfast"}, picture=noisy).write(folder)
    device = SecondDecoder()
    one = service(device)
    assert answered(one, path, EVERY_FIFTH).why == ("cuda", "quicker")
    device.options = {"skip_loop_filter": "all"}
    given = answered(one, path, EVERY_FIFTH)
    assert given.why == ("cpu", "failed")
    assert given.checksums == answered(service(), path, EVERY_FIFTH).checksums


@pytest.mark.parametrize("breaks_at", [0, 1, 60, 130, 199])
def test_a_fault_amid_a_request_loses_no_picture_and_doubles_none(webm: Path, breaks_at: int) -> None:
    device = SecondDecoder()
    one, wanted = service(device), np.arange(FRAMES)
    assert answered(one, webm, wanted).why == ("cuda", "quicker")
    device.breaks_at = breaks_at
    given = answered(one, webm, wanted)
    assert given.why == ("cpu", "failed")
    assert given.places == wanted.tolist()
    assert given.checksums == answered(service(), webm, wanted).checksums


def test_after_a_fault_the_cpu_serves_without_another_trial(webm: Path) -> None:
    device = SecondDecoder()
    one = service(device)
    answered(one, webm, EVERY_FIFTH)
    device.breaks_at = 100
    answered(one, webm, EVERY_FIFTH)
    device.breaks_at, before = None, device.packets
    assert answered(one, webm, EVERY_FIFTH).why == ("cpu", "failed")
    assert device.packets == before


def test_a_picture_that_the_device_keeps_to_itself_comes_from_the_cpu(webm: Path) -> None:
    device = SecondDecoder()
    one, wanted = service(device), np.arange(FRAMES)
    answered(one, webm, wanted)
    device.drops = 77
    given = answered(one, webm, wanted)
    assert given.why == ("cpu", "failed")
    assert given.checksums == answered(service(), webm, wanted).checksums


def test_damage_is_told_as_the_cpu_tells_it_and_does_not_count_against_the_device(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "_FEWEST_PACKETS", 1)
    broken, healthy = barcodes.make_damaged(folder), folder / "healthy.ts"
    device = SecondDecoder()
    one, wanted = service(device), np.arange(count(broken))
    assert answered(one, healthy, np.arange(0, 90, 5)).why == ("cuda", "quicker")
    before = device.packets
    given, expected = answered(one, broken, wanted), answered(service(), broken, wanted)
    assert given.why == ("cpu", "damaged")
    assert given.checksums == expected.checksums
    assert given.end["warnings"] == expected.end["warnings"]
    assert device.packets > before, "it was given the damaged film"
    assert answered(one, healthy, np.arange(0, 90, 5)).why == ("cuda", "quicker")


def test_one_trial_serves_all_videos_of_a_kind(film: Path, folder: Path) -> None:
    device = SecondDecoder()
    one = service(device)
    answered(one, film, np.arange(FRAMES))
    assert device.packets == 2 * FRAMES, "the trial and the request"
    other = Clip("other.mp4", frames=FRAMES, options=FAST).write(folder)
    assert answered(one, other, np.arange(FRAMES)).why == ("cuda", "quicker")
    assert device.packets == 3 * FRAMES
    larger = Clip("larger.mp4", width=320, height=192, frames=FRAMES, options=FAST).write(folder)
    assert answered(one, larger, np.arange(FRAMES)).why == ("cuda", "quicker")
    assert device.packets == 5 * FRAMES


@pytest.mark.parametrize(
    ("clip", "why"),
    [
        (Clip("short.mp4", frames=40, options=FAST), "few"),
        (Clip("one_group.mp4", frames=1100, width=64, height=32, options=FAST | {"g": "2000"}), "few"),
        (Clip("deep.mp4", frames=130, pixel_format="yuv420p10le", options={"preset": "ultrafast"}), "unsuited"),
        (Clip("full.mp4", frames=130, pixel_format="yuvj420p", color_range=2, options=FAST), "unsuited"),
        (Clip("untimed.h264", frames=130, options=FAST), "unsuited"),
        (Clip("other_codec.mp4", codec="mpeg4", frames=130, options={}), "unsuited"),
    ],
    ids=lambda value: value.name if isinstance(value, Clip) else value,
)
def test_what_no_device_is_used_for_is_told(folder: Path, clip: Clip, why: str) -> None:
    path = clip.write(folder)
    wanted = np.array([clip.frames - 1]) if clip.name == "one_group.mp4" else np.arange(clip.frames)
    device = SecondDecoder()
    given = answered(service(device), path, wanted)
    assert (given.why, device.packets) == (("cpu", why), 0)
    assert given.checksums == answered(service(), path, wanted).checksums


def test_a_device_that_libav_cannot_open_leaves_the_work_to_the_cpu(film: Path) -> None:
    device = SecondDecoder(accel=HWAccel("qsv", allow_software_fallback=False))  # knows no H.264 as libav has it here
    given = answered(service(device), film, EVERY_FIFTH)
    assert (given.why, device.packets) == (("cpu", "failed"), 0)
    assert given.checksums == answered(service(), film, EVERY_FIFTH).checksums


@pytest.mark.parametrize(
    ("name", "why"),
    [("pyramid.mp4", "quicker"), ("open_gop.ts", "quicker"), ("interlaced.mp4", "quicker"), ("cropped.mp4", "quicker"),
     ("hevc_layers.mp4", "quicker"), ("edit_list.mp4", "quicker"), ("starts_open.mkv", "quicker"),
     ("mpeg2.ts", "quicker"), ("joined.ts", "unsuited"), ("grows.ts", "unsuited"),
     ("turned_90.mp4", "different")],  # the second decoder is not told of the rotation
)  # fmt: skip
def test_films_of_every_kind_come_as_from_the_cpu(
    name: str, why: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "_FEWEST_PACKETS", 1)
    path = barcodes.make(name, folder)
    one = service(SecondDecoder())
    for stride in (1, 3, 17):
        wanted = np.arange(0, count(path), stride)
        given, expected = answered(one, path, wanted), answered(service(), path, wanted)
        assert given.why[1] == why
        assert (given.places, given.checksums) == (expected.places, expected.checksums)
        assert given.end["warnings"] == expected.end["warnings"]
