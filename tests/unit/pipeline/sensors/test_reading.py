"""Sensor text in every form that is taken, and every fault of it with its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import MediaError
from pipeline.sensors.faults import SensorError
from pipeline.sensors.read import is_recording, media_of, read_recording
from pipeline.sensors.recording import STANDARD_GRAVITY, Recording, SensorLimits

Read = Callable[..., Recording]
ROWS = [(n / 50, 0.1 * n % 1, 0.2, 9.8 + 0.01 * (n % 3)) for n in range(100)]
#: a walk without gravity: 2 m/s^2 in the middle, which might be 2 g
SHAKEN = [(n / 50, 3.0 * np.sin(n / 4), 0.1, 3.0 * np.cos(n / 4)) for n in range(500)]


def text(rows: list[tuple[float, ...]] = ROWS, header: str = "t,ax,ay,az", separator: str = ",") -> str:
    lines = [separator.join(f"{value:.9g}" for value in row) for row in rows]
    return "\n".join([header.replace(",", separator), *lines] if header else lines) + "\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes, limits: SensorLimits | None = None, **wishes: Any) -> Recording:
        path = tmp_path / "readings"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_recording(path, wishes, limits)

    return read


def refused(read: Read, content: str | bytes, **wishes: Any) -> SensorError:
    with pytest.raises(SensorError) as caught:
        read(content, **wishes)
    return caught.value


def test_all_forms_of_the_same_readings_give_the_same_recording(read: Read) -> None:
    plain = read(text())
    as_dicts = [dict(zip(("t", "ax", "ay", "az"), row, strict=True)) for row in ROWS]
    columns = {name: [row[n] for row in ROWS] for n, name in enumerate(("t", "ax", "ay", "az"))}
    forms = [
        text(header=""), text(separator=";"), text(separator="\t"), text().replace("\n", "\r\n"), "\ufeff" + text(),
        text() + "\n\n", text(header="time (s),Accelerometer X (m/s^2),accel_y (m/s^2),Acc-Z (m/s²)"),
        text([(t * 1000, *a) for t, *a in ROWS], "time_ms,ax,ay,az"),
        text([(x, y, z, 7.0, t) for t, x, y, z in ROWS], "x,y,z,battery,elapsed"),
        json.dumps({"readings": as_dicts}), json.dumps({"columns": columns}, indent=1),
        json.dumps({"units": {"time": "ms"}, "readings": [{**one, "t": one["t"] * 1000} for one in as_dicts]}),
    ]  # fmt: skip
    for form in forms:
        recording = read(form)
        np.testing.assert_allclose(recording.seconds, plain.seconds, atol=1e-9)
        np.testing.assert_allclose(recording.acceleration, plain.acceleration, atol=1e-6)
        assert recording.rotation is None


def test_gyroscope_columns_are_read_where_all_three_are_there(read: Read) -> None:
    rows = [(*row, 10.0, -20.0, 30.0) for row in ROWS]
    recording = read(text(rows, "t,ax,ay,az,gx,gy,gz"))
    assert recording.rotation is not None
    assert recording.rotation[5].tolist() == [10.0, -20.0, 30.0]
    radians = read(text(rows, "t,ax,ay,az,gx (rad/s),gy (rad/s),gz (rad/s)"), limits=SensorLimits(max_rotation=1e4))
    assert radians.rotation is not None
    np.testing.assert_allclose(radians.rotation[5], np.degrees([10.0, -20.0, 30.0]))
    assert refused(read, text(rows, "t,ax,ay,az,gx,gy,note")).code == "sensor.columns"


def test_layout_of_the_oxford_data_set_is_known_by_its_counters(read: Read) -> None:
    rows = [f"{2461035888559 + 10_000_000 * n},0.5,9.7,0.25,{n // 60},{n // 59},0" for n in range(300)]
    recording = read("\n".join(rows))
    assert recording.facts["layout"] == "oxford"
    assert recording.rate == pytest.approx(100)
    assert recording.start_seconds == pytest.approx(2461.035888559)
    assert recording.acceleration[0].tolist() == [0.5, 9.7, 0.25]


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")])
def test_unit_of_time_is_told_by_the_distance_of_readings_and_a_guess_is_told(
    read: Read, factor: float, unit: str
) -> None:
    recording = read(text([(round(t * factor, 6), *a) for t, *a in ROWS], "t,ax,ay,az"))
    assert recording.duration_seconds == pytest.approx(1.98)
    assert recording.facts["units"]["time"] == unit
    assert [warning["code"] for warning in recording.warnings] == ([] if unit == "s" else ["sensor.units_judged"])


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "m/s^2"), (1 / STANDARD_GRAVITY, "g"), (1e3 / 9.80665, "mg")])
def test_unit_of_acceleration_is_told_by_gravity(read: Read, factor: float, unit: str) -> None:
    rows = [(t, x * factor, y * factor, z * factor) for t, x, y, z in ROWS]
    recording = read(text(rows))
    assert recording.facts["units"]["acceleration"] == unit
    np.testing.assert_allclose(recording.acceleration, read(text()).acceleration, atol=1e-6)
    if unit != "m/s^2":
        assert refused(read, text(rows), acceleration_unit="m/s^2").code == "sensor.out_of_range"


def test_what_the_job_says_goes_before_the_header(read: Read) -> None:
    rows = [(z, y, x, 5.0, t * 1000) for t, x, y, z in ROWS]
    names = ["az", "ay", "ax", "-", "t"]
    recording = read(text(rows, "a,b,c,d,e"), columns=names, time_unit="ms", acceleration_unit="m/s^2")
    np.testing.assert_allclose(recording.acceleration, read(text()).acceleration)
    assert recording.facts["units_told_by"] == {"time": "params", "acceleration": "params"}
    assert refused(read, text(rows, "a,b,c,d,e"), columns=["t", "ax", "ay", "az"]).code == "sensor.columns"


FAULTS = {
    "word": (text().replace("0.04,", "0.04x,"), "sensor.malformed", "line 4: t is '0.04x', not a number"),
    "empty cell": ("t,ax,ay,az\n0,1,2,\n", "sensor.malformed", "line 2: az is '', not a number"),
    "nan": ("t,ax,ay,az\n0,0,0,9.8\n0.02,nan,0,9.8\n", "sensor.malformed", "line 3: ax is nan, not a finite number"),
    "infinity": ("0,0,0,9.8\n0.02,0,0,-inf\n", "sensor.malformed", "line 2: az is -inf"),
    "too large for a float": ("0,0,0,9.8\n0.02,0,1e999,9.8\n", "sensor.malformed", "line 2: ay is inf"),
    "underscore": ("0,0,0,9.8\n0.02,0,1_0,9.8\n", "sensor.malformed", "line 2: ay is '1_0'"),
    "short row": ("t,ax,ay,az\n0,1,2\n", "sensor.malformed", "line 2: has 3 cells, not 4"),
    "long row": ("t,ax,ay,az\n0,1,2,3\n0.1,1,2,3,4\n", "sensor.malformed", "line 3: has 5 cells, not 4"),
    "empty line": ("t,ax,ay,az\n0,0,0,9.8\n\n0.02,0,0,9.8\n", "sensor.malformed", "line 3: is empty"),
    "decimal comma": ("t;ax;ay;az\n0;0,5;0;9,8\n", "sensor.malformed", "line 2: ax is '0,5'"),
    "quoted": ('t,ax,ay,az\n"0","0","0","9"\n', "sensor.malformed", "line 2: t is '\"0\"'"),
    "header only": ("t,ax,ay,az\n", "sensor.empty", "no reading"),
    "blank": ("\n \n", "sensor.empty", "no readings"),
    "no columns known": ("a,b,c\n1,2,3\n", "sensor.columns", "line 1: no column for t, ax, ay, az"),
    "five columns": ("1,2,3,4,5\n", "sensor.columns", "line 1: 5 columns without a header"),
    "unknown unit": (text(header="t (fortnights),ax,ay,az"), "sensor.units", "'t (fortnights)'"),
    "two units": (text(header="t,ax (g),ay (m/s^2),az (g)"), "sensor.units", "two units"),
    "backwards": (text([*ROWS[:9], ROWS[4], *ROWS[9:]]), "sensor.unsorted", "line 11: goes back in time"),
    "same time": (text([*ROWS[:9], (ROWS[8][0], 1, 2, 9)]), "sensor.unsorted", "line 11: repeats the time"),
    "impossible": (text([*ROWS[:3], (ROWS[3][0], 900, 0, 0)]), "sensor.out_of_range", "line 5: acceleration x is 900"),
    "impossible turn": (
        text([(*row, 0, 0, 5000.0) for row in ROWS], "t,ax,ay,az,gx,gy,gz"), "sensor.out_of_range", "line 2: rotation z"
    ),
    "no gravity": (text([(t, x / 9, y, 0.1) for t, x, y, _ in ROWS]), "sensor.units", "parameter acceleration_unit"),
    "linear acceleration": (text(SHAKEN), "sensor.units", "Acceleration must hold gravity"),
    "linear acceleration in a told unit": (
        text(SHAKEN, "t,ax (g),ay (g),az (g)"), "sensor.out_of_range", "not linear acceleration"
    ),
    "no time": (text([(1e300 * n, *row[1:]) for n, row in enumerate(ROWS)]), "sensor.out_of_range", "line 3: t is"),
    "one reading": (text(ROWS[:1]), "sensor.too_short", "one reading"),
    "one reading again and again": (text(ROWS[:1] * 9), "sensor.too_short", "one reading"),
    "no unit of time": (text([(t * 20, *a) for t, *a in ROWS]), "sensor.units", "the next is 0.4, which fits"),
    "too short": (text(ROWS[:5]), "sensor.too_short", "0.08 s"),
    "too slow": (text([(t * 50, *a) for t, *a in ROWS], "t (s),ax,ay,az"), "sensor.rate", "1 readings a second"),
    "too long": (text([*ROWS, (1e6, 0, 0, 9.8)]), "sensor.too_long", "1,000,000 s"),
    "not JSON": ('{"readings":\n [}', "sensor.malformed", "line 2: is not JSON"),
    "JSON NaN": ('{"readings": [{"t": NaN}]}', "sensor.malformed", "NaN"),
    "JSON list": ("[1, 2]", "sensor.malformed", "not an object"),
    "JSON without readings": ("{}", "sensor.malformed", "neither readings nor columns"),
    "JSON text": (
        '{"readings": [{"t": 0, "ax": "1", "ay": 0, "az": 9}]}', "sensor.malformed", "reading 1: ax is '\"1\"'"
    ),
    "JSON bool": (
        '{"readings": [{"t": 0, "ax": 1, "ay": 0, "az": 9}, {"t": true, "ax": 1, "ay": 0, "az": 9}]}',
        "sensor.malformed", "reading 2: t is 'true'",
    ),
    "JSON missing": (
        '{"readings": [{"t": 0, "ax": 1, "ay": 0, "az": 9}, {"t": 1}]}', "sensor.malformed", "reading 2: ax is missing"
    ),
    "JSON uneven": ('{"columns": {"t": [0], "ax": [1, 2], "ay": [0], "az": [9]}}', "sensor.malformed", "one length"),
    "JSON no list": ('{"columns": {"t": 0, "ax": 1, "ay": 0, "az": 9}}', "sensor.malformed", "not lists"),
    "JSON huge": ('{"columns": {"t": [1' + "0" * 400 + '], "ax": [1], "ay": [0], "az": [9]}}', "sensor.malformed", "t"),
    "JSON units": ('{"units": {"mass": "kg"}, "readings": [{"t": 0}]}', "sensor.units", "units has members"),
    "JSON unit": ('{"units": {"time": ["s"]}, "readings": [{"t": 0}]}', "sensor.units", "all text"),
    "JSON column": ('{"readings": [{"t": 0, "ax": 1, "ay": 2}]}', "sensor.columns", "the document: no column for az"),
    "JSON deep": ('{"readings": ' + "[" * 100_000, "sensor.malformed", "not taken"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_refused_with_its_code_and_place(read: Read, name: str) -> None:
    content, code, words = FAULTS[name]
    error = refused(read, content)
    assert error.code == code
    assert words in f"{error.message} {error.advice}"


def test_sizes_are_bounded_in_bytes_rows_and_lines(read: Read) -> None:
    assert refused(read, text(), limits=SensorLimits(max_bytes=100)).code == "sensor.too_large"
    assert refused(read, text(), limits=SensorLimits(max_rows=99)).code == "sensor.too_large"
    assert len(read(text(), limits=SensorLimits(max_rows=100))) == 100
    document = json.dumps({"columns": {}})
    assert refused(read, document, limits=SensorLimits(max_json_bytes=10)).code == "sensor.too_large"
    endless = refused(read, "t,ax,ay,az\n" + "1" * 2_000_000)
    assert endless.message == "line 2: has more than 4,096 bytes"


def test_a_reading_that_repeats_the_one_before_is_left_out_and_told(read: Read) -> None:
    recording = read(text([*ROWS[:9], ROWS[8], *ROWS[9:]]))
    assert len(recording) == len(ROWS)
    assert recording.warnings[0]["code"] == "sensor.repeated"
    assert "line 11" in recording.warnings[0]["message"]


def test_the_line_of_a_fault_is_right_behind_repeated_readings_and_across_blocks(read: Read) -> None:
    rows = [(n / 50, 0.0, 0.0, 9.8) for n in range(30_000)]
    rows.insert(7, rows[6])
    rows[29_000] = (rows[29_000][0], 0.0, 0.0, 999.0)
    assert "line 29002" in refused(read, text(rows)).message
    broken = text(rows).splitlines()
    broken[28_000] = broken[28_000].replace("9.8", "nine")
    assert "line 28001: az is 'nine'" in refused(read, "\n".join(broken)).message


def test_gaps_are_told(read: Read) -> None:
    recording = read(text([row if n < 50 else (row[0] + 3, *row[1:]) for n, row in enumerate(ROWS)]))
    assert [warning["code"] for warning in recording.warnings] == ["sensor.gaps"]
    assert "1 gaps of more than 0.5 s, 3.0 s in all" in recording.warnings[0]["message"]


def test_what_a_plan_stores_of_a_recording_is_plain_json(read: Read) -> None:
    media = media_of(read(text()))
    assert (media.kind, media.format, media.frames, media.duration_seconds) == ("sensor", "CSV", 100, 1.98)
    assert media.frame_rate == 50
    assert json.loads(json.dumps(media.as_json()))["extra"]["units"]["acceleration"] == "m/s^2"


HEADS: Mapping[str, tuple[bytes, bool]] = {
    "text": (b"t,ax,ay,az\n", True), "json": (b'{"readings": []}', True), "png": (b"\x89PNG\r\n\x1a\n", False),
    "nul": (b"1,2\0,3", False), "latin": (b"t,\xb5s\n", False), "mp4": (b"\0\0\0\x18ftypisom", False),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_only_text_is_taken_for_readings_and_only_where_they_are_accepted(tmp_path: Path, name: str) -> None:
    head, is_text = HEADS[name]
    path = tmp_path / "input"
    path.write_bytes(head)
    assert is_recording(path, ("image", "video")) is False
    assert is_recording(path, ("image", "sensor")) is is_text
    if is_text:
        assert is_recording(path, ("sensor",)) is True
        return
    with pytest.raises(MediaError) as caught:
        is_recording(path, ("sensor",))
    assert caught.value.code == "media.unsupported"


def test_an_empty_file_is_told_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "input").touch()
    with pytest.raises(MediaError) as caught:
        is_recording(tmp_path / "input", ("sensor",))
    assert caught.value.code == "media.empty"
