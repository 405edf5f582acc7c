"""Runs the tries of a preview and shows them: on the terminal, as a page, and as the settings of a
job."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.preview_answers import Session, Tried, named_units
from pipelines.commands.preview_job import job_yaml
from pipelines.commands.preview_page import page_of
from pipelines.commands.preview_run import make_quiet
from pipelines.commands.preview_table import show_answers
from pipelines.commands.preview_talk import Talk
from pipelines.commands.preview_tries import Checked, Try, another, warn
from pipelines.commands.preview_units import draw_rows, units_of
from pipelines.output.continuity import own_columns_of
from pipelines.output.result_columns import kept_names

_PLAIN_WIDTH = 80  # columns, where the output is no terminal


class Showing:
    """One preview of several tries.

    Args:
        checked: What is to be tried.
        console: Where answers are shown; standard output by default.
    """

    def __init__(self, checked: Checked, console: Console | None = None) -> None:
        self._checked, self._options = checked, checked.options
        self._console = console or _console()
        self._rows = self._drawn()
        self.units = named_units(self._rows)
        self.tried: list[Tried] = []

    def run(self) -> int:
        """Answers, shows and writes; returns the exit status."""
        make_quiet()
        tries = [] if self._checked.waits else self._checked.tries
        if self._options.interactive:
            with self._session(self._checked.tries[0]) as session:
                for one in tries:
                    self._ask(session, one)
                self._show(self.tried)
                Talk(self, lambda prompt: self._typed(session, prompt), self._options.job).run()
        else:
            for _, group in groupby(tries, key=lambda one: one.engine):
                same = list(group)
                with self._session(same[0]) as session:
                    for one in same:
                        self._ask(session, one)
            self._show(self.tried)
        if self._options.page is not None:
            self.write_page(self._options.page)
        self._choose()
        return int(any(answer.error is not None for one in self.tried for answer in one.answers))

    def show_all(self) -> None:
        """Shows the answers of all tries once more, side by side."""
        self._show(self.tried)

    def write_page(self, path: str) -> None:
        """Writes the answers as a page.

        Raises:
            ConfigurationError: It cannot be written.
        """
        self._write(path, page_of(self.units, self.tried))

    def write_job(self, number: int, path: str) -> None:
        """Writes the settings of a try as a job's.

        Raises:
            ConfigurationError: There is no such try, or the file is there already or cannot be
                written.
        """
        chosen = next((one.attempt for one in self.tried if one.attempt.number == number), None)
        if chosen is None:
            raise ConfigurationError(
                f"{number}: no such number; 1 to {len(self.tried)} were tried."
            )
        if Path(path).expanduser().exists():
            raise ConfigurationError(f"{path} is there already. Remove it, or give another file.")
        self._write(path, job_yaml(chosen, of_files=self._options.input is None))

    def _write(self, path: str, text: str) -> None:
        try:
            Path(path).expanduser().write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}.") from None
        warn(f"written: {path}")

    def _drawn(self) -> pa.Table:
        plan, options, first = self._checked.plan, self._options, self._checked.tries[0]
        from_manifest = options.input is not None
        rows = draw_rows(
            plan, options.sample if from_manifest else len(options.inputs), options.sample_seed
        )
        names = kept_names(plan.schema, own_columns_of(first.options, plan, first.task))
        rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
        return units_of(rows, first.options, plan, options.sample_seed if from_manifest else None)

    @contextmanager
    def _session(self, first: Try) -> Iterator[Session]:
        lora = f" with {safe_uri(first.options.lora)}" if first.options.lora else ""
        warn(f"loading {safe_uri(first.options.model)}{lora}")
        session = Session(first, self._checked.plan)
        try:
            yield session
        finally:
            session.close()

    def _ask(self, session: Session, one: Try) -> Tried:
        def told(done: int) -> None:
            if sys.stderr.isatty():
                end = "\n" if done == len(self.units) else ""
                print(
                    f"\r{one.number}: {done} of {len(self.units)} answered",
                    end=end,
                    file=sys.stderr,
                    flush=True,
                )

        tried = session.answer(one, self._rows, self.units, told)
        self.tried.append(tried)
        return tried

    def _typed(self, session: Session, prompt: str) -> None:
        """A prompt was typed."""
        number = len(self.tried) + 1
        self._show([self._ask(session, another(self._checked, prompt, number))])

    def _show(self, tried: Sequence[Tried]) -> None:
        if tried:
            show_answers(self._console, self.units, tried)

    def _choose(self) -> None:
        options = self._options
        if options.choose is not None:
            self.write_job(options.choose, options.job)
        elif (
            len(self.tried) > 1
            and not options.interactive
            and sys.stdin.isatty()
            and sys.stdout.isatty()
        ):
            answer = input(
                f"Write which one to {options.job}? 1 to {len(self.tried)}, or Enter for none: "
            ).strip()
            if answer:
                self.write_job(int(answer) if answer.isdigit() else 0, options.job)


def _console() -> Console:
    """As wide as the terminal; 80 columns, and no colours, where there is none."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(width=_PLAIN_WIDTH, highlight=False, no_color=True)
