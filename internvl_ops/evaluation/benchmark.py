"""What a benchmark says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from internvl_ops.evaluation.releases import Release, release_of

Row = Mapping[str, Any]
NoLetter = Literal["skip", "text", "wrong"]


@dataclass(frozen=True)
class Sample:
    """One question of a benchmark, and what became of it.

    Attributes:
        id: Unique; where in the data the question stands.
        split: Which part of the benchmark it is of.
        response: The answer, without special tokens and the blanks around it; empty if the question failed.
        failed: Whether there is no answer because something went wrong.
        question: As read, without the benchmark's prompt.
        answers: The right ones.
        category: What scores are also given by.
        group: Questions that are scored together have the same.
        options: To choose from, in order.
        box: x1, y1, x2, y2 in pixels.
        width: Of the upright image, in pixels.
        height: Likewise.
    """

    id: str
    split: str
    response: str = ""
    failed: bool = False
    question: str = ""
    answers: Sequence[str] = ()
    category: str = ""
    group: str = ""
    options: Sequence[str] = ()
    box: Sequence[float] = ()
    width: int = 0
    height: int = 0


@dataclass
class Figures:
    """What a benchmark comes to.

    Attributes:
        table: By column of the published tables.
        categories: Figures by category.
    """

    table: dict[str, float]
    categories: dict[str, dict[str, float]] = field(default_factory=dict)


Score = Callable[[Sequence[Sample]], Sequence[float | None]]
Summary = Callable[[Sequence[Sample], Sequence[float]], Figures]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Args:
        title: As the published tables write it.
        metric: What its figure is, for a person.
        prompt: What is asked, with ``{}`` where the row's question goes.
        needs: Columns of the data by what `read` calls them, each with all names that the published forms have for it.
        may_have: The same for columns that need not be there.
        read: From a row's values, by the names in ``needs`` and ``may_have``, and the split it is of to fields of
            `Sample`. Raises ``ValueError`` where the row cannot be asked or scored.
        fields: Fields of `Sample` that `read` gives, besides the split; and ``start`` and ``end``, in seconds, where
            a row may be about a part of its video.
        score: Of each sample; a failed one is wrong.
        summarise: From all samples and their scores.
        splits: Its published splits, as their files are named.
        media: ``image`` or ``video``.
        video_suffix: Of videos that the data names without one. Where it is empty, such a name is a folder of frames.
        folders: In which the benchmark publishes its videos, where their names alone do not say the folder.
        place: From a video's name and its row's category to its place in those folders.
        max_tiles: Most tiles an image is cut into.
        max_new_tokens: Longest answer, in tokens.
        min_new_tokens: Shortest answer, in tokens.
        num_frames: Of a video.
        frame_rule: Which frames of a video are taken; see `VideoOptions`.
        frame_labels: How frames are numbered in the prompt; see `media.sampling.frame_labels`.
        exif: Whether images are turned upright by their EXIF orientation. The published scripts do not.
        subtitles: Settings of the variant that shows the model the subtitles of its videos, where there is one.
        no_letter: What an answer in which no letter is found counts as; one of ``scores``.
        scores: Ways to score, by `no_letter`, where there are several; instead of ``score``.
        releases: By release, the settings with which its figure was measured, where they are others.
    """

    title: str
    metric: str
    prompt: str
    needs: Mapping[str, tuple[str, ...]]
    read: Callable[[Row, str], dict[str, Any]]
    score: Score
    summarise: Summary
    fields: tuple[str, ...] = ("question", "answers")
    may_have: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    media: str = "image"
    video_suffix: str = ""
    folders: tuple[str, ...] = ()
    place: Callable[[str, str], str] | None = None
    max_tiles: int = 6
    max_new_tokens: int = 100
    min_new_tokens: int = 0
    num_frames: int = 8
    frame_rule: Literal["cards", "steps"] = "cards"
    frame_labels: Literal["cards", "training"] = "cards"
    exif: Literal["ignore", "apply"] = "ignore"
    subtitles: Mapping[str, Any] = field(default_factory=dict)
    no_letter: NoLetter | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    releases: Mapping[Release, Mapping[str, Any]] = field(default_factory=dict)

    def for_release(self, release: Release) -> Benchmark:
        """As the checkpoints of a release were measured."""
        return replace(self, **self.releases.get(release, {}))

    def with_subtitles(self) -> Benchmark:
        """The variant that shows subtitles."""
        return replace(self, **self.subtitles)

    def for_model(self, model: str) -> Benchmark:
        """As the checkpoint was measured, by its name or path."""
        return self.for_release(release_of(model))

    def evaluate(self, samples: Sequence[Sample]) -> tuple[list[float | None], Figures]:
        """The score of each sample, None of one that counts in no figure, and what all come to."""
        score = self.score if self.no_letter is None else self.scores[self.no_letter]
        scores = list(score(samples))
        counted = [(sample, given) for sample, given in zip(samples, scores, strict=True) if given is not None]
        return scores, self.summarise([sample for sample, _ in counted], [given for _, given in counted])
