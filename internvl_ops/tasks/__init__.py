"""Tasks: each module defines what the model is asked, and how its answer becomes columns."""

from internvl_ops.tasks.base import Task
from internvl_ops.tasks.caption import caption
from internvl_ops.tasks.conversation import Answered, Conversation, Dialogue
from internvl_ops.tasks.grounding import ground
from internvl_ops.tasks.judging import score
from internvl_ops.tasks.labelling import classify
from internvl_ops.tasks.ocr import ocr
from internvl_ops.tasks.outcomes import NUMBERS, TEXT, Outcome
from internvl_ops.tasks.question import ask
from internvl_ops.tasks.several import several

__all__ = [
    "NUMBERS",
    "TEXT",
    "Answered",
    "Conversation",
    "Dialogue",
    "Outcome",
    "Task",
    "ask",
    "caption",
    "classify",
    "ground",
    "ocr",
    "score",
    "several",
]
