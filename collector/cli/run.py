"""What every command has: the options that all of them take, the centre, and the two outputs.

Data goes to standard output, everything else to standard error. With --json, data is JSON in
plain ASCII, so that no quoted text reaches the terminal as anything but letters.
"""

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.cli.errors import CliError, UsageError
from collector.cli.settings import Access, find_access

if TYPE_CHECKING:
    from rich.console import Console

    from collector.cli.client import Centre

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, with the keys of the API; errors too.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Address of the centre. Also HOLDFAST_URL.", metavar="URL"),
]
TokenFileOption = Annotated[
    str | None,
    typer.Option(
        "--token-file",
        help="File with the token, - for stdin. Also HOLDFAST_TOKEN.",
        metavar="FILE",
    ),
]
_PIPE_WIDTH = 200


class Run:
    """One invocation. `json`, `url` and `token_file` may be set before and after the command."""

    def __init__(self) -> None:
        self.json = False
        self.url: str | None = None
        self.token_file: str | None = None
        self._centre: Centre | None = None

    def take(self, *, json_output: bool, url: str | None, token_file: str | None) -> None:
        """Take in options; what is given later wins."""
        self.json = self.json or json_output
        self.url = url or self.url
        self.token_file = token_file or self.token_file

    def access(self) -> Access:
        """Return the address and token in force; raise CliError if there is none."""
        return find_access(self.url, self.token_file)

    @property
    def centre(self) -> "Centre":
        """The connection, made when it is first needed."""
        from collector.cli.client import Centre

        if self._centre is None:
            self._centre = Centre(self.access())
        return self._centre

    def close(self) -> None:
        """End the connection."""
        if self._centre is not None:
            self._centre.close()

    @functools.cached_property
    def console(self) -> "Console":
        """Standard output for people."""
        return make_console(sys.stdout)

    @functools.cached_property
    def errors(self) -> "Console":
        """Standard error."""
        return make_console(sys.stderr)

    def print_json(self, value: Any) -> None:
        """Print one JSON value on a line of its own."""
        sys.stdout.write(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Print a line for people; its text must be sanitised already. Nothing with --json."""
        if not self.json:
            _plain(self.console, text)

    def note(self, text: str) -> None:
        """Print a line beside the data, on standard error. Nothing with --json."""
        if not self.json:
            _plain(self.errors, text)

    def fail(self, error: CliError) -> None:
        """Print an error: one line for people, JSON with --json; on standard error."""
        from collector.sanitize import harmless

        if self.json:
            sys.stderr.write(json.dumps(error.as_dict(), ensure_ascii=True) + "\n")
            return
        remedy = f"; {error.remedy}" if error.remedy else ""
        sys.stderr.write(f"holdfast: {harmless(error.message + remedy)}\n")

    @staticmethod
    def is_interactive() -> bool:
        """Say whether a person can be asked: input and output are a terminal."""
        return sys.stdin.isatty() and sys.stdout.isatty()


def make_console(file: Any) -> "Console":
    """Return a console that reads nothing as markup; wide where there is no terminal."""
    from rich.console import Console

    width = None if file.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], None]:
    """Add a function to the command line. Its first argument is the Run, the others its options.

    The options that every command takes are added here, so that they may stand anywhere.
    """

    def add(function: Callable[..., None]) -> None:
        given = inspect.signature(function, eval_str=True)
        own = list(given.parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY

        @functools.wraps(function)
        def call(
            ctx: typer.Context,
            json_output: bool,
            url: str | None,
            token_file: str | None,
            **options: Any,
        ) -> None:
            run: Run = ctx.obj
            run.take(json_output=json_output, url=url, token_file=token_file)
            try:
                function(run, **options)
            finally:
                run.close()

        shared = [
            inspect.Parameter("json_output", keyword, default=False, annotation=JsonOption),
            inspect.Parameter("url", keyword, default=None, annotation=UrlOption),
            inspect.Parameter("token_file", keyword, default=None, annotation=TokenFileOption),
        ]
        context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
        parameters = [
            context,
            *(one.replace(kind=keyword) for one in own),
            *shared,
        ]
        # Typer reads the signature, and older versions of it the annotations.
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        del call.__wrapped__
        app.command(name)(call)

    return add


def need_terminal(run: Run, what: str, remedy: str) -> None:
    """Raise UsageError unless a person can be asked."""
    if run.json or not run.is_interactive():
        raise UsageError("no_terminal", f"{what} needs a terminal", remedy)


def _plain(console: "Console", text: str) -> None:
    from rich.text import Text

    console.print(Text(text), soft_wrap=True)
