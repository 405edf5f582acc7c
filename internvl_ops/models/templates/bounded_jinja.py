"""Renders a Jinja template that came with a checkpoint, within limits of time and memory.

Jinja's sandbox prevents access to the system, but not endless loops. So a separate process renders
the template.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 3  # a template is a few pages of text and renders in milliseconds
MEMORY_BYTES = 1 << 30
OUTPUT_BYTES = 1 << 20
_REFUSED = 3  # exit status: the template refuses these values


class Unbounded(Exception):
    """The template needs more time, memory or output than any chat template does."""


def render_jinja(source: str, values: dict[str, Any]) -> str | None:
    """The template's text; None if it refuses the values.

    Args:
        source: The template.
        values: The template's variables, as plain JSON.

    Raises:
        Unbounded: The template did not finish within the limits.
    """
    given = json.dumps({"source": source, "values": values})
    try:
        ended = subprocess.run(
            [sys.executable, "-I", __file__],
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS * 2,
        )
    except subprocess.TimeoutExpired:
        raise Unbounded from None
    if ended.returncode == _REFUSED:
        return None
    if ended.returncode != 0:
        raise Unbounded
    return str(json.loads(ended.stdout))


def _main() -> None:
    import resource

    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    given = json.load(sys.stdin)
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    try:
        text = environment.from_string(given["source"]).render(**given["values"])
    except (
        TemplateError,
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        AttributeError,
        RecursionError,
    ):
        sys.exit(_REFUSED)
    if len(text) > OUTPUT_BYTES:
        sys.exit(1)
    json.dump(text, sys.stdout)


if __name__ == "__main__":
    _main()
