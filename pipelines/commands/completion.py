"""Completion of commands, options and values in bash, zsh and fish, by the library argcomplete."""

from __future__ import annotations

import argparse
import os
import typing
from collections.abc import Sequence

import argcomplete
from argcomplete import shell_integration
from argcomplete.completers import ChoicesCompleter

from internvl_ops.errors import ConfigurationError
from pipelines.commands.registry import COMMANDS, PROGRAM
from pipelines.options.command_line import exit_with, make_parser, show
from pipelines.options.config_file import bare
from pipelines.options.messages import nearest

# What each shell needs, and the file that it reads at its start.
SHELLS = {
    "bash": f'eval "$({PROGRAM} completion bash)"  # in ~/.bashrc',
    "zsh": f'eval "$({PROGRAM} completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": f"{PROGRAM} completion fish | source  # in ~/.config/fish/config.fish",
}


def main(program: str, argv: Sequence[str]) -> int:
    """Prints the script of the shell that the argument names."""
    if not argv or argv[0] in ("-h", "--help"):
        show("\n".join([COMMANDS["completion"].description, "", *SHELLS.values()]))
        return 0 if argv else 2
    if len(argv) > 1:
        said = f"{' '.join(argv)}: give the name of one shell alone: {', '.join(SHELLS)}."
        exit_with(ConfigurationError(said))
    (shell,) = argv
    if shell not in SHELLS:
        exit_with(
            ConfigurationError(f"{shell}: allowed are {', '.join(SHELLS)}.{nearest(shell, SHELLS)}")
        )
    show(shell_integration.shellcode([PROGRAM], shell=shell))
    return 0


def complete() -> None:
    """Answers the shell, which calls the program with the line so far in its environment, and ends
    the process."""
    before = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", 0))].split(" ")
    name = before[1] if len(before) > 2 else ""
    if name not in COMMANDS:
        parser = argparse.ArgumentParser(PROGRAM)
        parser.add_argument("--version", action="store_true")
        parser.add_argument("command", choices=list(COMMANDS))
        argcomplete.autocomplete(parser, always_complete_options=False)
        return
    os.environ["_ARGCOMPLETE"] = "2"  # the first word is left out: the command is the program
    argcomplete.autocomplete(_parser_of(name))


def _parser_of(name: str) -> argparse.ArgumentParser:
    command = COMMANDS[name]
    if not command.options:
        parser = argparse.ArgumentParser(name)
        values = {
            "schema": [row.name for row in COMMANDS.values() if row.options],
            "completion": list(SHELLS),
        }
        if name in values:
            parser.add_argument("value", choices=values[name])
        return parser
    cls = command.options_class()
    parser = make_parser(cls, **command.parser_arguments(name))
    for action in parser._actions:
        field = cls.model_fields.get(action.dest)
        annotation = None if field is None else bare(field.annotation)
        if typing.get_origin(annotation) is typing.Literal:
            action.completer = ChoicesCompleter(list(typing.get_args(annotation)))  # type: ignore
    return parser
