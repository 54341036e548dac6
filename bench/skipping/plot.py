"""The plot: share of frames looked at against the share of the answer kept, one panel for each clip and answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _PAD, _TOP, _COLUMNS = 230, 186, 34, 36, 4
_LOWEST_SHARE = 0.005
#: colour and mark of each family of policies; readable without colour by the mark
_STYLES: Mapping[str, tuple[str, str]] = {
    "stride": ("#1f77b4", "circle"), "adaptive": ("#d62728", "square"), "every": ("#2ca02c", "up"),
    "keyframes": ("#9467bd", "cross"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One policy on one clip: shares of 0..1. Points of one clip and answer share a panel."""

    clip: str
    answer: str
    family: str
    inferred: float
    kept: float


def svg(points: Sequence[Point]) -> str:
    """Return the plot as a self-contained SVG document."""
    panels = list(dict.fromkeys((point.clip, point.answer) for point in points))
    rows = -(-len(panels) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        left, top = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({left},{top})">')
        parts += _panel(panel, [point for point in points if (point.clip, point.answer) == panel])
        parts.append("</g>")
    for number, (family, (colour, mark)) in enumerate(_STYLES.items()):
        x, y = 20 + 120 * number, rows * _HEIGHT + 15
        parts += [_mark(mark, x, y, colour), f'<text x="{x + 8}" y="{y + 3}">{family}</text>']
    return "\n".join([*parts, "</svg>", ""])


def _panel(titles: Sequence[str], points: Sequence[Point]) -> list[str]:
    lowest = min(0.9, math.floor(10 * min(point.kept for point in points)) / 10)
    right, bottom = _WIDTH - 18, _HEIGHT - 26

    def x(share: float) -> float:
        return _PAD + (right - _PAD) * (1 - math.log(max(share, _LOWEST_SHARE)) / math.log(_LOWEST_SHARE))

    def y(kept: float) -> float:
        return bottom - (bottom - _TOP) * (kept - lowest) / (1 - lowest)

    parts = [
        f'<text x="{_PAD}" y="{12 + 11 * line}"{weight}>{text}</text>'
        for line, (text, weight) in enumerate(zip(titles, (' font-weight="bold"', ""), strict=True))
    ]
    for share in (0.01, 0.05, 0.1, 0.2, 0.5, 1.0):
        parts.append(f'<line x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{_TOP}" y2="{bottom}" stroke="#eee"/>')
        if share not in (0.1, 0.5):  # no room
            parts.append(f'<text x="{x(share):.1f}" y="{bottom + 12}" text-anchor="middle">{share * 100:g} %</text>')
    for kept in (lowest, (1 + lowest) / 2, 0.95, 1.0):
        dash = ' stroke-dasharray="4 3"' if kept == 0.95 else ""
        parts.append(f'<line x1="{_PAD}" x2="{right}" y1="{y(kept):.1f}" y2="{y(kept):.1f}" stroke="#bbb"{dash}/>')
        if kept != 0.95:
            parts.append(f'<text x="{_PAD - 4}" y="{y(kept) + 3:.1f}" text-anchor="end">{kept:.2f}</text>')
    for family, (colour, mark) in _STYLES.items():
        own = sorted((x(point.inferred), y(point.kept)) for point in points if point.family == family)
        if len(own) > 1:
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in own)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts += [_mark(mark, a, b, colour) for a, b in own]
    return parts


def _mark(mark: str, x: float, y: float, colour: str) -> str:
    if mark == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    if mark == "square":
        return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="{colour}"/>'
    if mark == "up":
        return f'<path d="M{x - 4:.1f} {y + 3:.1f}h8l-4 -7z" fill="{colour}"/>'
    return f'<path d="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6" stroke="{colour}" stroke-width="2"/>'
