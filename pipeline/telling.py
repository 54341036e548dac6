"""What ``python -m pipeline`` prints for people."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.media import MediaInfo
from pipeline.pipelines.base import Row
from pipeline.spec import PipelineSpec

_BARS = "▁▂▃▄▅▆▇█"
#: entries of a list in the summary that get a line each
LISTED = 12
_OWN_COLUMNS = {"index", "pts", "pts_seconds", "sampler", "carried_from"}


class Progress:
    """A line on the terminal's error stream that says how far the run is; silent where there is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, done: int, total: int) -> None:
        """Redraw; a Checkpoint."""
        if sys.stderr.isatty():
            share = done / max(1, total)
            bar = "█" * round(30 * share)
            sys.stderr.write(f"\r{self._name[:30]} {bar:<30} {done}/{total} frames")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._shown = False


def tell_media(path: Path, media: MediaInfo) -> None:
    """Print one line about the input."""
    parts = [f"{media.kind} {media.codec}", f"{media.width}x{media.height}"]
    if media.kind == "sensor":
        parts = [f"sensor {media.format}", f"{media.frames} readings, {media.frame_rate:.4g} a second"]
    if media.rotation:
        parts.append(f"rotated {media.rotation}°")
    if media.frame_rate and media.kind != "sensor":
        parts.append(f"{media.frame_rate:.4g} fps")
    if media.duration_seconds:
        parts.append(f"{media.duration_seconds:.2f} s")
    print(f"{path.name}: {', '.join(parts)}")


def tell_run(name: str, segments: int, frames: int, seconds: float, timings: Mapping[str, float]) -> None:
    """Print one line about what was done and how long it took."""
    stages = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in timings.items())
    rate = frames / seconds if seconds else 0.0
    done = f"{_counted(frames, 'frame')} in {_counted(segments, 'segment')}"
    print(f"{name}: {done}, {seconds:.2f} s, {rate:{'.0f' if rate >= 10 else '.2g'}} frames/s ({stages})\n")


def tell_rows(rows: Iterable[Row], count: int, wanted: int) -> None:
    """Print ``wanted`` of the rows, evenly spread, a line each."""
    if not count or wanted < 1:
        return
    places = {round(n * (count - 1) / max(1, wanted - 1)) for n in range(min(wanted, count))}
    for place, row in enumerate(rows):
        if place in places:
            whose = "" if row.get("carried_from") is None else f"as #{row['carried_from']}: "
            print(f"{row['pts_seconds']:10.3f} s  #{row['index']:<6} {whose}{_findings(row)}")
    left = count - len(places)
    print(f"{'...' if left else '':>10}    {left} more rows: --json, or --out FILE\n" if left else "")


def _findings(row: Row) -> str:
    parts = []
    for name, value in row.items():
        if name in _OWN_COLUMNS or value is False or value in ([], {}):
            continue
        if isinstance(value, list):
            shown = [_finding(one) for one in value[:4]]
            parts.append(f"{name}: {', '.join(shown)}" + (f" and {len(value) - 4} more" if len(value) > 4 else ""))
        elif value is True:
            parts.append(name.removeprefix("is_"))
        elif not isinstance(value, dict):
            parts.append(f"{name} {value}")
    return "; ".join(parts) or "nothing"


def _finding(one: Any) -> str:
    if not isinstance(one, dict):
        return _short(one)
    words = [str(one[name]) for name in ("label", "text") if one.get(name) is not None]
    if isinstance(one.get("score"), int | float):
        words.append(f"{one['score']:.2f}")
    return (" ".join(words) + _at(one)).strip() or _short(one)


def _at(one: Mapping[str, Any]) -> str:
    if "box" not in one:
        return ""
    x, y, width, height = (round(value) for value in one["box"])
    return f" [{x},{y} {width}x{height}]"


def tell_summary(summary: Mapping[str, Any]) -> None:
    """Print the summary, a line per field, curves as bars."""
    print("summary")
    for name, value in summary.items():
        if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
            print(f"  {name}")
            for inner, one in value.items():
                print(f"    {inner:<16} {_short(one)}")
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            print(f"  {name}")
            for one in value[:LISTED]:
                print(f"    {_short(one)}")
            if len(value) > LISTED:
                print(f"    and {len(value) - LISTED} more")
        else:
            print(f"  {name:<18} {_short(value)}")


def _short(value: Any) -> str:
    if isinstance(value, dict) and "points" in value and "bin_seconds" in value:
        points = value["points"]
        return f"{_counted(len(points), 'point')}, one per {value['bin_seconds']} s  {_bars(points)}"
    if isinstance(value, list):
        shown = ", ".join(_inner(one) for one in value[:6])
        if 0 < len(value) <= 6 and all(isinstance(one, int | float) for one in value):
            return f"[{shown}]"
        return f"{len(value)}: {shown}{' ...' if len(value) > 6 else ''}" if value else "none"
    if isinstance(value, dict):
        if set(value) == {"from_seconds", "to_seconds"}:
            return f"{value['from_seconds']:g}-{value['to_seconds']:g} s"
        if set(value) == {"value", "low", "high"}:
            return f"{_short(value['value'])} ({_short(value['low'])} to {_short(value['high'])})"
        return ", ".join(f"{name} {_inner(one)}" for name, one in list(value.items())[:12])
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _inner(value: Any) -> str:
    """Return a part of a line: where it holds parts of its own, they stand in brackets."""
    text = _short(value)
    is_range = isinstance(value, dict) and {"low", "high"} <= set(value)
    return f"({text})" if isinstance(value, dict) and value and not is_range else text


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _bars(points: Sequence[Mapping[str, Any]], width: int = 60) -> str:
    values = [_height(one) for one in points]
    top = max(values, default=0.0)
    if not top:
        return ""
    step = max(1, -(-len(values) // width))
    peaks = [max(values[at : at + step]) for at in range(0, len(values), step)]
    return "".join(_BARS[min(7, int(8 * value / top))] for value in peaks)


def _height(point: Mapping[str, Any]) -> float:
    """Return what a point of a curve stands for: the sum of its counts, or its first number besides the time."""
    if "counts" in point:
        return float(sum(point["counts"].values()))
    numbers = (value for name, value in point.items() if name != "seconds" and isinstance(value, int | float))
    return float(next(numbers, 0.0))


def tell_artifacts(artifacts: Sequence[tuple[Path, str]]) -> None:
    """Print a line for each picture: its file and what it shows."""
    if artifacts:
        print("\nartifacts")
    for path, caption in artifacts:
        print(f"  {path}  {caption}")


def tell_warnings(warnings: Iterable[Mapping[str, Any]]) -> None:
    """Print what was wrong with the input without stopping the run."""
    for warning in warnings:
        print(f"warning {warning.get('code')}: {warning.get('message')}", file=sys.stderr)


def tell_pipeline(spec: PipelineSpec) -> None:
    """Print a pipeline and its parameters."""
    print(f"{spec.name}  ({', '.join(spec.accepts)}; lane {spec.lane})\n  {spec.description}")
    for name, part in spec.params_schema.get("properties", {}).items():
        needed = name in spec.params_schema.get("required", ())
        default = "required" if needed else f"default {json.dumps(part.get('default'))}"
        print(f"    {name:<12} {part.get('description', '')} ({default})")
        for inner, piece in part.get("properties", {}).items():
            print(f"      {inner:<10} {piece.get('description', '')} (default {json.dumps(piece.get('default'))})")
    print()
