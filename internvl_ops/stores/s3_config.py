"""S3 settings, read from the operator's configuration in one place for manifests, media and
outputs.

Credentials, region, endpoint and profile come from the usual ``AWS_*`` variables and files, which
botocore reads. Other settings of s3fs come from its ``FSSPEC_S3_*`` variables and configuration
files.
"""

from __future__ import annotations

import json
import os
from typing import Any

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.stores.remote import OURS

ANONYMOUS = f"Add {keyword('s3_anonymous')} to read a public bucket without credentials"
_YES = frozenset({"1", "true", "yes", "on"})
_SWITCHES = frozenset(
    {
        "anon",
        "requester_pays",
        "use_ssl",
        "version_aware",
        "cache_regions",
        "default_fill_cache",
        "fixed_upload_size",
        "local_expiry_check",
    }
)
_NUMBERS = frozenset({"default_block_size", "max_concurrency"})
_PROXIES = frozenset({"http_proxy", "https_proxy", "no_proxy"})
_OBJECTS = frozenset({"client_kwargs", "config_kwargs", "s3_additional_kwargs"})


def options(
    *, anonymous: bool = False, requester_pays: bool = False, **config: Any
) -> dict[str, Any]:
    """Arguments of ``S3FileSystem``.

    Args:
        anonymous: Sign nothing, whatever credentials there are.
        requester_pays: Pay for the requests.
        config: This caller's values for botocore's ``Config``; the operator's configuration
            overrides them.

    Raises:
        ConfigurationError: A setting has the wrong type.
    """
    import fsspec  # imported here because it is slow and only S3 needs it

    told: dict[str, Any] = {
        **fsspec.config.conf.get("s3", {}),
        **fsspec.config.conf.get("s3a", {}),
        **_variables(),
    }
    found = {name: _typed(name, value) for name, value in told.items() if name not in OURS}
    if anonymous or _switch(os.environ.get("AWS_NO_SIGN_REQUEST", "")):
        found["anon"] = True
    if requester_pays:
        found["requester_pays"] = True
    found["config_kwargs"] = config | found.get("config_kwargs", {})
    return found


def _variables() -> dict[str, Any]:
    """The current values of ``FSSPEC_S3`` and ``FSSPEC_S3_*``, which may have changed since the
    import of fsspec.

    They are read here because fsspec reads values as JSON where it can, and turns a key of digits
    into a number.
    """
    found: dict[str, Any] = {}
    for prefix in ("FSSPEC_S3", "FSSPEC_S3A"):
        if whole := os.environ.get(prefix):
            found |= _object(prefix, whole)
        found |= {
            name[len(prefix) + 1 :].lower(): value
            for name, value in os.environ.items()
            if name.startswith(f"{prefix}_") and value
        }
    return found


def _typed(name: str, value: Any) -> Any:
    """A setting in the type that s3fs expects. A variable is always text, and s3fs would treat
    "false" as true."""
    if name in _SWITCHES:
        return _switch(value)
    if name in _OBJECTS:
        return _object(f"FSSPEC_S3_{name.upper()}", value)
    if name in _NUMBERS:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ConfigurationError(
                f"FSSPEC_S3_{name.upper()} {value!r:.80}: a number is needed."
            ) from None
    return str(value) if isinstance(value, int | float) else value


def _switch(value: Any) -> bool:
    return value.strip().lower() in _YES if isinstance(value, str) else bool(value)


def _object(name: str, value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
        return dict(found)
    except (TypeError, ValueError):
        # The value is not repeated: it may hold a secret.
        raise ConfigurationError(
            f'{name}: a JSON object is needed, such as {{"region_name": "eu-west-1"}}.'
        ) from None


def environment() -> tuple[tuple[str, str], ...]:
    """The environment variables that decide how S3 is reached."""
    return tuple(
        sorted(
            (name, value)
            for name, value in os.environ.items()
            if name.startswith(("AWS_", "FSSPEC_S3")) or name.lower() in _PROXIES
        )
    )
