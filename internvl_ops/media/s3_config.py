"""How S3 is reached: one reading of what the operator configured, for manifests, media and outputs alike.

Credentials, region, endpoint and profile come from the usual ``AWS_*`` variables and files, which botocore reads. What
s3fs takes besides comes from its ``FSSPEC_S3_*`` variables and configuration files.
"""

from __future__ import annotations

import json
import os
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import safe_uri, without_credentials

ANONYMOUS = "Set AWS_NO_SIGN_REQUEST=true to read a public bucket anonymously"
_YES = frozenset({"1", "true", "yes", "on"})
_SWITCHES = ("anon", "requester_pays", "use_ssl")
_OBJECTS = ("client_kwargs", "config_kwargs", "s3_additional_kwargs")


def options(**config: Any) -> dict[str, Any]:
    """Arguments of ``S3FileSystem``.

    Args:
        config: What this use wants of botocore's ``Config``; what the operator configured there wins.
    """
    # A variable is a text, and s3fs would take "false" for true.
    import fsspec  # takes a while, and only who reads S3 needs it

    told: dict[str, Any] = {**fsspec.config.conf.get("s3", {}), **fsspec.config.conf.get("s3a", {}), **_variables()}
    found: dict[str, Any] = {name: _switch(told[name]) for name in _SWITCHES if name in told}
    found |= {name: _object(told[name]) for name in _OBJECTS if name in told}
    if _switch(os.environ.get("AWS_NO_SIGN_REQUEST", "")):
        found["anon"] = True
    found["config_kwargs"] = config | found.get("config_kwargs", {})
    return found


def refuse_keys(option: str, uri: str) -> None:
    """Refuses ``s3://KEY:SECRET@bucket``: an address is repeated in logs and listings.

    Raises:
        ConfigurationError: Without the keys.
    """
    if without_credentials(uri) != uri:
        raise ConfigurationError(
            f"{option} {safe_uri(uri)}: no keys are taken from an address. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and leave them out of it."
        )


def _variables() -> dict[str, str]:
    """What ``FSSPEC_S3_*`` variables say now, which need not be what they said when fsspec was imported."""
    prefix = "FSSPEC_S3_"
    return {
        name[len(prefix) :].lower(): value for name, value in os.environ.items() if name.startswith(prefix) and value
    }


def environment() -> tuple[tuple[str, str], ...]:
    """The variables that decide how S3 is reached."""
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith(("AWS_", "FSSPEC_S3"))))


def _switch(value: Any) -> bool:
    return value.strip().lower() in _YES if isinstance(value, str) else bool(value)


def _object(value: Any) -> dict[str, Any]:
    return dict(json.loads(value) if isinstance(value, str) else value)
