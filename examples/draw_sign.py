"""Draws the example picture: ``python examples/draw_sign.py examples/sign.png``."""

from __future__ import annotations

import sys

from PIL import Image, ImageDraw, ImageFont

SIZE = (800, 500)
INK, PAPER = (20, 20, 30), (250, 248, 242)


def draw_sign() -> Image.Image:
    """Return a shop's sign: three lines of text, a blue board, a red disc and two green triangles."""
    picture = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((60, 50, 520, 170), fill=(31, 90, 190))
    draw.text((290, 110), "FRESH BREAD", fill=(255, 255, 255), font=ImageFont.load_default(52), anchor="mm")
    draw.text((60, 230), "Open 7:00 - 18:00", fill=INK, font=ImageFont.load_default(38))
    draw.text((60, 300), "Closed on Sundays", fill=INK, font=ImageFont.load_default(38))
    draw.ellipse((620, 60, 740, 180), fill=(214, 39, 40))
    for left in (560, 670):
        draw.polygon([(left + 45, 360), (left, 440), (left + 90, 440)], fill=(44, 140, 60))
    return picture


if __name__ == "__main__":
    draw_sign().save(sys.argv[1])
