"""Options of media that cannot be meant are refused before anything starts."""

from __future__ import annotations

import pytest

from internvl_ops.errors import ConfigurationError
from pipelines.options.command_line import build_options
from pipelines.options.job_options import JobOptions
from pipelines.options.safe_options import safe_options
from pipelines.wiring.media import check_media_options, decode_options, explodes

REQUIRED = {"input": "in.jsonl", "output": "out", "model": "m"}


def options(**values) -> JobOptions:
    return build_options(JobOptions, REQUIRED | values)


@pytest.mark.parametrize("pages", ["1;3", "3-1", "abc", "0", "1,,2", "-3", "1.5", "2-0"])
def test_pages_that_cannot_be_read(pages):
    with pytest.raises(ConfigurationError, match=r"--pages .*1-3,7"):
        options(pages=pages)


@pytest.mark.parametrize("pages", ["1-3,7", "10-", "", 7])
def test_pages_that_can(pages):
    assert options(pages=pages).pages == str(pages)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"start": 9, "end": 3}, "--end 3.* after --start 9"),
        ({"start": 3, "end": 3}, "--end"),
        ({"clip_seconds": 5, "clip_scenes": True}, "--clip-scenes .*--clip-seconds"),
    ],
)
def test_options_that_contradict_each_other(values, told):
    with pytest.raises(ConfigurationError, match=told):
        options(**values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"pages": "1-3"}, "image"),
        ({"dpi": 150}, "video"),
        ({"fps": 2}, "image"),
        ({"end": 2}, "document"),
        ({"clip_scenes": True}, "image"),
        ({"clip_seconds": 5, "start": 1}, "video"),
    ],
)
def test_options_of_another_medium(values, kind):
    with pytest.raises(ConfigurationError, match="--" + next(iter(values)).replace("_", "-")):
        check_media_options(options(**values), kind)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"pages": "1-3", "dpi": 150}, "document"),
        ({"start": 1, "end": 2}, "video"),
        ({}, "image"),
        ({"fps": 2}, "video"),
    ],
)
def test_options_of_the_medium(values, kind):
    check_media_options(options(**values), kind)


def test_limits_reach_the_readers():
    read = decode_options(options(max_pages=7, max_video_seconds=30, clip_scenes=True), "video")
    assert (read.document.max_pages, read.video.max_seconds, read.clips.max_seconds) == (7, 30, 30)


class TestPassword:
    def test_it_reaches_the_reader_and_nothing_that_is_shown(self):
        chosen = options(pdf_password="s3cret-word")
        read = decode_options(chosen, "document")
        assert read.document.password == "s3cret-word"
        assert (
            "s3cret-word"
            not in f"{chosen} {chosen!r} {safe_options(chosen)} {read!r} {chosen.model_dump_json()}"
        )

    def test_the_environment_has_it_too(self, monkeypatch):
        monkeypatch.setenv("INTERNVL_PDF_PASSWORD", "from-there")
        assert decode_options(options(), "document").document.password == "from-there"
        assert decode_options(options(pdf_password=1234), "document").document.password == "1234"


@pytest.mark.parametrize("kind", ["image", "video", "document"])
@pytest.mark.parametrize("chosen", [{}, {"clip_scenes": True}, {"clip_seconds": 2.0}])
def test_a_plan_and_the_readers_agree_on_what_becomes_several_units(kind, chosen):
    assert explodes(options(**chosen), kind) == decode_options(options(**chosen), kind).explodes
