"""Options of media: how files are fetched, decoded and cut into units and tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from internvl_ops.media.page_ranges import select_pages
from pipelines.options.numbers import (
    Places,
    Positive,
    PositiveSeconds,
)

if TYPE_CHECKING:
    pass


class MediaOptions(BaseModel):
    """Media"""

    max_tiles: Annotated[int, Field(ge=1, le=40)] = Field(12, description="Maximum number of tiles "
        "per image, not counting the thumbnail.")  # fmt: skip
    tiling: Literal["checkpoint", "always"] = Field("checkpoint", description="Which checkpoints "
        "get tiled images. checkpoint: those that were trained with them; V1.1 and V1.2 "
        "(dynamic_image_size false) get one tile per image, whatever --max-tiles says. always: all "
        "of them.")  # fmt: skip
    min_tiles: Annotated[int, Field(ge=1, le=40)] = Field(1, description="Minimum number of tiles "
        "per image.")  # fmt: skip
    resize: Literal["fast", "exact"] = Field("fast", description="How to resize images. exact: "
        "bit-identical with the model cards' code. fast: differs by at most 2/255 on under 1 % of "
        "values.")  # fmt: skip
    alpha: Literal["white", "drop"] = Field("white", description="How to handle transparency: "
        "composite it on white, or drop it as the model cards do.")  # fmt: skip
    blank: Literal["ask", "skip"] = Field("ask", description="What to do with an image or page "
        "that shows nothing. ask: ask the model all the same. skip: give it an empty answer with "
        "the finish_reason blank, and ask nothing; the default of OCR.")  # fmt: skip
    media_stats: bool = Field(False, description="Add measures of each image or page to its "
        "result: image_hash, image_phash, ink_share, sharpness, entropy.")  # fmt: skip
    truncated: Literal["error", "accept"] = Field("error", description="How to handle a file that "
        "ends early: as an error, or accept it and decode as much as possible.")  # fmt: skip
    jpeg_scaling: bool = Field(False, description="Let the decoder shrink JPEGs that are far "
        "larger than their tiles.")  # fmt: skip
    num_frames: Places = Field(8, description="Number of frames to take from a video, evenly "
        "spaced.")  # fmt: skip
    fps: Annotated[float, Field(gt=0)] | None = Field(None, description="Frames per second to take "
        "from a video, instead of --num-frames.")  # fmt: skip
    frames_fps: Annotated[float, Field(gt=0)] = Field(3, description="Frame rate, per second, of a "
        "video that is a folder, a glob or a list of frame images.")  # fmt: skip
    start: Annotated[float, Field(ge=0)] | None = Field(None, description="Start at this second of "
        "the video. A row's own start column has priority.")  # fmt: skip
    end: Annotated[float, Field(gt=0)] | None = Field(None, description="End at this second of the "
        "video. A row's own end column has priority.")  # fmt: skip
    clip_seconds: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Split videos into clips of this many seconds. Each clip is a unit, "
        "id#clip=n.")  # fmt: skip
    clip_scenes: bool = Field(False, description="Split videos at scene changes. Each scene is a "
        "unit, id#clip=n.")  # fmt: skip
    pages: str = Field("", description="Pages of a document to read, such as 1-3,7 or 10-. Each "
        "page is a unit, id#page=n. Default: all.")  # fmt: skip
    text_layer: Literal["ignore", "compare", "prefer", "prompt"] = Field("ignore", description=
        "What to do with the "
        "text that a PDF stores for a page. compare: report how answers differ from it, and flag "
        "what looks invented or omitted. prefer: use it as the answer where it is beyond doubt, "
        "with the finish_reason text_layer, and ask about the other pages; compare those. prompt: "
        "write its lines and their places into the question, and compare.")  # fmt: skip
    dpi: Annotated[float, Field(gt=0)] | None = Field(None, description="Resolution at which to "
        "render pages. Default: the one that fills --max-tiles.")  # fmt: skip
    pdf_password: SecretStr | None = Field(None, description="Password for encrypted PDFs. "
        "Default: the environment variable INTERNVL_PDF_PASSWORD, which other users of the machine "
        "cannot read.")  # fmt: skip
    max_bytes: Positive = Field(100_000_000, description="Largest file to fetch, in bytes.")
    max_pixels: Positive = Field(200_000_000, description="Largest image to decode, in pixels.")
    max_pages: Positive = Field(50_000, description="Maximum number of pages in a document.")
    max_video_seconds: PositiveSeconds = Field(
        6 * 3600, description="Longest video to decode, in seconds."
    )
    fetch_timeout: PositiveSeconds = Field(60, description="Time limit for one fetch, in seconds.")
    decode_timeout: PositiveSeconds = Field(60, description="Time limit for one decode, in "
        "seconds; with --clip-scenes, per minute of 1080p video.")  # fmt: skip
    decode_memory: Annotated[int, Field(ge=1, le=2**40)] = Field(
        4096, description="Memory limit for one decode, in MiB.")  # fmt: skip

    @field_validator("pages", mode="before")
    @classmethod
    def _pages_can_be_read(cls, given: Any) -> Any:
        given = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
        if isinstance(given, str):
            select_pages(given, 1)
        return given

    @field_validator("pdf_password", mode="before")
    @classmethod
    def _password_is_text(cls, given: Any) -> Any:
        return given if given is None or isinstance(given, SecretStr) else SecretStr(str(given))

    @field_validator("end")
    @classmethod
    def _end_follows_start(cls, end: float | None, info: ValidationInfo) -> float | None:
        start = info.data.get("start")
        if end is not None and start is not None and end <= start:
            raise ValueError(f"must be after --start {start:g}")
        return end

    @field_validator("clip_scenes")
    @classmethod
    def _clips_are_cut_in_one_way(cls, scenes: bool, info: ValidationInfo) -> bool:
        if scenes and info.data.get("clip_seconds") is not None:
            raise ValueError("cannot be combined with --clip-seconds; leave one of them out")
        return scenes
