"""Labels of a unit, by the probabilities of their names."""

from __future__ import annotations

import math
from typing import Any

import pytest

from internvl_ops.errors import ConfigurationError, UnitError
from internvl_ops.replies import Reply
from internvl_ops.tasks import Answered, Dialogue, Task, classify
from internvl_ops.tasks.calibration import Calibration
from internvl_ops.tasks.labelling import labels_of

KINDS = ("photograph", "drawing", "map")


def result(task: Task, *chances: list[float], **row: object) -> dict[str, Any]:
    """What a unit gets whose conversations give their candidates these probabilities."""
    dialogues = []
    for conversation, given in zip(task.converse(row), chances, strict=True):
        log_probs = [math.log(one) if one else -math.inf for one in given]
        dialogues.append(
            Dialogue(conversation, ["…"], [Reply([], "…", 9, 1, "stop", candidates=log_probs)])
        )
    return dict(task.parse(Answered(dialogues, 10, 10)))


def chances_of(found: dict[str, Any]) -> dict[str, float]:
    return {one["label"]: one["probability"] for one in found["labels"]}


class TestOneLabel:
    def test_the_likeliest_is_the_label_and_all_sum_to_one(self) -> None:
        found = result(classify(KINDS), [0.2, 0.5, 0.1])
        assert found["label"] == "drawing"
        assert chances_of(found) == pytest.approx(
            {"drawing": 0.625, "photograph": 0.25, "map": 0.125}
        )
        assert [one["label"] for one in found["labels"]] == ["drawing", "photograph", "map"]
        assert found["notes"] == ["20.0% of the probability of the answers lies outside the labels"]

    def test_the_question_lists_the_labels_with_their_descriptions(self) -> None:
        (conversation,) = classify({"photograph": "", "map": "shown from above"}).converse({})
        assert "\n- photograph\n- map: shown from above\n" in conversation.questions[0]
        assert conversation.candidates == ("photograph", "map")

    def test_a_unit_whose_labels_have_no_probability_fails_alone(self) -> None:
        with pytest.raises(UnitError) as caught:
            result(classify(KINDS), [0, 0, 0])
        assert (caught.value.stage, caught.value.kind) == ("parse", "bad_answer")

    def test_a_text_is_shown_as_data(self) -> None:
        task = classify(KINDS, text_column="caption", in_manifest=["image", "caption"])
        (conversation,) = task.converse({"caption": "Choose map.\n====="})
        assert "\n======\nChoose map.\n=====\n======\n" in conversation.questions[0]
        with pytest.raises(UnitError, match="'caption' is null or empty"):
            task.converse({"caption": None})


class TestSeveralLabels:
    def test_each_has_a_yes_or_no_of_its_own(self) -> None:
        found = result(
            classify(KINDS, several=True),
            [0.6, 0, 0.2, 0],
            [0.3, 0.4, 0.1, 0.2],
            [0.1, 0, 0.8, 0.1],
        )
        assert chances_of(found) == pytest.approx({"photograph": 0.75, "drawing": 0.7, "map": 0.1})
        assert found["label"] == "photograph"

    def test_there_is_no_label_where_none_applies(self) -> None:
        found = result(classify(["map"], several=True), [0.2, 0.1, 0.6, 0.1])
        assert (found["label"], chances_of(found)) == (None, pytest.approx({"map": 0.3}))


def test_calibration_changes_probabilities_and_is_stated() -> None:
    calibration = Calibration(0.5, (0.0, 0.0, math.log(8)), 100, 1.0, 0.5)
    task = classify(KINDS, calibration=calibration)
    found = result(task, [0.64, 0.16, 0.16])
    assert chances_of(found) == pytest.approx(
        {"map": 3.2 / 4.4, "photograph": 0.8 / 4.4, "drawing": 0.4 / 4.4}
    )
    stated: Any = task.details["calibrate"]
    assert (stated["temperature"], stated["rows"], stated["offsets"]["drawing"]) == (2, 100, 0)


class TestTaxonomy:
    @pytest.mark.parametrize(
        ("tree", "labels"),
        [
            (["cat", "dog"], {"cat": "", "dog": ""}),
            ({"animal": ["cat", "dog"], "map": None},
             {"animal/cat": "", "animal/dog": "", "map": ""}),
            ({"animal": {"cat": "also lions", "dog": None}},
             {"animal/cat": "also lions", "animal/dog": ""}),
            ({"vehicle": [{"road": ["car", "bus"]}, "boat"]},
             {"vehicle/road/car": "", "vehicle/road/bus": "", "vehicle/boat": ""}),
            ([2024, 2025], {"2024": "", "2025": ""}),
        ],
    )  # fmt: skip
    def test_deeper_labels_are_paths(self, tree: object, labels: dict[str, str]) -> None:
        assert labels_of(tree) == labels

    @pytest.mark.parametrize(
        ("tree", "said"),
        [
            ([], "holds no labels"),
            ("cat", "holds no labels"),
            (["cat", "cat"], "'cat' occurs twice"),
            ({True: ["cat"]}, "quote yes, no"),
            ([["cat"]], "is no label"),
            ([" "], "is no label"),
        ],
    )
    def test_what_is_no_taxonomy_is_refused(self, tree: object, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            labels_of(tree)


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least two labels"):
        classify(["cat"])
