"""One or a few files, answered in this process and shown in a notebook."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import io
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from internvl_ops.tasks.boxes import Box
from pipelines.commands.preview import PreviewOptions, prepared_preview
from pipelines.library.keywords import in_python, options_from
from pipelines.options.own_tasks import split_names, with_tasks

LONGEST_SIDE = 640  # pixels of a picture in a notebook


@dataclass(frozen=True)
class Answer:
    """The answer to one image, page or video.

    Args:
        name: The file; of a document with the page, of a video with the clip.
        text: The raw answer; empty if there is an error.
        boxes: Boxes that the task found, in pixels of the upright original.
        values: The task's columns.
        picture: What the model saw, with the boxes, as an image of Pillow; of a video the first
            frame. None if there is an error.
        prompt_tokens: Tokens of the last prompt.
        completion_tokens: Tokens of the last answer.
        finish_reason: Why the answer ended.
        error: Why there is no answer; None if there is one.
    """

    name: str
    text: str = ""
    boxes: tuple[Box, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    picture: Any = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""
    error: str | None = None

    def _repr_html_(self) -> str:
        said = html.escape(self.error or self.text)
        colour = "#b00020" if self.error else "inherit"
        rows = [f'<p style="white-space:pre-wrap;color:{colour}">{said}</p>']
        if self.boxes:
            rows += [
                f"<p>{len(self.boxes)} boxes:"
                f" {html.escape(', '.join(box.label for box in self.boxes))}</p>"
            ]
        if self.error is None:
            rows += [
                f"<small>{self.prompt_tokens} + {self.completion_tokens} tokens, "
                f"{html.escape(self.finish_reason)}</small>"
            ]
        caption = f"<figcaption>{html.escape(self.name)}</figcaption>"
        return f"<figure>{caption}{self._image()}{''.join(rows)}</figure>"

    def _image(self) -> str:
        if self.picture is None:
            return ""
        small = self.picture.copy()
        small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        buffer = io.BytesIO()
        small.save(buffer, "PNG")
        return (
            '<img alt=""'
            f' src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
        )


@dataclass(frozen=True)
class Answers(Sequence[Answer]):
    """The answers of a preview, in order; its own attributes are those of the first."""

    answers: tuple[Answer, ...]

    @property
    def text(self) -> str:
        return self.answers[0].text

    @property
    def boxes(self) -> tuple[Box, ...]:
        return self.answers[0].boxes

    @property
    def values(self) -> Mapping[str, Any]:
        return self.answers[0].values

    @property
    def picture(self) -> Any:
        return self.answers[0].picture

    @property
    def error(self) -> str | None:
        return self.answers[0].error

    def __getitem__(self, index: Any) -> Any:
        return self.answers[index]

    def __len__(self) -> int:
        return len(self.answers)

    def _repr_html_(self) -> str:
        return "".join(answer._repr_html_() for answer in self.answers)


def preview(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    question: str | None = None,
    *,
    model: str | os.PathLike[str],
    task: str | None = None,
    **options: Any,
) -> Answers:
    """Answers one or a few files in this process, without Ray: for finding a prompt.

    The engine is loaded for the call and ended with it, so give all files at once.

    Args:
        inputs: Images, PDFs or videos: local paths or URIs. Of a PDF the first page, unless
            ``pages`` names others.
        question: What is asked. Without it, the task's own prompt.
        model: InternVL checkpoint: a local directory or a Hugging Face name.
        task: Name of a task, or ``module:object`` of your own. By default ``ask`` if there is a
            question, and else ``caption``.
        options: The options of the command; ``internvl-batch preview --help`` describes all.

    Returns:
        The answers. A notebook shows them with their pictures.

    Raises:
        ConfigurationError: An option is wrong; the message names it, its value and what is allowed.
    """
    files = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    chosen = task or ("ask" if question else "caption")
    given = {**options, "inputs": files, "task": chosen, "model": model, "prompt": question}
    with in_python():
        options_class: Any = with_tasks(PreviewOptions, split_names(chosen), "task")
        make = prepared_preview(options_from(options_class, given))
        return _in_thread(make.args)


@contextlib.contextmanager
def _kept_environment() -> Iterator[None]:
    """Restores the environment variables, which an engine sets for itself."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _in_thread(arguments: Sequence[Any]) -> Answers:
    """Runs the preview in a thread, since the loop of a notebook's own thread runs already."""
    from pipelines.library.collecting import Collecting

    outcome: list[Any] = []

    def run() -> None:
        try:
            collecting = Collecting(*arguments)
            asyncio.run(collecting.run())
            outcome.append(Answers(tuple(collecting.answers)))
        except BaseException as error:
            outcome.append(error)

    with _kept_environment(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say while they load
        thread = threading.Thread(target=run, name="preview")
        thread.start()
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
