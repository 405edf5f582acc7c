"""Verdicts over an output: what each rule finds, which verdict wins, and that every unit has
exactly one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.picture_stats import picture_stats
from pipelines.commands.filter import FilterOptions, filter_output, summary
from pipelines.filtering import duplicates
from pipelines.filtering.duplicates import MIRROR, MIRROR_BITS
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.output.reviews import ReviewSession
from testing.pictures import natural

LONG = (
    "A red bicycle leans against the wall of a small house, and a cat sleeps in the sun before the"
    " open door."
)


def write(folder: Path, rows: list[dict[str, Any]], name: str = "a") -> str:
    OutputFolder(str(folder)).write_table(f"{RESULTS}/{name}.parquet", pa.Table.from_pylist(rows))
    return str(folder)


def judge(
    tmp_path: Path, rows: list[dict[str, Any]], *rules: dict[str, Any], **options: Any
) -> dict[str, dict]:
    """The verdicts by id."""
    source = write(tmp_path / "in", rows)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"rules": list(rules)}))
    filter_output(
        FilterOptions(
            input=source,
            output=str(tmp_path / "out"),
            rules=str(tmp_path / "rules.yaml"),
            **options,
        )
    )
    return verdicts(tmp_path / "out")


def verdicts(folder: Path) -> dict[str, dict]:
    output = OutputFolder(str(folder))
    rows = [row for name in output.files(RESULTS) for row in output.read_table(name).to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def held(tmp_path: Path, rows: list[dict[str, Any]], rule: dict[str, Any]) -> set[str]:
    """Ids that one rule holds for."""
    found = judge(tmp_path, rows, {"name": "it", **rule})
    return {unit for unit, row in found.items() if row["reasons"] == ["it"]}


def texts(*values: str | None, column: str = "caption") -> list[dict[str, Any]]:
    return [{"id": str(number), column: value} for number, value in enumerate(values)]


class TestVerdicts:
    ROWS: ClassVar = [{"id": str(i), "score": i, "caption": "x"} for i in range(10)]

    def test_drop_wins_over_review_and_keep_over_both(self, tmp_path: Path) -> None:
        found = judge(
            tmp_path,
            self.ROWS,
            {"name": "low", "where": "score < 5", "verdict": "drop"},
            {"name": "even", "where": "score % 2 = 0", "verdict": "review"},
            {"name": "trusted", "where": "id = '0'", "verdict": "keep"},
        )
        assert (found["0"]["verdict"], found["0"]["reasons"]) == (
            "keep",
            ["low", "even", "trusted"],
        )
        assert (found["2"]["verdict"], found["2"]["reasons"]) == ("drop", ["low", "even"])
        assert (found["3"]["verdict"], found["3"]["reasons"]) == ("drop", ["low"])
        assert (found["8"]["verdict"], found["8"]["reasons"]) == ("review", ["even"])
        assert (found["9"]["verdict"], found["9"]["reasons"]) == ("keep", [])

    def test_a_condition_that_fails_on_a_row_does_not_hold_for_it_and_is_counted(
        self, tmp_path: Path
    ) -> None:
        rows = [{"id": "a", "n": "7"}, {"id": "b", "n": "seven"}, {"id": "c", "n": None}]
        found = judge(
            tmp_path, rows, {"name": "low", "where": "CAST(n AS INT) < 8", "verdict": "drop"}
        )
        assert [found[unit]["verdict"] for unit in "abc"] == ["drop", "keep", "keep"]
        (record,) = (tmp_path / "out" / "_runs").glob("*/run.json")
        assert json.loads(record.read_text())["rules"][0]["not_evaluated"] == 2

    def test_the_report_counts_what_a_rule_took_alone_and_with_others(self, tmp_path: Path) -> None:
        judge(
            tmp_path,
            self.ROWS,
            {"name": "low", "where": "score < 5"},
            {"name": "lower", "where": "score < 2"},
        )
        (path,) = (tmp_path / "out" / "_runs").glob("*/run.json")
        record = json.loads(path.read_text())
        assert [(rule["name"], rule["held"], rule["alone"]) for rule in record["rules"]] == [
            ("low", 5, 3),
            ("lower", 2, 0),
        ]
        assert record["counts"] == {"units": 10, "keep": 5, "review": 5, "drop": 0}
        assert "10 units in = 5 keep + 5 review + 0 drop" in summary(record)

    def test_answers_are_text_in_the_report(self, tmp_path: Path) -> None:
        judge(tmp_path, texts("<script>alert(1)</script>"), {"name": "<b>", "where": "true"})
        (page,) = (tmp_path / "out" / "_runs").glob("*/report.html")
        assert "<script>" not in page.read_text()
        assert "<b>&lt;" not in page.read_text()

    def test_columns_of_another_output_are_joined_by_id(self, tmp_path: Path) -> None:
        scores = write(tmp_path / "scores", [{"id": "0", "score": 3.0}, {"id": "1", "score": 8.0}])
        found = judge(
            tmp_path,
            texts("a", "b", "c"),
            {"name": "low", "rule": "value", "column": "score", "below": 7, "verdict": "drop"},
            {"name": "named", "where": "scores.score > 7", "verdict": "review"},
            join=(f"scores={scores}",),
        )
        assert [found[unit]["verdict"] for unit in "012"] == ["drop", "review", "keep"]

    @settings(max_examples=8, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from(["keep", "review", "drop"])),
            min_size=1,
            max_size=5,
        )
    )
    def test_every_unit_has_the_verdict_that_the_rules_say(
        self, tmp_path_factory: pytest.TempPathFactory, limits: list[tuple[int, str]]
    ) -> None:
        rules = [
            {"name": str(i), "where": f"score < {n}", "verdict": v}
            for i, (n, v) in enumerate(limits)
        ]
        found = judge(tmp_path_factory.mktemp("filter"), self.ROWS, *rules)
        for row in self.ROWS:
            asked = {verdict for limit, verdict in limits if row["score"] < limit}
            expected = next((v for v in ("keep", "drop", "review") if v in asked), "keep")
            assert found[row["id"]]["verdict"] == expected


class TestTextRules:
    def test_length_in_characters_words_and_lines(self, tmp_path: Path) -> None:
        rows = texts("one two", "", "一只红色的猫", None, "a\n\nb\nc", " \n\t\u3000", "\n x ")
        assert held(tmp_path / "a", rows, {"rule": "length", "below": 1}) == {"1", "3", "5"}
        assert held(tmp_path / "d", rows, {"rule": "length", "below": 2}) == {"1", "3", "5", "6"}
        assert held(tmp_path / "b", rows, {"rule": "length", "unit": "words", "above": 3}) == {"2"}
        assert held(tmp_path / "c", rows, {"rule": "length", "unit": "lines", "above": 2}) == {"4"}

    def test_limits_as_percentiles(self, tmp_path: Path) -> None:
        rows = texts(*("x" * length for length in range(1, 101)))
        found = held(
            tmp_path, rows, {"rule": "length", "below_percentile": 5, "above_percentile": 95}
        )
        assert found == {"0", "1", "2", "3", "4", "95", "96", "97", "98", "99"}

    def test_lines_and_word_runs_that_come_again(self, tmp_path: Path) -> None:
        lines = "first\nsecond\n\nfirst\nfirst\nthird"
        rows = texts(lines, LONG, "short\nshort", " ".join(["the same five words again"] * 4))
        assert held(tmp_path / "a", rows, {"rule": "duplicate_lines", "above": 0.3}) == {"0"}
        assert held(tmp_path / "b", rows, {"rule": "duplicate_ngrams", "n": 3, "above": 0.5}) == {
            "3"
        }

    def test_a_long_sentence(self, tmp_path: Path) -> None:
        rows = texts("Short. " * 100, "x" * 300, "短句。" * 100)
        assert held(tmp_path, rows, {"rule": "sentence_length", "above": 200}) == {"1"}

    def test_loops(self, tmp_path: Path) -> None:
        rows = texts(LONG, "The sky is blue and the sea is green. " * 60, None)
        assert held(tmp_path, rows, {"rule": "repetition"}) == {"1"}

    def test_languages(self, tmp_path: Path) -> None:
        german = (
            "Ein rotes Fahrrad lehnt an der Wand eines kleinen Hauses, und eine Katze schläft"
            " davor."
        )
        chinese = "一辆红色的自行车靠在一座小房子的墙上，一只猫在敞开的门前的阳光下睡觉。"
        # in no language
        table = "\n".join(f"| {number} | {number**2} | x{number}y |" for number in range(20))
        rows = texts(LONG, german, chinese, "ok", None, table)
        assert held(tmp_path, rows, {"rule": "language", "allowed": ["en", "zh"]}) == {"1"}

    @pytest.mark.parametrize(
        "answer",
        [
            "I'm sorry, but I can't assist with that.",
            "I cannot identify the person in this picture.",
            "Sorry, the image is not visible to me.",
            "As an AI language model, I do not have eyes.",
            "I'm not comfortable naming the man in the photograph.",
            "Unfortunately, the page is too dark for me.",
            "I wasn't given the page, so I must decline.",
            "No image was attached. Please send it again.",
            "My apologies, but that goes against the content policy.",
            "很抱歉，我无法查看这张图片。",
            "作为一个人工智能，我没有眼睛。",
            "Es tut mir leid, das kann ich nicht lesen.",
            "Je suis désolé, je ne vois pas d'image.",
            "No puedo ver la imagen.",
            "申し訳ありませんが、お答えできません。",
        ],
    )
    def test_refusals(self, tmp_path: Path, answer: str) -> None:
        sound = [
            "A sign says sorry, we are closed.",
            "She cannot see the dog.",
            "The robot is sorry.",
            LONG,
        ]
        sound += [
            "A label says: no pets. The page is unfortunately torn.",
            "The guidelines of the club hang on the wall.",
        ]
        sound += ['The bubble says: "I can\'t see the ball!"', "Please attach a photograph."]
        sound += ["Leider ausverkauft!", "根据相关规定，本店不向未成年人出售烟酒。"]
        sound += ['The boy says "I can swim", the girl can not.', "No image of the queen is on it."]
        assert held(tmp_path, texts(answer, *sound), {"rule": "refusal"}) == {"0"}

    def test_finish_reasons(self, tmp_path: Path) -> None:
        rows = [
            {"id": reason, "finish_reason": reason} for reason in ("stop", "length", "repetition")
        ]
        assert held(tmp_path, rows, {"rule": "finish_reason"}) == {"length", "repetition"}

    def test_boxes_off_the_picture(self, tmp_path: Path) -> None:
        def row(name: str, *boxes: tuple[float, float, float, float]) -> dict[str, Any]:
            found = [
                dict(zip(("label", "x1", "y1", "x2", "y2"), ("dog", *box), strict=True))
                for box in boxes
            ]
            return {"id": name, "width": 100, "height": 50, "boxes": found}

        rows = [
            row("in", (0, 0, 100, 50)),
            row("right", (0, 0, 10, 10), (90, 0, 110, 50)),
            row("low", (0, 0, 10, 60)),
            row("flat", (5, 5, 5, 9)),
            row("none"),
        ]
        assert held(tmp_path, rows, {"rule": "boxes_outside"}) == {"right", "low", "flat"}


class TestDuplicates:
    def test_equal_texts_but_for_case_and_blanks(self, tmp_path: Path) -> None:
        found = judge(
            tmp_path, texts("A cat.", "a  CAT. ", "A dog.", None, None), {"rule": "duplicates"}
        )
        assert found["1"]["duplicate_of"] == "0"
        assert [found[unit]["reasons"] for unit in "01234"] == [[], ["duplicates"], [], [], []]

    def test_the_best_is_kept_and_a_dropped_unit_is_no_original(self, tmp_path: Path) -> None:
        rows = [
            {"id": str(i), "caption": "same", "score": score}
            for i, score in enumerate((9, 4, 7, 8))
        ]
        found = judge(
            tmp_path,
            rows,
            {"rule": "duplicates", "verdict": "drop", "best_first": "score DESC"},
            {"name": "bad", "where": "id = '0'", "verdict": "drop"},
        )
        assert (found["0"]["reasons"], found["0"]["duplicate_of"]) == (["bad"], None)
        assert found["3"]["verdict"] == "keep"
        assert {found[unit]["duplicate_of"] for unit in "12"} == {"3"}

    def test_pictures_with_near_hashes(self, tmp_path: Path) -> None:
        base = 0x0123456789ABCDEF
        hashes = [
            base,
            base ^ 0b1011,
            base ^ (1 << 63 | 1 << 40 | 1 << 20 | 1),
            base ^ 0b11111,
            0,
            base,
        ]
        rows = [{"id": str(i), "image_phash": f"{value:016x}"} for i, value in enumerate(hashes)]
        rows += [{"id": "none", "image_phash": None}, {"id": "odd", "image_phash": "zz"}]
        found = judge(tmp_path, rows, {"rule": "near_duplicate_images", "bits": 4})
        assert {
            unit: row["duplicate_of"] for unit, row in found.items() if row["duplicate_of"]
        } == {
            "1": "0",
            "2": "0",
            "5": "0",
        }

    @settings(max_examples=6, deadline=None)
    @given(seed=st.integers(0, 10_000), bits=st.integers(0, 6))
    def test_near_hashes_are_those_of_a_plain_comparison(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, bits: int
    ) -> None:
        rng = random.Random(seed)
        bases = [rng.getrandbits(64) for _ in range(4)]
        hashes = [
            rng.choice(bases) ^ sum(1 << rng.randrange(64) for _ in range(rng.randrange(6)))
            for _ in range(30)
        ]
        hashes = [value & ((1 << 64) - 1) for value in hashes]
        rows = [
            {"id": f"{i:02d}", "image_phash": f"{value:016x}"} for i, value in enumerate(hashes)
        ]
        found = judge(
            tmp_path_factory.mktemp("near"), rows, {"rule": "near_duplicate_images", "bits": bits}
        )
        kept: list[int] = []
        for i, value in enumerate(hashes):
            near = [k for k in kept if (hashes[k] ^ value).bit_count() <= bits]
            assert found[f"{i:02d}"]["duplicate_of"] == (f"{near[0]:02d}" if near else None)
            if not near:
                kept.append(i)

    @pytest.mark.parametrize("mirrored", [True, False])
    def test_mirrored_pictures(self, tmp_path: Path, mirrored: bool) -> None:
        pictures = [np.asarray(natural(320, 240, seed)) for seed in range(20)]
        pictures += [picture[:, ::-1].copy() for picture in pictures[:10]]
        rows = [
            {"id": f"{i:02}", "image_phash": picture_stats(picture).image_phash}
            for i, picture in enumerate(pictures)
        ]
        rule = {"rule": "near_duplicate_images", "mirrored": mirrored}
        found = {unit: row["duplicate_of"] for unit, row in judge(tmp_path, rows, rule).items()}
        copies = {f"{i + 20:02}": f"{i:02}" for i in range(10)} if mirrored else {}
        assert {unit: of for unit, of in found.items() if of} == copies

    @settings(max_examples=6, deadline=None)
    @given(seed=st.integers(0, 10_000), bits=st.integers(0, 6))
    def test_mirrored_hashes_are_those_of_a_plain_comparison(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, bits: int
    ) -> None:
        rng = random.Random(seed)
        base = rng.getrandbits(64)
        hashes = [
            base
            ^ rng.choice([0, MIRROR])
            ^ sum(1 << place for place in rng.sample(range(64), rng.randrange(14)))
            for _ in range(30)
        ]
        rows = [
            {"id": f"{i:02d}", "image_phash": f"{value:016x}"} for i, value in enumerate(hashes)
        ]
        rule = {"rule": "near_duplicate_images", "bits": bits, "mirrored": True}
        found = judge(tmp_path_factory.mktemp("near"), rows, rule)
        kept: list[int] = []
        for i, value in enumerate(hashes):
            near = [
                k
                for k in kept
                if (hashes[k] ^ value).bit_count() <= bits
                or (hashes[k] ^ value ^ MIRROR).bit_count() <= bits + MIRROR_BITS
            ]
            assert found[f"{i:02d}"]["duplicate_of"] == (f"{near[0]:02d}" if near else None)
            if not near:
                kept.append(i)

    def test_texts_that_differ_in_a_word(self, tmp_path: Path) -> None:
        long = " ".join(f"word{i}" for i in range(80))
        rows = texts(long, long + " more", " ".join(f"other{i}" for i in range(80)), "", "猫" * 3)
        found = judge(tmp_path, rows, {"rule": "near_duplicate_texts", "verdict": "drop"})
        assert {
            unit: row["duplicate_of"] for unit, row in found.items() if row["duplicate_of"]
        } == {"1": "0"}

    @pytest.mark.parametrize("exact", [True, False])
    def test_near_vectors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
    ) -> None:
        """Also by the index that large outputs need."""
        if not exact:
            monkeypatch.setattr(duplicates, "EXACT_VECTORS", 0)
        vectors = np.random.default_rng(2).normal(size=(60, 16)).astype(np.float32)
        vectors[40], vectors[50] = 3 * vectors[5], vectors[5] + 0.01
        rows = [
            {"id": f"{number:02d}", "vector": vector.tolist()}
            for number, vector in enumerate(vectors)
        ]
        found = judge(
            tmp_path, [*rows, {"id": "none", "vector": None}], {"rule": "near_duplicate_vectors"}
        )
        assert {
            unit: row["duplicate_of"] for unit, row in found.items() if row["duplicate_of"]
        } == {
            "40": "05",
            "50": "05",
        }


class TestCard:
    def test_rules_without_their_column_are_left_out_with_a_note(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", texts(LONG, "", "I'm sorry, I can't help with that."))
        record = filter_output(FilterOptions(input=source, output=str(tmp_path / "out")))
        found = verdicts(tmp_path / "out")
        assert [found[unit]["verdict"] for unit in "012"] == ["keep", "drop", "review"]
        assert (
            "rule low quality score is left out: the output has no column quality.score"
            in record["notices"]
        )


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ({"name": "x", "where": "scor < 3"}, "scor"),
            ({"name": "x", "where": "caption"}, "not true or false"),
            ({"name": "x", "where": "score <"}, "rule x"),
            ({"where": "true"}, "needs a name"),
            ({"rule": "lenght", "below": 3}, "'lenght' is none of"),
            ({"rule": "length"}, "below, above"),
            ({"rule": "length", "belov": 3}, "belov"),
            ({"rule": "value", "column": "skore", "below": 3}, "Did you mean 'score'?"),
            ({"rule": "finish_reason"}, "if_missing: skip"),
            ({"rule": "duplicates", "best_first": "nothing DESC"}, "rule duplicates"),
            ({"name": "x", "where": "true", "verdict": "delete"}, "verdict 'delete'"),
            ({"name": "x"}, "either `where`"),
        ],
    )
    def test_a_wrong_rule_is_named_and_nothing_is_written(
        self, tmp_path: Path, rule: dict, said: str
    ) -> None:
        with pytest.raises(ConfigurationError) as error:
            judge(tmp_path, [{"id": "a", "caption": "x", "score": 3}], rule)
        assert said in str(error.value)
        assert not list((tmp_path / "out").rglob("*.parquet"))

    def test_all_wrong_rules_are_named_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError) as error:
            judge(tmp_path, texts("x"), {"rule": "no"}, {"name": "y"})
        assert "rule 1" in str(error.value)
        assert "rule 2" in str(error.value)

    @pytest.mark.parametrize(
        "text", ["", "rules: []", "- a", "rules: {a: b}", "rules: [", "rules: [3]"]
    )
    def test_a_file_that_holds_no_rules(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "r.yaml").write_text(text)
        source = write(tmp_path / "in", texts("x"))
        with pytest.raises(ConfigurationError, match="--rules"):
            filter_output(
                FilterOptions(
                    input=source, output=str(tmp_path / "out"), rules=str(tmp_path / "r.yaml")
                )
            )

    def test_an_input_without_results(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="holds no results"):
            filter_output(
                FilterOptions(input=str(tmp_path), output=str(tmp_path.parent / "verdicts"))
            )

    def test_an_output_within_the_input(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", texts("x"))
        with pytest.raises(ConfigurationError, match="lie in each other"):
            filter_output(FilterOptions(input=source, output=f"{source}/verdicts"))

    def test_verdicts_are_replaced_only_when_asked_for(self, tmp_path: Path) -> None:
        rule = {"name": "all", "where": "true", "verdict": "drop"}
        judge(tmp_path, texts("x"), rule)
        with pytest.raises(ConfigurationError, match="--overwrite"):
            judge(tmp_path, texts("x"), rule)
        found = judge(tmp_path, texts("x"), {**rule, "verdict": "review"}, overwrite=True)
        assert found["0"]["verdict"] == "review"


class TestStores:
    def test_outputs_in_one_store_are_joined_and_judged_there(
        self, bucket: str, tmp_path: Path
    ) -> None:
        def put(name: str, rows: list[dict[str, Any]]) -> str:
            OutputFolder(f"{bucket}/{name}").write_table(
                f"{RESULTS}/a.parquet", pa.Table.from_pylist(rows)
            )
            return f"{bucket}/{name}"

        source, scores = (
            put("in", texts("a", "b")),
            put("scores", [{"id": "0", "score": 3}, {"id": "1", "score": 8}]),
        )
        (tmp_path / "r.yaml").write_text("rules: [{name: low, where: score < 7, verdict: drop}]")
        rules = str(tmp_path / "r.yaml")
        filter_output(
            FilterOptions(
                input=source, output=f"{bucket}/out", rules=rules, join=(f"scores={scores}",)
            )
        )
        found = OutputFolder(f"{bucket}/out")
        rows = [row for name in found.files(RESULTS) for row in found.read_table(name).to_pylist()]
        assert {row["id"]: row["verdict"] for row in rows} == {"0": "drop", "1": "keep"}


class TestOtherTables:
    ROWS: ClassVar = texts("a cat", "a dog", "a house")

    def test_reviews_are_columns(self, tmp_path: Path) -> None:
        source = OutputFolder(write(tmp_path / "in", self.ROWS))
        review = ReviewSession(source, "Ann")
        review.add("0", "bad", note="no cat")
        review.add("1", "good")
        found = judge(
            tmp_path,
            self.ROWS,
            {"name": "marked", "where": "review = 'bad'", "verdict": "drop"},
            {"name": "praised", "where": "reviews.review = 'good'", "verdict": "keep"},
            {
                "name": "few",
                "rule": "value",
                "column": "reviewers",
                "below": 2,
                "verdict": "review",
            },
        )
        assert [found[unit]["verdict"] for unit in "012"] == ["drop", "keep", "keep"]
        assert found["0"]["reasons"] == ["marked", "few"]

    def test_the_card_takes_scores_of_both_judges(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", self.ROWS)
        for name, scores in {"quality": [6, 7, 9], "repetition": [9, 2, 9]}.items():
            write(
                tmp_path / name,
                [{"id": str(number), "score": score} for number, score in enumerate(scores)],
            )
        joined = tuple(f"{name}={tmp_path / name}" for name in ("quality", "repetition"))
        record = filter_output(
            FilterOptions(input=source, output=str(tmp_path / "out"), join=joined)
        )
        found = verdicts(tmp_path / "out")
        assert {unit: row["reasons"] for unit, row in found.items()} == {
            "0": ["low quality score"],
            "1": ["repetition score"],
            "2": [],
        }
        assert not [notice for notice in record["notices"] if "score" in notice]
