"""Checks the address of a Ray cluster before Ray uses it: Ray itself waits for minutes, or ends
with a traceback."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri

PROBE_S = 5.0
_HOST_PORT = re.compile(r"(?:ray://)?(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(\d{1,5})/?")
# `ray job submit` sets this in the environment of a job.
_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def address_of(options: Any) -> tuple[str, str]:
    """The address, and the option or variable that gave it."""
    if options.ray_address:
        return options.ray_address, "--ray-address"
    given = os.environ.get("RAY_ADDRESS", "").strip()
    return (given, "RAY_ADDRESS") if given else ("local", "--ray-address")


def check_address(options: Any) -> None:
    """Refuses an address that cannot be that of a cluster.

    Raises:
        ConfigurationError: The address is invalid; the message shows valid forms.
    """
    address, where = address_of(options)
    if address in ("local", "auto"):
        return
    found = _HOST_PORT.fullmatch(address)
    if found is not None and 0 < int(found[2]) < 65536:
        return
    why = "is no address of a Ray cluster"
    if address.startswith(("http://", "https://")):
        why = "is the address of a dashboard, which `ray job submit` takes"
    raise ConfigurationError(
        f"{where} {safe_uri(address)}: {why}. Give HOST:6379 on a node of the cluster,"
        " ray://HOST:10001 from outside, auto, or local."
    )


def check_listening(address: str, where: str) -> None:
    """Checks that something listens at the address.

    Raises:
        ConfigurationError: Nothing does, within a few seconds.
    """
    found = _HOST_PORT.fullmatch(address)
    if found is None:
        return
    host, port = found[1].strip("[]"), int(found[2])
    try:
        socket.create_connection((host, port), PROBE_S).close()
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise ConfigurationError(
            f"{where} {address}: nothing listens there ({reason}, within {PROBE_S:g} s). Start the"
            f" cluster (ray start --head --port {port}), mend the address, or leave it out for a"
            " local one."
        ) from None


def check_ray_job(options: Any) -> None:
    """Refuses relative paths within `ray job submit`: they would point into a temporary folder of
    the head node.

    Raises:
        ConfigurationError: A path is relative; the message shows what it would resolve to.
    """
    if _RAY_JOB not in os.environ:
        return
    for name in ("input", "output", "media_root", "annotations", "subtitles", "lora", "model"):
        value = getattr(options, name, None)
        if (
            not value
            or "://" in value
            or os.path.isabs(value.rpartition("=")[2] if name == "lora" else value)
        ):
            continue
        if name == "model" and not Path(value).exists():
            continue  # a name on the model hub
        raise ConfigurationError(
            f"--{name.replace('_', '-')} {value}: a job of `ray job submit` runs in a temporary"
            f" folder of the head node, so that this would be {os.path.abspath(value)}. Give an"
            " absolute path that every node sees, or a URI of a store, such as s3://."
        )
