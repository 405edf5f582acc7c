"""Draws the demo's pictures, so that they are free of anybody's rights: python examples/demo/draw.py

Shapes, signs and a photograph-like gradient, in several formats and sizes, one of them stored sideways with an EXIF
orientation as phones do.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent / "images"
COLOURS = {"red": "#d33", "green": "#2a5", "blue": "#36d", "yellow": "#ec3", "purple": "#83b", "orange": "#e82"}
PAPER = "#f7f4ee"
INK = "#222"


def shapes(size: tuple[int, int], seed: int) -> Image.Image:
    """A few coloured shapes, side by side."""
    rng = random.Random(seed)
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    width, height = size
    count = rng.randint(2, 4)
    for index, colour in enumerate(rng.sample(list(COLOURS.values()), count)):
        side = min(width / count, height) * rng.uniform(0.45, 0.75)
        x = width * (index + 0.5) / count
        y = height * rng.uniform(0.4, 0.6)
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        kind = rng.choice(["circle", "square", "triangle"])
        if kind == "circle":
            draw.ellipse(box, fill=colour)
        elif kind == "square":
            draw.rectangle(box, fill=colour)
        else:
            draw.polygon([(x, box[1]), (box[2], box[3]), (box[0], box[3])], fill=colour)
    return image


def sign(size: tuple[int, int], lines: list[str]) -> Image.Image:
    """Lines of text, each as large as fits."""
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    row = size[1] / len(lines)
    for index, line in enumerate(lines):
        font = ImageFont.load_default(min(row * 0.6, size[0] * 1.6 / len(line)))
        draw.text((size[0] / 2, row * (index + 0.5)), line, font=font, fill=INK, anchor="mm")
    return image


def landscape(size: tuple[int, int]) -> Image.Image:
    """A sky, a sun and hills."""
    width, height = size
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for y in range(height):
        share = y / height
        draw.line(
            [(0, y), (width, y)], fill=(round(90 + 150 * share), round(150 + 70 * share), round(230 - 40 * share))
        )
    draw.ellipse((width * 0.68, height * 0.14, width * 0.68 + height * 0.2, height * 0.34), fill="#ffe680")
    for layer, colour in enumerate(["#7a9", "#586", "#364"]):
        top = height * (0.55 + 0.13 * layer)
        ridge = [
            (x, top + height * 0.06 * math.sin(x / width * (5 + 2 * layer) + layer * 2)) for x in range(0, width + 8, 8)
        ]
        draw.polygon([(0, height), *ridge, (width, height)], fill=colour)
    return image


def main() -> None:
    HERE.mkdir(exist_ok=True)
    sizes = [(640, 480), (480, 640), (900, 300), (320, 320), (300, 800)]
    for index, size in enumerate(sizes):
        shapes(size, index).save(HERE / f"shapes-{index + 1}.{['png', 'jpg', 'webp', 'gif', 'png'][index]}")
    sign((800, 300), ["OPEN", "MON - SAT 9 - 18"]).save(HERE / "sign-open.png")
    sign((600, 800), ["INVOICE 2041", "3 x coffee  9.60", "2 x bread   5.20", "total      14.80"]).save(
        HERE / "invoice.png"
    )
    sign((1000, 200), ["PLATFORM 4  -  NORTH"]).save(HERE / "platform.png")
    landscape((960, 640)).save(HERE / "landscape.jpg", quality=88)
    sideways = landscape((640, 960)).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(HERE / "landscape-phone.jpg", quality=88, exif=exif)
    logo = Image.new("RGBA", (400, 400))
    ImageDraw.Draw(logo).ellipse((40, 40, 360, 360), fill="#36d")
    logo.save(HERE / "logo-transparent.png")
    (HERE / "not-an-image.jpg").write_text("<html><body>404 Not Found</body></html>\n")


if __name__ == "__main__":
    main()
