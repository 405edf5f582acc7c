"""Pushes an export to the Hugging Face Hub: all of it in one commit, and nothing if nothing
changed."""

from __future__ import annotations

import re
from typing import Any

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_text
from pipelines.exports.options import ExportOptions
from pipelines.exports.target import DONE, Target

_REPO = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


def check_push(options: ExportOptions) -> None:
    """Refuses an export that cannot be pushed.

    Raises:
        ConfigurationError: Naming the option.
    """
    repo = options.push_to_hub
    if repo is None:
        if options.private:
            raise ConfigurationError(
                "--private has no effect without --push-to-hub. Leave it out, or add the other."
            )
        return
    if options.to != "hf":
        raise ConfigurationError(
            f"--push-to-hub {repo} is for --to hf; asked for is --to {options.to}."
        )
    if not _REPO.fullmatch(repo):
        raise ConfigurationError(f"--push-to-hub {repo}: give OWNER/NAME of a dataset on the Hub.")
    if not Target(options.output).local:
        raise ConfigurationError(
            f"--push-to-hub {repo}: the export has to be on a local disk to be pushed."
        )


def push(options: ExportOptions) -> str:
    """Pushes the export in the target, and removes from the repository the data files that it does
    not have.

    Returns:
        The address of the commit.

    Raises:
        OSError: The Hub refuses, or does not answer.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    target, repo, api = Target(options.output), str(options.push_to_hub), HfApi()
    done = target.done() or {}
    try:
        api.create_repo(repo, repo_type="dataset", private=options.private or None, exist_ok=True)
        there = api.list_repo_files(repo, repo_type="dataset")
        names = [*done["files"], DONE]
        operations: list[Any] = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=target.path(name))
            for name in names
        ]
        stale = sorted(name for name in there if name.startswith("data/") and name not in names)
        operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        message = f"{done['rows_out']:,} answers of {done['model']}"
        commit = api.create_commit(repo, operations, commit_message=message, repo_type="dataset")
    except (HfHubHTTPError, ValueError) as error:
        said = safe_text(" ".join(str(error).split()))
        raise OSError(
            f"--push-to-hub {repo}: {said:.600}. The export in {options.output} is whole; repeat"
            " the command to push it."
        ) from None
    return str(commit.commit_url)
