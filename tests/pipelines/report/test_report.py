"""The record of a run: what it says, how it ends the job, and what must not get into it."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from internvl_ops.media.sandbox_confinement import Confinement
from pipelines import columns as c
from pipelines.ledger.ledger import Counts
from pipelines.options.job_options import JobOptions
from pipelines.output.folder import OutputFolder
from pipelines.output.shards import Closing
from pipelines.output.writer import Totals
from pipelines.report.record import SHOWN_UNITS, RunRecord
from tests.pipelines.finished_rows import CAPTION, row, table
from tests.pipelines.report.test_measures import prepare_bound

PREVIEW = pa.schema([(c.PREVIEW, pa.binary())])
ATTACK = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover='x' {{ 8191*7919 }} {%"
    " endif %} </p></html>"
)


def record(tmp_path: Path, **options: object) -> RunRecord:
    given = {"input": "in.jsonl", "output": str(tmp_path / "out"), "model": "org/model", **options}
    return RunRecord(JobOptions.model_validate(given), CAPTION, OutputFolder(str(tmp_path / "out")))


def counts(
    results: int = 0, errors: int = 0, done: int = 0, failed: int = 0, lost: int = 0
) -> Counts:
    return Counts(results + errors + done + failed + lost, results, errors, done, failed)


def failures(*errors: tuple[str, str]) -> Totals:
    """What a run counts that had these errors: kind and message."""
    totals = Totals()
    for kind, message in errors:
        totals.add_error(kind, message)
    return totals


def finish(
    made: RunRecord,
    *,
    ended: str = "done",
    totals: Totals | None = None,
    counted: Counts | None = None,
) -> None:
    made.ended = ended
    made.finish(totals or Totals(results=3), counted or counts(results=3), [])


def written(tmp_path: Path) -> tuple[dict, str]:
    """run.json and report.html."""
    (folder,) = (tmp_path / "out" / "_runs").iterdir()
    return json.loads((folder / "run.json").read_text()), (folder / "report.html").read_text()


def test_decoders_that_are_confined_differently_are_counted(tmp_path: Path) -> None:
    made = record(tmp_path)
    whole, old = Confinement(4, True, True), Confinement(0, True, True)
    made.decoders = [json.dumps(one.as_dict()) for one in (whole, old, whole)]
    finish(made)
    assert written(tmp_path)[0]["decoder_confinement"] == [
        {"landlock": 4, "seccomp": True, "capabilities": True, "missing": [], "decoders": 2},
        {
            "landlock": 0,
            "seccomp": True,
            "capabilities": True,
            "missing": ["Landlock"],
            "decoders": 1,
        },
    ]


class Page(HTMLParser):
    """What a browser would make of the page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


