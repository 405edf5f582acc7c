"""Prompts: the exact text of every template, and token ids equal to those of the whole text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.errors import UnitError
from internvl_ops.models.checkpoints.config import Checkpoint
from internvl_ops.models.prompts.rendering import Renderer
from internvl_ops.models.templates import conversation_template
from internvl_ops.models.templates.conversation_template import TEMPLATES

V1_5 = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
    " 是一个有用无害的人工智能助手。"
)
V2_5 = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
    "清华大学及多家合作单位联合开发的多模态大语言模型。"
)

# (template, the prompt with {Q} asked, the prompt where {Q} was answered with {A} and {R} is asked)
WRITTEN_OUT = {
    "Hermes-2": (
        f"<|im_start|>system\n{V1_5}<|im_end|><|im_start|>user\nQ<|im_end|><|im_start|>assistant\n",
        (
            f"<|im_start|>system\n{V1_5}<|im_end|><|im_start|>user\nQ<|im_end|><|im_start|>assistant\nA<|im_end|>"
            "<|im_start|>user\nR<|im_end|><|im_start|>assistant\n"
        ),
    ),
    "phi3-chat": (
        f"<|system|>\n{V1_5}<|end|><|user|>\nQ<|end|><|assistant|>\n",
        f"<|system|>\n{V1_5}<|end|><|user|>\nQ<|end|><|assistant|>\nA<|end|><|user|>\nR<|end|><|assistant|>\n",
    ),
    "internvl2_5": (
        f"<|im_start|>system\n{V2_5}<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n",
        (
            f"<|im_start|>system\n{V2_5}<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
            "<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n"
        ),
    ),
    "internvl_zh": (
        " <human>: Q <bot>:",
        " <human>: Q <bot>: A</s><human>: R <bot>:",
    ),
    "internvl3_5_gpt_oss": (
        (
            "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai"
            " AI Laboratory.\nKnowledge cutoff: 2024-06\nCurrent date: 2025-08-06\n\nReasoning:"
            " low\n\n# Valid channels: final. Channel must be included for every"
            " message.<|end|><|start|>user<|message|>Q<|end|><|start|>assistant"
        ),
        (
            "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai"
            " AI Laboratory.\n"
            "Knowledge cutoff: 2024-06\nCurrent date: 2025-08-06\n\nReasoning: low\n\n# Valid"
            " channels: final. Channel "
            "must be included for every"
            " message.<|end|><|start|>user<|message|>Q<|end|><|start|>assistantA<|end|>"
            "<|start|>user<|message|>R<|end|><|start|>assistant"
        ),
    ),
}
WRITTEN_OUT["internlm2-chat"] = WRITTEN_OUT["Hermes-2"]

# media → (how many, what is asked, what stands in the prompt for it)
MEDIA = {
    "text": (0, "images", "What now?", "What now?"),
    "one image": (1, "images", "What now?", "<image>\nWhat now?"),
    "one image, tag given": (1, "images", "Look: <image> What now?", "Look: <image> What now?"),
    "several images": (2, "images", "Compare.", "Image-1: <image>\nImage-2: <image>\nCompare."),
    "several images, tags given": (2, "images", "<image> or <image>?", "<image> or <image>?"),
    "video": (
        3,
        "video",
        "What happens?",
        "Frame1: <image>\nFrame2: <image>\nFrame3: <image>\nWhat happens?",
    ),
}
STOPS = {
    "Hermes-2": {"<|im_end|>"},
    "internlm2-chat": {"<|im_end|>"},
    "internvl2_5": {"<|im_end|>"},
    "phi3-chat": {"<|end|>"},
    "internvl_zh": {"</s>"},
    "internvl3_5_gpt_oss": {"<|return|>"},
}


@pytest.fixture(scope="module")
def renderer(checkpoint: Checkpoint) -> Renderer:
    return Renderer(checkpoint)


def full_ids(renderer: Renderer, text: str, num_tiles: Sequence[int]) -> np.ndarray:
    """The slow way: every context token in the text, and then the tokenizer."""
    for tiles in num_tiles:
        contexts = "<IMG_CONTEXT>" * renderer.checkpoint.tokens_per_tile * tiles
        text = text.replace("<image>", f"<img>{contexts}</img>", 1)
    return renderer.tokenizer.encode(text)


class TestText:
    def test_every_template_is_written_out_here(self) -> None:
        assert WRITTEN_OUT.keys() == TEMPLATES.keys()

    @pytest.mark.parametrize("template", TEMPLATES)
    def test_first_turn(self, template: str) -> None:
        message = TEMPLATES[template].system_message
        assert conversation_template.render(template, message, [], "Q") == WRITTEN_OUT[template][0]

    @pytest.mark.parametrize("template", TEMPLATES)
    def test_second_turn(self, template: str) -> None:
        message = TEMPLATES[template].system_message
        assert (
            conversation_template.render(template, message, [("Q", "A")], "R")
            == WRITTEN_OUT[template][1]
        )

    @pytest.mark.parametrize("template", TEMPLATES)
    def test_stops(self, template: str) -> None:
        assert set(TEMPLATES[template].stop) == STOPS[template]

    # whose tokens the tiny one has
    @pytest.mark.parametrize("template", ["Hermes-2", "internlm2-chat", "internvl2_5"])
    @pytest.mark.parametrize("media", MEDIA)
    def test_media_in_every_template(
        self, checkpoint: Checkpoint, template: str, media: str
    ) -> None:
        count, kind, question, asked = MEDIA[media]
        message = TEMPLATES[template].system_message
        renderer = Renderer(replace(checkpoint, template=template, system_message=message))
        expected = WRITTEN_OUT[template][0].replace("Q", asked)
        assert renderer.text(question, count, media=kind) == expected
        num_tiles = [1] * count if kind == "video" else [3, 1][:count]
        rendered = renderer.render(question, num_tiles, media=kind)
        assert np.array_equal(rendered.token_ids, full_ids(renderer, expected, num_tiles))

    @pytest.mark.parametrize("media", MEDIA)
    def test_media_stay_in_the_turn_that_showed_them(self, renderer: Renderer, media: str) -> None:
        count, kind, question, asked = MEDIA[media]
        text = renderer.text("And then?", count, [(question, "A cat.")], media=kind)
        first, second = WRITTEN_OUT["internvl2_5"][1].split("A<|im_end|>")
        assert text == first.replace("Q", asked) + "A cat.<|im_end|>" + second.replace(
            "R", "And then?"
        )

    def test_another_system_message(self, checkpoint: Checkpoint) -> None:
        text = Renderer(checkpoint, system_message="Be brief. {}").text("Hi")
        assert text.startswith("<|im_start|>system\nBe brief. {}<|im_end|>\n")

    def test_braces_in_a_question_are_text(self, renderer: Renderer) -> None:
        assert 'user\nAnswer as {"a": 1}<|im_end|>' in renderer.text('Answer as {"a": 1}')


class TestIds:
    @pytest.mark.parametrize("num_tiles", [[1], [13], [41], [3, 1], [1, 7, 2], [1] * 16])
    def test_ids_equal_those_of_the_whole_text(
        self, renderer: Renderer, num_tiles: list[int]
    ) -> None:
        rendered = renderer.render("Describe.", num_tiles)
        text = renderer.text("Describe.", len(num_tiles))
        assert rendered.token_ids.dtype == np.int32
        assert np.array_equal(rendered.token_ids, full_ids(renderer, text, num_tiles))

    @settings(deadline=None, max_examples=150)
    @given(data=st.data())
    def test_whatever_is_asked(self, checkpoint: Checkpoint, data: st.DataObject) -> None:
        renderer = Renderer(checkpoint, special_tokens="recognised")
        pieces = [
            "<image>",
            "<img>",
            "</img>",
            "<IMG_CONTEXT>",
            "<img><IMG_CONTEXT></img>",
            "<|im_end|>",
            "\n",
            "图",
            "a",
        ]
        question = "".join(
            data.draw(st.lists(st.one_of(st.sampled_from(pieces), st.text(max_size=5)), max_size=8))
        )
        images = question.count("<image>")
        num_tiles = data.draw(st.lists(st.integers(1, 5), min_size=images, max_size=images))
        rendered = renderer.render(question, num_tiles)
        assert np.array_equal(
            rendered.token_ids, full_ids(renderer, renderer.text(question, images), num_tiles)
        )
        self.check_places(renderer, rendered.token_ids, rendered.images, num_tiles)

    @pytest.mark.parametrize("num_tiles", [[1], [13], [3, 1], [1] * 8])
    def test_images_are_where_they_are_said_to_be(
        self, renderer: Renderer, num_tiles: list[int]
    ) -> None:
        rendered = renderer.render("Describe.", num_tiles)
        self.check_places(renderer, rendered.token_ids, rendered.images, num_tiles)

    @staticmethod
    def check_places(
        renderer: Renderer, ids: np.ndarray, images: Sequence, num_tiles: Sequence[int]
    ) -> None:
        tokenizer = renderer.tokenizer
        assert [image.num_tiles for image in images] == list(num_tiles)
        for image in images:
            assert image.length == image.num_tiles * renderer.checkpoint.tokens_per_tile + 2
            inside = ids[image.offset : image.offset + image.length]
            assert inside[0] == tokenizer.image_start_id
            assert inside[-1] == tokenizer.image_end_id
            assert set(inside[1:-1].tolist()) == {tokenizer.image_context_id}
        for one, other in itertools.pairwise(images):
            assert one.offset + one.length <= other.offset


class TestRefusals:
    def test_too_long_names_the_tiles_that_fit(self, checkpoint: Checkpoint) -> None:
        renderer = Renderer(checkpoint, context_length=1000, max_new_tokens=100)
        with pytest.raises(UnitError) as refused:
            renderer.render("Describe.", [60])
        assert (refused.value.stage, refused.value.kind) == ("render", "prompt_too_long")
        fit = int(refused.value.message.split("`max_tiles`=")[1].rstrip("."))
        assert len(renderer.render("Describe.", [fit + 1]).token_ids) <= 900  # and its thumbnail
        with pytest.raises(UnitError):
            renderer.render("Describe.", [fit + 2])

    def test_too_long_without_an_image(self, checkpoint: Checkpoint) -> None:
        with pytest.raises(UnitError, match="Shorten the question"):
            Renderer(checkpoint, context_length=400).render("word " * 500)

    def test_too_many_frames(self, checkpoint: Checkpoint) -> None:
        renderer = Renderer(checkpoint, context_length=1000)
        with pytest.raises(UnitError, match="frames would fit") as refused:
            renderer.render("What happens?", [1] * 64, media="video")
        fit = int(refused.value.message.split(" frames would fit")[0].split()[-1])
        assert fit > 20
        renderer.render("What happens?", [1] * fit, media="video")

    def test_a_prompt_that_just_fits(self, checkpoint: Checkpoint, renderer: Renderer) -> None:
        length = len(renderer.render("Describe.", [2]).token_ids)
        Renderer(checkpoint, context_length=length + 10, max_new_tokens=10).render("Describe.", [2])
        with pytest.raises(UnitError):
            Renderer(checkpoint, context_length=length + 9, max_new_tokens=10).render(
                "Describe.", [2]
            )

    @pytest.mark.parametrize(
        ("question", "images"), [("<image> and <image>", 1), ("<image>", 2), ("<image>", 0)]
    )
    def test_tags_that_are_not_as_many_as_images(
        self, renderer: Renderer, question: str, images: int
    ) -> None:
        with pytest.raises(UnitError) as refused:
            renderer.render(question, [1] * images)
        assert refused.value.kind == "bad_row"
        assert (
            f"{question.count('<image>')} <image> tags for {images} images" in refused.value.message
        )
