"""The table of schemes, and what the text of a URI says by it. Imports no store, so it costs
nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ONE_SLASH = re.compile(r"file:/(?!/)", re.IGNORECASE)


@dataclass(frozen=True)
class Scheme:
    """One scheme of URIs.

    Args:
        name: As it stands in a URI.
        title: The name of the store, for people.
        store: Module and class, ``module:Class``.
        aliases: Other spellings, which mean the same.
        package: The fsspec implementation to import; empty if none is needed.
        extra: Extra of this package that installs it; empty if it is always there.
        levels: Number of parts of the path that name the bucket or repository.
        lists: Whether the store can list a folder.
        written: Whether an output may lie there.
        creates: By what a file is written only if there is none: the fencing of the lease relies on
            it. Empty if the store cannot do so.
        version: What identifies the version of a file.
        credentials: Where credentials come from.
        hadoop: Its name in Hadoop and Spark, if it is another.
    """

    name: str
    title: str
    store: str
    aliases: tuple[str, ...] = ()
    package: str = ""
    extra: str = ""
    levels: int = 1
    lists: bool = True
    written: bool = True
    creates: str = ""
    version: str = "ETag"
    credentials: str = ""
    hadoop: str = ""

    @property
    def example(self) -> str:
        """The beginning of its URIs, for messages."""
        return f"{self.name}://"


_WEB = Scheme(
    "http",
    "web servers",
    "internvl_ops.stores.web:WebStore",
    package="aiohttp",
    lists=False,
    written=False,
    version="ETag or `Last-Modified`",
    credentials="none",
)
_ALL = (
    Scheme(
        "file",
        "local disk",
        "internvl_ops.stores.local:LocalStore",
        levels=0,
        creates="exclusive creation (`O_EXCL`)",
        version="size and time of change",
        credentials="none",
    ),
    Scheme(
        "s3",
        "Amazon S3, and stores with its interface",
        "internvl_ops.stores.s3:S3Store",
        aliases=("s3a", "s3n"),
        package="s3fs",
        creates="`If-None-Match: *`",
        credentials="`AWS_*`, `FSSPEC_S3_*`, `~/.aws`",
        hadoop="s3a",
    ),
    _WEB,
    replace(_WEB, name="https"),
    Scheme(
        "gs",
        "Google Cloud Storage",
        "internvl_ops.stores.gcs:GcsStore",
        aliases=("gcs",),
        package="gcsfs",
        extra="gcs",
        creates="`ifGenerationMatch=0`",
        version="generation",
        credentials=(
            "`GOOGLE_APPLICATION_CREDENTIALS` and the other application defaults, `FSSPEC_GS_*`"
        ),
    ),
    Scheme(
        "az",
        "Azure Blob Storage and Data Lake",
        "internvl_ops.stores.azure:AzureStore",
        aliases=("abfs", "abfss"),
        package="adlfs",
        extra="azure",
        creates="`If-None-Match: *`",
        credentials="`AZURE_STORAGE_*`, Azure's default credential, `FSSPEC_AZ_*`",
        hadoop="abfss",
    ),
    Scheme(
        "oss",
        "Alibaba Cloud OSS",
        "internvl_ops.stores.oss:OssStore",
        package="ossfs",
        extra="oss",
        creates="`x-oss-forbid-overwrite`",
        credentials="`OSS_ACCESS_KEY_ID`, `OSS_ACCESS_KEY_SECRET`, `OSS_ENDPOINT`, `FSSPEC_OSS_*`",
    ),
    Scheme(
        "hf",
        "Hugging Face Hub",
        "internvl_ops.stores.hub:HubStore",
        package="huggingface_hub",
        levels=3,
        written=False,
        version="hash of the content",
        credentials="`HF_TOKEN`, `HF_ENDPOINT`, `hf auth login`",
    ),
)
SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in _ALL}
LOCAL = SCHEMES["file"]
HUB_KINDS = ("models", "datasets", "spaces", "buckets")


def trimmed(uri: str) -> str:
    """Without the spaces that table cells have around URLs. Names of files and objects may contain
    spaces.

    ``file:/path``, as Java and Spark write it, becomes ``file:///path``.
    """
    bare = uri.strip()
    if bare[:7].lower() == "http://" or bare[:8].lower() == "https://":
        return bare
    bare = uri.lstrip()
    if one_slash := _ONE_SLASH.match(bare):
        return f"file://{bare[one_slash.end() - 1 :]}"
    return bare if SCHEME.match(bare) or bare[:5].lower() == "data:" else uri


def scheme_named(name: str) -> Scheme | None:
    """The scheme of this name or alias; None if it is not known."""
    name = name.lower()
    return SCHEMES.get(name) or next(
        (scheme for scheme in SCHEMES.values() if name in scheme.aliases), None
    )


def scheme_of(uri: str) -> Scheme:
    """The scheme of a URI whose scheme is known. A text without ``://`` is a local path."""
    match = SCHEME.match(uri)
    found = scheme_named(match[1]) if match else LOCAL
    if found is None:
        raise ValueError(f"no store has the scheme of {uri!r}")
    return found


def canonical(uri: str) -> str:
    """The URI with the scheme's own name; a local path without ``file://``."""
    match = SCHEME.match(uri)
    scheme = scheme_named(match[1]) if match else None
    if match is None or scheme is None:
        return uri
    rest = uri[match.end() :]
    if scheme.name == "hf" and rest.partition("/")[0] not in HUB_KINDS:
        rest = f"models/{rest}"  # a model's repository may be named without its kind
    return rest if scheme is LOCAL else f"{scheme.name}://{rest}"


def split_uri(uri: str) -> tuple[str, str]:
    """The bucket (or repository) and the key of a canonical URI; both without slashes at their
    ends."""
    match = SCHEME.match(uri)
    scheme = scheme_of(uri)
    if match is None or not scheme.levels:
        return "", uri
    parts = uri[match.end() :].split("/", scheme.levels)
    return "/".join(parts[: scheme.levels]).strip("/"), (
        parts[scheme.levels] if len(parts) > scheme.levels else ""
    )


def has_buckets(name: str) -> bool:
    """Whether URIs of the scheme of this name are a bucket (or repository) and a key in it."""
    scheme = scheme_named(name)
    return scheme is not None and scheme.lists and scheme is not LOCAL


def stores_in_words(*, written: bool = False) -> str:
    """The stores by the beginnings of their URIs, for the descriptions of options.

    Args:
        written: Whether to leave out those that keep no output.
    """
    kept = [one for one in SCHEMES.values() if one.lists and one is not LOCAL]
    return ", ".join(one.example for one in kept if one.written or not written)


def written_places() -> str:
    """Places for an output, for messages."""
    kept = [
        scheme
        for scheme in SCHEMES.values()
        if scheme.written and scheme.name not in ("file", "s3")
    ]
    return f"a local path or s3://bucket/prefix, or {', '.join(map(_with_extra, kept))}"


def read_schemes() -> str:
    """Schemes that are read, for messages."""
    return (
        "local paths and"
        f" {', '.join(_with_extra(scheme) for scheme in SCHEMES.values() if scheme is not LOCAL)}"
    )


def _with_extra(scheme: Scheme) -> str:
    return f"{scheme.example} (internvl-batch[{scheme.extra}])" if scheme.extra else scheme.example
