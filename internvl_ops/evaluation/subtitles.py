"""Reads subtitle files like VLMEvalKit does for Video-MME."""

from __future__ import annotations

import json

SUFFIX = ".srt"
NONE = "[]"  # the output of `as_text` without subtitles


def as_text(file: bytes) -> str:
    """The subtitles of an SRT file as JSON text: start and end in milliseconds, and the text on one
    line.

    Raises:
        ValueError: This is not an SRT file.
    """
    import pysubs2  # imported only where subtitles are used

    try:
        found = pysubs2.SSAFile.from_string(file.decode("utf-8-sig"), format_="srt")
    except (UnicodeDecodeError, pysubs2.Pysubs2Error) as error:
        raise ValueError(f"no SRT file in UTF-8: {error}") from None
    return json.dumps(
        [[one.start, one.end, one.text.replace("\\N", " ")] for one in found], ensure_ascii=False
    )
