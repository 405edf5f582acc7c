"""What a run says of the units that it went over again."""

from __future__ import annotations

from collections.abc import Mapping


def again_lines(again: Mapping[str, int], failed: str) -> list[str]:
    """Lines of the closing summary.

    Args:
        again: As in ``run.json``; empty for a run that did all of its input.
        failed: Where the errors of units are that keep the result that they had.
    """
    if not again:
        return []
    lines = [f"  only      {again['chosen']:,} units chosen"]
    if "results" in again:
        lines[0] += f": {again['results']:,} results replaced, {again['errors']:,} got their first"
    if again.get("kept"):
        lines.append(
            f"            {again['kept']:,} failed and keep the result that they had: {failed}"
        )
    if again["not_in_input"]:
        lines.append(f"            {again['not_in_input']:,} are not in --input, or did not run")
    return lines
