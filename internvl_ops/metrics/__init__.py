"""Scores answers against the right ones, as the family's authors compute the scores."""

from internvl_ops.metrics.caption_tokens import tokens
from internvl_ops.metrics.captions import bleu, cider, rouge_l
from internvl_ops.metrics.edits import character_errors, edits, error_rate, word_errors
from internvl_ops.metrics.grounding import Located, hit, iou, precision_at_05
from internvl_ops.metrics.letters import (
    internvl_letter,
    mmbench_letter,
    mvbench_hit,
    video_mme_letter,
    video_mme_option,
)
from internvl_ops.metrics.mme import mme_scores, yes_or_no
from internvl_ops.metrics.questions import (
    anls,
    exact_match,
    gqa_match,
    ocrbench_hit,
    relaxed_accuracy,
    vqa_accuracy,
)
from internvl_ops.metrics.tables import tables_in, teds
from internvl_ops.metrics.yes_no import pope_answer, pope_scores, yes_no_word

__all__ = [
    "Located",
    "anls",
    "bleu",
    "character_errors",
    "cider",
    "edits",
    "error_rate",
    "exact_match",
    "gqa_match",
    "hit",
    "internvl_letter",
    "iou",
    "mmbench_letter",
    "mme_scores",
    "mvbench_hit",
    "ocrbench_hit",
    "pope_answer",
    "pope_scores",
    "precision_at_05",
    "relaxed_accuracy",
    "rouge_l",
    "tables_in",
    "teds",
    "tokens",
    "video_mme_letter",
    "video_mme_option",
    "vqa_accuracy",
    "word_errors",
    "yes_no_word",
    "yes_or_no",
]