class TestTheReportIsText:
    def test_markup_from_anywhere_is_inert(self, tmp_path: Path) -> None:
        made = record(tmp_path, prompt=ATTACK, input=ATTACK, engine_args={ATTACK: ATTACK})
        unit = row(ATTACK) | {"response": ATTACK, "notes": [ATTACK], c.PREVIEW: b"\xff\xd8jpeg"}
        made.take_previews(table([unit], PREVIEW))
        finish(
            made,
            ended=ATTACK,
            totals=failures(("corrupt", ATTACK)),
        )
        _, html = written(tmp_path)
        page = Page(html)
        assert {tag for tag, _ in page.elements}.isdisjoint(
            {"script", "iframe", "object", "a", "form"}
        )
        images = [attributes for tag, attributes in page.elements if tag == "img"]
        assert images == [{"src": "data:image/jpeg;base64,/9hqcGVn", "alt": ""}]
        assert not any(
            name.startswith("on") for _, attributes in page.elements for name in attributes
        )
        # prompt, answer, id, note, message, input: all there, as text
        assert page.text.count(ATTACK) >= 6
        assert str(8191 * 7919) not in page.text  # nor is it a template

    def test_it_needs_nothing_from_elsewhere(self, tmp_path: Path) -> None:
        finish(record(tmp_path))
        _, html = written(tmp_path)
        assert "http://" not in html
        assert "https://" not in html

    def test_a_sample_of_the_whole_run_is_shown(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        names = [f"unit-{number:04d}" for number in range(1000)]
        for name in names:
            left = made.take_previews(table([row(name) | {c.PREVIEW: b"jpeg"}], PREVIEW))
            assert c.PREVIEW not in left.column_names
            assert len(left) == 1
        finish(made)
        text = Page(written(tmp_path)[1]).text
        shown = [number for number, name in enumerate(names) if name in text]
        assert len(shown) == SHOWN_UNITS
        assert shown[0] < 200
        assert shown[-1] > 800  # of its end as well as of its start

    def test_units_without_a_picture_or_an_answer_are_not_shown(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        rows = [
            row("unit-0"),
            row("unit-1", kind="bad_answer") | {c.PREVIEW: b"jpeg"},
            row("unit-2"),
        ]
        rows[2][c.PREVIEW] = b"jpeg"
        assert len(made.take_previews(table(rows, PREVIEW))) == 3
        finish(made)
        text = Page(written(tmp_path)[1]).text
        assert [name for name in ("unit-0", "unit-1", "unit-2") if name in text] == ["unit-2"]

    def test_a_column_that_is_only_carried_does_not_matter(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        unit = table([row("unit-0") | {c.PREVIEW: b"jpeg"}], PREVIEW)
        # a year that Python's dates do not reach
        far = pa.array([2**40], pa.int64()).cast(pa.timestamp("s"))
        made.take_previews(unit.append_column("taken", far))
        finish(made)
        assert "unit-0" in Page(written(tmp_path)[1]).text

    def test_a_card_has_the_question_the_labels_and_the_times(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        box = {"label": "the cat", "x1": 64.0, "y1": 48.0, "x2": 320.0, "y2": 240.0}
        more = {
            "question": "Where is it?",
            "boxes": [box],
            "clip_start": 4.0,
            "clip_end": 9.5,
            c.PREVIEW: b"jpeg",
        }
        unit = row("u") | more | {"response": "<ref>the cat</ref><box>[[100, 100, 500, 500]]</box>"}
        box_type = pa.struct(
            [("label", pa.string()), *((name, pa.float64()) for name in ("x1", "y1", "x2", "y2"))]
        )
        own = [("question", pa.string()), ("boxes", pa.list_(box_type))]
        schema = pa.schema(
            [*PREVIEW, *own, ("clip_start", pa.float64()), ("clip_end", pa.float64())]
        )
        made.take_previews(table([unit], schema))
        finish(made)
        page = Page(written(tmp_path)[1])
        for said in ("Where is it?", "the cat", "4.0 to 9.5 s", "stop"):
            assert said in page.text
        assert "<ref>" not in page.text
        assert "<box>" not in page.text
        (frame,) = [attributes["style"] for tag, attributes in page.elements if tag == "i"]
        assert frame == "left: 10.0%; top: 10.0%; width: 40.0%; height: 40.0%"

    def test_the_configuration_lists_what_differs_from_the_defaults(self, tmp_path: Path) -> None:
        made = record(tmp_path, seed=7)
        finish(made)
        text = Page(written(tmp_path)[1]).text
        assert "seed" in text
        assert "repetition_penalty" not in text


class TestTheReportIsASideline:
    def test_one_that_cannot_be_made_leaves_the_run_as_it_is(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = record(tmp_path)
        monkeypatch.setattr("pipelines.report.record.changed", None)
        finish(made)
        assert made.exit_status == 0
        assert [file.name for file in (tmp_path / "out" / "_runs").glob("*/*")] == ["run.json"]
        assert "the report could not be made" in caplog.text

    def test_events_stand_in_both_files(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        made.events.add("engine_died", "The engine died: out of memory <b>", count=3)
        finish(made)
        run, html = written(tmp_path)
        assert [(one["event"], one["count"]) for one in run["events"]] == [("engine_died", 3)]
        text = Page(html).text
        assert "engine_died" in text
        assert "out of memory <b>" in text

    def test_an_answer_of_nothing_and_a_server_without_tiles_are_said_as_they_are(
        self, tmp_path: Path
    ) -> None:
        made = record(tmp_path)
        unit = row("a") | {"response": "", "num_tiles": None, c.PREVIEW: b"jpeg"}
        made.take_previews(table([unit], PREVIEW))
        finish(made)
        text = Page(written(tmp_path)[1]).text
        assert "The answer is empty." in text
        assert "None" not in text

    def test_kinds_of_errors_that_are_not_listed_are_counted(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        kinds = Counter(corrupt=5, timeout=4, refused=3, too_large=2, storage=1)
        finish(
            made,
            totals=Totals(results=1, errors=15, kinds=kinds),
            counted=counts(results=1, errors=15),
        )
        assert "and 2 other kinds: see the report" in made.summary()


class TestSecrets:
    @pytest.mark.parametrize(
        ("options", "still_said"),
        [
            ({"input": "https://me:s3cret@host/m.jsonl"}, "https://host/m.jsonl"),
            (
                {"input": "https://host/m.jsonl?X-Amz-Signature=s3cret&X-Amz-Date=1"},
                "https://host/m.jsonl",
            ),
            ({"output": "s3://AKIA:s3cret@bucket/out"}, "s3://bucket/out"),
            ({"model": "https://token:s3cret@hub/org/model"}, "https://hub/org/model"),
            ({"allow": ["https://me:s3cret@cdn/", "s3://open/"]}, "s3://open/"),
            ({"ray_address": "ray://me:s3cret@head:10001"}, "ray://head:10001"),
            ({"engine_args": {"hf_token": "s3cret", "max_num_batched_tokens": 8192}}, "8192"),
            ({"engine_args": {"api_key": "s3cret"}}, "api_key"),
            (
                {"engine_args": {"model_loader_extra_config": {"aws_secret_access_key": "s3cret"}}},
                "extra_config",
            ),
            (
                {
                    "engine_args": {
                        "plugins": [{"Password": "s3cret"}, {"url": "https://s3cret@host/x"}]
                    }
                },
                "https://host/x",
            ),
        ],
    )
    def test_none_reaches_the_record_the_page_or_the_log(
        self, tmp_path: Path, options: dict[str, object], still_said: str
    ) -> None:
        made = record(tmp_path, **options)
        finish(made)
        run, html = written(tmp_path)
        said = json.dumps(run)
        assert still_said in said
        assert "s3cret" not in said + html + made.summary()

    def test_the_log_names_the_output_without_its_user(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        finish(made)
        made._output.uri = "s3://AKIA:s3cret@bucket/out"
        assert "s3://bucket/out/results/" in made.summary()
        assert "s3cret" not in made.summary()

    def test_other_options_are_recorded_as_they_were(self, tmp_path: Path) -> None:
        made = record(
            tmp_path, prompt="Is the key under the token?", seed=7, engine_args={"dtype": "float32"}
        )
        said = made.configuration()
        assert said == made.options.model_dump(mode="json", exclude={"pdf_password"})


class TestTheEnd:
    @pytest.mark.parametrize(
        ("ended", "counted", "errors", "status", "exit_status", "said"),
        [
            ("done", counts(results=9, errors=1), 1, "done", 0, "Done."),
            ("done", counts(), 0, "done", 0, "Done."),
            (
                "done",
                counts(errors=2, failed=1),
                2,
                "too many errors",
                3,
                "100.0% of the units failed",
            ),
            ("done", counts(failed=3), 0, "nothing succeeded", 3, "every one failed"),
            ("done", counts(done=1, failed=3), 0, "done", 0, "Done."),
            (
                "done",
                counts(results=9, errors=3),
                3,
                "too many errors",
                3,
                "25.0% of the units failed",
            ),
            ("done", counts(results=9, lost=1), 0, "rows lost", 1, "never written"),
            (
                "too many errors",
                counts(results=1, errors=9, lost=5),
                9,
                "too many errors",
                3,
                "whatever the others do",
            ),
            (
                "interrupted",
                counts(results=9, lost=1),
                0,
                "interrupted",
                1,
                "the same command goes on",
            ),
            (
                "EngineDead: no room",
                counts(results=9),
                0,
                "failed",
                1,
                "FAILED: EngineDead: no room",
            ),
        ],
    )
    def test_status(
        self,
        tmp_path: Path,
        ended: str,
        counted: Counts,
        errors: int,
        status: str,
        exit_status: int,
        said: str,
    ) -> None:
        made = record(tmp_path, max_error_rate=0.2)
        assert made.exit_status == 1  # until the end is known
        finish(
            made,
            ended=ended,
            totals=Totals(results=counted.results, errors=errors),
            counted=counted,
        )
        assert (made.status, made.exit_status) == (status, exit_status)
        assert said in made.summary()
        run, _ = written(tmp_path)
        assert run["status"] == status
        assert run.get("failure") == (ended if status == "failed" else None)

    def test_lost_rows_are_named(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        made.ended = "done"
        made.finish(Totals(results=1), counts(results=1, lost=2), ["m.jsonl:7", "m.jsonl:9"])
        assert "lost: m.jsonl:7, m.jsonl:9" in made.summary()
        assert written(tmp_path)[0]["lost_rows"] == ["m.jsonl:7", "m.jsonl:9"]
        assert written(tmp_path)[0]["counts"]["lost"] == 2

    @pytest.mark.parametrize(
        ("counted", "sentence"),
        [
            (counts(), "0 units in = 0 results + 0 errors + 0 already done"),
            (
                counts(results=1200, errors=3, done=40),
                "1,243 units in = 1,200 results + 3 errors + 40 already done",
            ),
            (
                counts(done=1, failed=2),
                "3 units in = 0 results + 0 errors + 1 already done + 2 already failed",
            ),
            (counts(results=1, lost=2), "3 units in ≠ 1 results + 0 errors + 0 already done"),
        ],
    )
    def test_conservation(self, tmp_path: Path, counted: Counts, sentence: str) -> None:
        made = record(tmp_path)
        finish(made, counted=counted)
        assert made.conservation() == sentence
        assert written(tmp_path)[0]["conservation"] == sentence
        assert sentence in Page(written(tmp_path)[1]).text

    def test_errors_are_said_by_kind(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        finish(
            made,
            totals=failures(*[("corrupt", "a.jpg: ends early")] * 2),
            counted=counts(results=1, errors=2),
        )
        assert "2 × corrupt: a.jpg: ends early" in made.summary()
        assert written(tmp_path)[0]["error_kinds"] == {"corrupt": 2}
        assert "a.jpg: ends early" in Page(written(tmp_path)[1]).text

    def test_messages_of_one_kind_are_told_apart_and_counted(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        textures = [
            ("unsupported", f"t{number}.tga: a file that begins with bytes 0{number}, no image")
            for number in range(9)
        ]
        totals = failures(
            *textures, ("unsupported", "a.svg: an SVG"), ("corrupt", "b.jpg: ends early")
        )
        totals.notes.add_unit(["first frame of 12", "first frame of 3", "decoded at 1/2 size"])
        totals.notes.add_unit(["first frame of 7"])
        finish(made, totals=totals, counted=counts(results=2, errors=11))
        words = made.summary()
        assert "10 × unsupported: messages of 2 sorts" in words
        assert "     9  t0.tga: a file that begins with bytes 00, no image" in words
        assert "     1  a.svg: an SVG" in words
        run, html = written(tmp_path)
        assert [sort["units"] for sort in run["error_messages"]["unsupported"]] == [9, 1]
        assert run["error_messages"]["corrupt"] == [{"units": 1, "example": "b.jpg: ends early"}]
        assert [sort["units"] for sort in run["notes"]] == [2, 1]
        text = Page(html).text
        for said in ("a.svg: an SVG", "t0.tga", "decoded at 1/2 size"):
            assert said in text

    def test_two_runs_of_one_second_do_not_meet(self, tmp_path: Path) -> None:
        assert len({record(tmp_path).run_id for _ in range(50)}) == 50


class TestSpeed:
    def test_the_record_the_page_and_the_log_say_the_same(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        made.measures = prepare_bound()
        finish(made)
        run, html = written(tmp_path)
        assert run["rates"]["units_per_second"] == made.measures.rates()["units_per_second"]
        assert run["bound"] == "prepare"
        assert str(run["rates"]["units_per_second"]) in Page(html).text
        assert run["advice"] in Page(html).text
        assert run["advice"] in made.summary()

    def test_a_run_without_rows_has_no_speed(self, tmp_path: Path) -> None:
        made = record(tmp_path)
        finish(made, totals=Totals(), counted=counts())
        run, _ = written(tmp_path)
        assert run["rates"]["units_per_second"] is None
        assert run["device"]["model_flop_utilisation"] is None
        assert run["bound"] is None
        assert "units/s" not in made.summary()

    def test_what_the_run_cost(self, tmp_path: Path) -> None:
        made = record(tmp_path, price_per_gpu_hour=3.6)
        made.measures = prepare_bound()
        finish(made)
        made.seconds = 1000
        assert made.as_dict()["gpu_hours"] == round(2 * 1000 / 3600, 4)
        assert made.as_dict()["price"] == 2.0


def test_the_page_draws_how_answers_are_spread_and_which_errors_there_are(tmp_path: Path) -> None:
    totals = failures(*[("corrupt", "it broke")] * 3, ("timeout", "too slow"))
    totals.add_results(table([row(f"u{number}") for number in range(5)]).drop_columns([c.ERROR]))
    made = record(tmp_path)
    finish(made, totals=totals, counted=counts(results=5, errors=4))
    run, text = written(tmp_path)
    assert run["spread"]["completion_tokens"] == {
        "min": 7, "median": 7, "p95": 7, "max": 7, "bars": [{"from": 7, "to": 7, "units": 5}],
    }  # fmt: skip
    page = Page(text)
    drawn = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert [one["aria-label"].partition(":")[0] for one in drawn] == [
        "Tokens of an answer", "Tokens of a prompt", "Tiles of a unit",
    ]  # fmt: skip
    widths = [a["style"] for tag, a in page.elements if tag == "span" and a.get("class") == "err"]
    assert widths == ["width: 100.0%", "width: 33.33%"]


def test_the_page_says_how_to_look_at_all_units(tmp_path: Path) -> None:
    made = RunRecord(
        JobOptions.model_validate({"input": "in", "output": f"{tmp_path}/my <out>", "model": "m"}),
        CAPTION,
        OutputFolder(f"{tmp_path}/my <out>"),
    )
    finish(made)
    (report,) = tmp_path.glob("my <out>/_runs/*/report.html")
    assert f"internvl-batch view '{tmp_path}/my <out>'" in Page(report.read_text()).text


def test_the_run_that_ends_a_job_of_parts_names_them(tmp_path: Path) -> None:
    made = record(tmp_path)
    run = {"run_id": "20261127T100000-abc", "started": "10:00", "seconds": 7.0, "results": 1234,
           "errors": 1, "already_done": 0, "already_failed": 0}  # fmt: skip
    runs = [run | {"part": "1/2"}, run | {"part": "2/2", "run_id": "20261127T110000-def"}]
    sentence = "2,470 units in = 2,468 results + 2 errors"
    made.parts = Closing("all have ended", {"parts": 2, "conservation": sentence, "runs": runs})
    finish(made)
    values, page = written(tmp_path)
    assert values["parts"]["runs"] == runs
    assert "All 2 parts" in Page(page).text
    assert sentence in Page(page).text
    links = [attributes["href"] for name, attributes in Page(page).elements if name == "a"]
    assert links == [f"../{one['run_id']}/report.html" for one in runs]
    assert "all have ended" in made.summary()
