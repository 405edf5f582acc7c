"""A preview that collects its answers instead of showing them on a terminal."""

from __future__ import annotations

from typing import Any

from internvl_ops.errors import UnitError
from internvl_ops.preparer import Prepared
from internvl_ops.replies import Reply
from internvl_ops.tasks import Answered
from internvl_ops.tasks.boxes import Box
from pipelines.commands.preview_run import Preview
from pipelines.library.keywords import in_keywords
from pipelines.library.previews import Answer


class Collecting(Preview):
    """Keeps an `Answer` for each input, page or clip in ``answers``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answers: list[Answer] = []
        self._last: Reply | None = None

    def load(self) -> None: ...

    def begin(self, name: str, prepared: Prepared) -> None: ...

    def ask(self, question: str) -> None: ...

    def grow(self, text: str) -> None: ...

    def finish(self, text: str, reply: Reply, seconds: float) -> None:
        self._last = reply

    def end(self, name: str, answered: Answered, values: Any, prepared: Prepared) -> None:
        boxes = [Box(**box) for box in values.get("boxes") or []]
        assert self._last is not None, "a task asks at least one question"
        self.answers.append(
            Answer(
                name,
                text=answered.response,
                boxes=tuple(boxes),
                values=values,
                picture=self.picture(prepared, boxes),
                prompt_tokens=self._last.prompt_tokens,
                completion_tokens=self._last.completion_tokens,
                finish_reason=self._last.finish_reason,
            )
        )

    def fail(self, name: str, error: UnitError) -> None:
        self.answers.append(Answer(name, error=in_keywords(str(error))))
