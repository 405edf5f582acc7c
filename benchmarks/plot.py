"""A line chart as SVG, which is all that the documents need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 40, 40
COLOURS = ("#1f6feb", "#d4791f", "#2da44e", "#8250df")
STEPS = 400  # points of a line; what is dropped lies between two pixels


def chart(title: str, along: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The SVG of ``lines``, by name, each a list of (x, y) with x rising; both axes start at 0."""
    right = max(x for line in lines.values() for x, _ in line) or 1
    top = max(y for line in lines.values() for _, y in line) or 1
    across, up = (WIDTH - LEFT - RIGHT) / right, (HEIGHT - TOP - BOTTOM) / top
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            ' font-family="sans-serif" font-size="12" fill="#57606a">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="18" font-size="14" fill="#24292f">{escape(title)}</text>',
    ]
    for quarter in range(5):
        y, x = HEIGHT - BOTTOM - up * top * quarter / 4, LEFT + across * right * quarter / 4
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * quarter / 4:.3g}</text>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 22}"'
            f' text-anchor="middle">{right * quarter / 4:.3g}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}"'
        f' text-anchor="middle">{escape(along)}</text>'
    )
    for number, (name, line) in enumerate(lines.items()):
        every = max(1, len(line) // STEPS)
        points = " ".join(
            f"{LEFT + x * across:.1f},{HEIGHT - BOTTOM - y * up:.1f}" for x, y in line[::every]
        )
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        parts.append(
            f'<text x="{LEFT + 170 * number}" y="34" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])
