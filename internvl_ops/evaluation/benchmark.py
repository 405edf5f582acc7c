"""The types that describe a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from internvl_ops.evaluation.releases import Release

if TYPE_CHECKING:
    from internvl_ops.evaluation.page_truths import PageRule

BenchmarkRow = Mapping[str, Any]
NoLetter = Literal["skip", "text", "wrong"]


@dataclass(frozen=True)
class Sample:
    """One question of a benchmark, and its outcome.

    Attributes:
        id: Unique; identifies the question in the data.
        split: The part of the benchmark that it belongs to.
        judgement: What a judge model said about the answer; empty if it was not asked, or failed.
        response: The answer, without special tokens and surrounding whitespace; empty if the
            question failed.
        failed: Whether there is no answer because of an error.
        question: As in the data, without the benchmark's prompt.
        answers: The right answers.
        category: Scores are also given by category.
        group: Questions with the same group are scored together.
        options: The options to choose from, in order.
        box: x1, y1, x2, y2 in pixels.
        width: Width of the upright image, in pixels.
        height: Height of the upright image, in pixels.
    """

    id: str
    split: str
    response: str = ""
    judgement: str = ""
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
    """The results of a benchmark.

    Attributes:
        table: Figures by column of the published tables.
        categories: Figures by category.
    """

    table: dict[str, float]
    categories: dict[str, dict[str, float]] = field(default_factory=dict)


Score = Callable[[Sequence[Sample]], Sequence[float | None]]
Summary = Callable[[Sequence[Sample], Sequence[float]], Figures]


@dataclass(frozen=True)
class JudgeRule:
    """What a judge model is asked about an answer.

    Args:
        ask: The prompt; None if the answer needs no judge.
        accepts: Whether a judgement can be used; if not, the judge is asked again.
        max_tokens: Maximum length of a judgement.
        column: The published column to compare with, by the name of the judge and the number of
            frames of a video.
        system: The judge's system prompt; empty for none.
    """

    ask: Callable[[Sample], str | None]
    accepts: Callable[[str], bool]
    max_tokens: int
    column: Callable[[str, str, int | None], str] = lambda column, judge, frames: column
    system: str = ""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Args:
        title: As in the published tables.
        metric: Describes its figure, for a person.
        prompt: The prompt, with ``{}`` for the row's question.
        needs: Required columns of the data: `read`'s name for each, with all names for it in the
            published forms.
        may_have: The same for optional columns.
        read: Makes fields of `Sample` from a row's values, named as in ``needs`` and ``may_have``,
            and its split. Raises ``ValueError`` if the row cannot be asked or scored.
        fields: Fields of `Sample` that `read` returns, besides the split; and ``start`` and
            ``end``, in seconds, if a row may be about a part of its video.
        score: Scores each sample; a failed one is wrong.
        summarise: Computes the figures from all samples and their scores.
        splits: Its published splits, as their files are named.
        media: ``image``, ``video`` or, of whole pages, ``document``.
        video_suffix: Suffix of videos that the data names without one. If it is empty, such a name
            is a folder of frames.
        folders: The benchmark's folders of videos, if the videos' names do not include the folder.
        place: Finds a video's path in those folders, or an image's path, from its name and its
            row's category.
        media_names: Columns that may hold the media, if they are not called as in most benchmarks;
            the first that there is counts.
        more_media: Columns that may hold further images of a row. If a row has several images, or a
            list of them, ``read`` finds their number as ``pictures``.
        truths: Suffixes of files with the right answer, which may stand beside the images of a
            folder in place of data.
        max_tiles: Maximum number of tiles of an image.
        max_new_tokens: Maximum length of an answer, in tokens.
        min_new_tokens: Minimum length of an answer, in tokens.
        num_frames: Number of frames of a video.
        frame_rule: How frames of a video are selected; see `VideoOptions`.
        frame_labels: How frames are numbered in the prompt; see `media.sampling.frame_labels`.
        exif: Whether images are turned upright by their EXIF orientation. The published scripts do
            not.
        subtitles: Settings of the variant that shows the model the subtitles of its videos, if
            there is one.
        no_letter: How an answer without a recognised letter counts; one of ``scores``.
        scores: Ways to score, by `no_letter`, if there are several; they replace ``score``.
        enlarge: How much the first image of a row is enlarged; see `tile_image`.
        tile_share: How several images of a row share their tiles; see `share_tile_budget`.
        judge: What a judge model is asked about the answers; None if there is no judge.
        pages: Where the pages and what is true of them are, of a benchmark about whole pages; None
            for one about the rows of a table. Such a benchmark has no ``read``.
        releases: For each release whose figure was measured with other settings, these settings.
    """

    title: str
    metric: str
    prompt: str
    needs: Mapping[str, tuple[str, ...]]
    read: Callable[[BenchmarkRow, str], dict[str, Any]]
    score: Score
    summarise: Summary
    fields: tuple[str, ...] = ("question", "answers")
    may_have: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    media: str = "image"
    video_suffix: str = ""
    folders: tuple[str, ...] = ()
    place: Callable[[str, str], str] | None = None
    media_names: tuple[str, ...] = ()
    more_media: tuple[str, ...] = ()
    truths: tuple[str, ...] = ()
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
    enlarge: int = 1
    tile_share: Literal["training", "evaluation"] = "training"
    judge: JudgeRule | None = None
    pages: PageRule | None = None
    releases: Mapping[Release, Mapping[str, Any]] = field(default_factory=dict)

    def for_release(self, release: Release) -> Benchmark:
        """The benchmark with the settings used for the checkpoints of a release."""
        return replace(self, **self.releases.get(release, {}))

    def with_subtitles(self) -> Benchmark:
        """The variant that shows subtitles."""
        return replace(self, **self.subtitles)

    def evaluate(self, samples: Sequence[Sample]) -> tuple[list[float | None], Figures]:
        """The score of each sample, None if it counts in no figure, and the figures of all
        samples."""
        score = self.score if self.no_letter is None else self.scores[self.no_letter]
        scores = list(score(samples))
        counted = [
            (sample, given)
            for sample, given in zip(samples, scores, strict=True)
            if given is not None
        ]
        return scores, self.summarise(
            [sample for sample, _ in counted], [given for _, given in counted]
        )
