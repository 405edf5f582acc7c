"""Settles from options how media are read."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeAlias

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from internvl_ops.stores.base import Settings
from pipelines.options.job_options import InputOptions
from pipelines.options.media_options import MediaOptions
from pipelines.options.rules import as_given, changed, refuse
from pipelines.sources import SourcePlan

# The media readers import OpenCV, FFmpeg, PDFium and store clients, so a job imports them only
# after its options are checked.
if TYPE_CHECKING:
    from pydantic import SecretStr

    from internvl_ops.media.clips import ClipOptions
    from internvl_ops.media.parts import DecodeOptions
    from internvl_ops.preparer import ReadLimits

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "accept-encoding",
        "cookie",
        "range",
    }
)
# The kinds of media that an option applies to; options not listed apply to all kinds. `notices`
# reports a --max-tiles without effect instead of refusing it, because one command line may serve
# media of every kind.
_FOR: dict[str, tuple[MediaKind, ...]] = {
    "num_frames": ("video",),
    "frame_rule": ("video",),
    "fps": ("video",),
    "frames_fps": ("video",),
    "start": ("video",),
    "end": ("video",),
    "clip_seconds": ("video",),
    "clip_scenes": ("video",),
    "max_video_seconds": ("video",),
    "pages": ("document",),
    "dpi": ("document",),
    "pdf_password": ("document",),
    "max_pages": ("document",),
    "alpha": ("image",),
    "enlarge": ("image",),
    "tile_share": ("image",),
    "jpeg_scaling": ("image",),
    "combine_images": ("image",),
    "min_tiles": ("image", "document"),
    "tiling": ("image", "document"),
    "truncated": ("image", "video", "document"),
    "blank": ("image", "document"),
    "media_stats": ("image", "document"),
    "text_layer": ("document",),
}
ReaderArguments: TypeAlias = "tuple[ReadPolicy, DecodeOptions, ReadLimits]"


def reader_arguments(options: MediaOptions, policy: ReadPolicy, kind: MediaKind) -> ReaderArguments:
    """What a `MediaReader` is made of: the policy, and the options and limits for media of this
    kind."""
    return policy, decode_options(options, kind), read_limits(options)


def read_policy(options: InputOptions, plan: SourcePlan) -> ReadPolicy:
    """Which media of a job may be read, and the headers to request them with.

    Raises:
        ConfigurationError: A header is invalid or reserved, or it may be a secret and ``--allow``
            names no address.
    """
    return policy_of(plan.base, options.allow, options.http_header, options.store_settings)


def policy_of(
    base: str, allow: tuple[str, ...], headers: tuple[str, ...], settings: Settings
) -> ReadPolicy:
    """As `read_policy`, for a command without a plan.

    Args:
        base: Folder whose media may be read, and that relative URIs are relative to.
        allow: As the option.
        headers: As the option ``--http-header``.
        settings: How stores are read.
    """
    return ReadPolicy(
        base,
        allow,
        tuple(map(_header, headers)),
        s3_anonymous=settings.s3_anonymous,
        s3_requester_pays=settings.s3_requester_pays,
    )


def _header(said: str) -> tuple[str, str]:
    name, equals, value = said.partition("=")
    name, value = name.strip(), value.strip()
    # The message does not repeat the value: it may be a secret.
    if not (equals and _HEADER.fullmatch(name) and value.isprintable() and value):
        raise ConfigurationError(
            "--http-header: give NAME=VALUE, such as 'User-Agent=NAME (MAIL ADDRESS)'."
        )
    if name.lower() in _OURS:
        raise ConfigurationError(
            f"--http-header {name}=…: the fetches set it themselves. Leave it out."
        )
    return name, value


def read_limits(options: MediaOptions) -> ReadLimits:
    from internvl_ops.preparer import ReadLimits

    return ReadLimits(
        max_bytes=options.max_bytes,
        fetch_timeout_s=options.fetch_timeout,
        decode_timeout_s=options.decode_timeout,
        decode_memory_mib=options.decode_memory,
    )


def check_media_options(options: MediaOptions, kinds: MediaKind | Collection[MediaKind]) -> None:
    """Refuses options that have no effect on media of these kinds.

    Args:
        options: Options of a command.
        kinds: Kinds of its media; empty if it reads text alone.

    Raises:
        ConfigurationError: An option has no effect; the message names it and its value.
    """
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    read = " and ".join(f"{kind}s" for kind in kinds) or "text alone"
    names = (
        _FOR
        if kinds
        else dict.fromkeys([*MediaOptions.model_fields, "combine_images"], tuple(MEDIA_KINDS))
    )
    names = {name: for_kinds for name, for_kinds in names.items() if name != "max_tiles"}
    for name, for_kinds in names.items():
        if not set(kinds) & set(for_kinds) and changed(options, name):
            column = (
                f", or name the column with --{for_kinds[0]}-column"
                if hasattr(options, "video_column")
                else ""
            )
            raise ConfigurationError(
                f"{as_given(options, name)} is for {' or '.join(f'{kind}s' for kind in for_kinds)},"
                f" and the input has {read}. Leave it out{column}."
            )
    if options.fps is not None:
        refuse(options, ("num_frames",), "--fps takes frames by their time")
    clips = options.clip_scenes or options.clip_seconds is not None
    if clips and (options.start is not None or options.end is not None):
        raise ConfigurationError(
            "--start and --end are for whole videos; with --clip-seconds or --clip-scenes leave"
            " them out."
        )


def explodes(options: MediaOptions, kind: MediaKind) -> bool:
    """Whether a file becomes several units, as in `DecodeOptions.explodes`; does not import the
    media readers."""
    return kind == "document" or (
        kind == "video" and (options.clip_scenes or options.clip_seconds is not None)
    )


def decode_options(options: MediaOptions, kind: MediaKind) -> DecodeOptions:
    from internvl_ops.media.document import DocumentOptions
    from internvl_ops.media.image_options import ImageOptions
    from internvl_ops.media.parts import DecodeOptions
    from internvl_ops.media.video import VideoOptions

    tiles: dict[str, Any] = {
        "min_tiles": options.min_tiles,
        "max_tiles": options.max_tiles,
        "resize": options.resize,
    }
    exif: Any = getattr(options, "exif", "apply")  # only evaluation has this option
    return DecodeOptions(
        kind=kind,
        image=ImageOptions(
            max_pixels=options.max_pixels,
            alpha=options.alpha,
            truncated=options.truncated,
            jpeg_scaling=options.jpeg_scaling,
            exif=exif,
            enlarge=getattr(options, "enlarge", 1),  # only evaluation has this option
            **tiles,
        ),
        video=VideoOptions(
            num_frames=options.num_frames,
            rule=getattr(options, "frame_rule", "cards"),  # only evaluation has this option
            fps=options.fps,
            frames_fps=options.frames_fps,
            exif=exif,
            start=options.start,
            end=options.end,
            resize=options.resize,
            max_pixels=options.max_pixels,
            max_seconds=options.max_video_seconds,
            truncated=options.truncated,
        ),
        document=DocumentOptions(
            dpi=options.dpi,
            max_pixels=options.max_pixels,
            max_pages=options.max_pages,
            password=pdf_password(options.pdf_password),
            **tiles,
        ),
        clips=_clips(options),
        pages=options.pages,
        stats=options.media_stats,
        find_blank=options.blank == "skip",
        tile_share=getattr(options, "tile_share", "training"),  # only evaluation has this option
        text_layer=options.text_layer,
    )


def pdf_password(given: SecretStr | None) -> str:
    """The password for encrypted PDFs: the option's, or else that of the environment."""
    if given is not None:
        return given.get_secret_value()
    return os.environ.get("INTERNVL_PDF_PASSWORD", "")


def _clips(options: MediaOptions) -> ClipOptions | None:
    from internvl_ops.media.clips import ClipOptions

    limits: dict[str, Any] = {
        "max_pixels": options.max_pixels,
        "max_seconds": options.max_video_seconds,
        "frames_fps": options.frames_fps,
    }
    if options.clip_scenes:
        return ClipOptions(by="scenes", **limits)
    if options.clip_seconds is not None:
        return ClipOptions(by="length", length_s=options.clip_seconds, **limits)
    return None
