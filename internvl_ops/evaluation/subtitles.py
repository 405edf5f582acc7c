"""Subtitle files, read as VLMEvalKit reads them for Video-MME."""

from __future__ import annotations

import json

SUFFIX = ".srt"
NONE = "[]"  # no subtitles, as `as_text` writes it


def as_text(file: bytes) -> str:
    """The subtitles of an SRT file as JSON text: start and end in milliseconds, and what is shown, on one line.

    Raises:
        ValueError: It is not such a file.
    """
    import pysubs2  # only where subtitles are asked for

    try:
        found = pysubs2.SSAFile.from_string(file.decode("utf-8-sig"), format_="srt")
    except (UnicodeDecodeError, pysubs2.Pysubs2Error) as error:
        raise ValueError(f"no SRT file in UTF-8: {error}") from None
    return json.dumps([[one.start, one.end, one.text.replace("\\N", " ")] for one in found], ensure_ascii=False)
