"""`holdfast`: puts the commands together; a failure becomes one line and an exit code."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from collector.cli import account, ask, orders, records, requests, sessions
from collector.cli.errors import CliError, UsageError
from collector.cli.run import JsonOption, Run, TokenFileOption, UrlOption, command

INTERRUPTED = 130
# Click's UsageError; typer brings its own copy of click, and shows only what inherits from it.
_UNUSABLE: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)

app = typer.Typer(
    name="holdfast",
    help="See what AI agents are stopped at, and decide it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from wire.release import installed_version

        sys.stdout.write(f"holdfast {installed_version()}\n")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    json_output: JsonOption = False,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    run: Run = ctx.obj
    run.take(json_output=json_output, url=url, token_file=token_file)


def _watch(
    run: Run,
    answer: Annotated[
        bool, typer.Option("--answer", help="Ask at the keyboard about each request.")
    ] = False,
) -> None:
    """Show requests as they come and change, until Ctrl-C; with --answer, decide them."""
    from collector.cli.watch import watch

    watch(run, answer=answer)


requests.add_to(app)
sessions.add_to(app)
ask.add_to(app)
command(app, "watch")(_watch)
orders.add_to(app)
records.add_to(app)
account.add_to(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit as docs/command-line.md says."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    run = Run()
    try:
        code: Any = app(args=words, prog_name="holdfast", standalone_mode=False, obj=run)
    except CliError as error:
        run.fail(error)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except _UNUSABLE as error:
        run.json = run.json or "--json" in words
        code = _usage(run, error)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(run: Run, error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(error.format_message() + "\n")
        return UsageError.exit_code
    place = error.ctx.command_path if error.ctx else "holdfast"
    # Newer versions of typer put the words of their own validation before the message.
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    problem = UsageError("usage", message, f"see `{place} --help`")
    run.fail(problem)
    return problem.exit_code


if __name__ == "__main__":
    main()
