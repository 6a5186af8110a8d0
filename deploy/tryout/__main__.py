"""The second half of deploy/try: the terminal's side of the run, and its composition root."""

import argparse
import contextlib
import errno
import os
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.bootstrap.commands import interruptible
from deploy.bootstrap.errors import BusyError, Interrupted, SetupError
from deploy.bootstrap.progress import Progress
from deploy.tryout import leftovers, record
from deploy.tryout.board import Board
from deploy.tryout.errors import Quit, TryoutError
from deploy.tryout.link import Keeper
from deploy.tryout.places import COMMAND

_PICTURE_WIDTH = 104
_GOODBYE = """
Nothing of this is running any more. Next:
  [cyan]docs/install.md[/cyan]   sets Holdfast up for good
  [cyan]docs/rules.md[/cyan]     how to write rules
  [cyan]docs/security.md[/cyan]  what Holdfast can and cannot promise"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for: an answer for all, or a picture of the first hold."""

    answer: str | None
    picture: Path | None


def main() -> int:
    """Run the try-out; return its exit code."""
    began = time.monotonic()
    options = _options()
    try:
        interruptible()
        with _terminal_as_found():
            _run(options, began)
    except Quit as quitting:
        _complain(f"{COMMAND}: you quit; nothing of it is left")
        return quitting.exit_code
    except Interrupted as interrupted:
        _complain(f"{COMMAND}: ended by {interrupted}; nothing of it is left")
        return interrupted.exit_code
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BusyError as error:
        _complain(str(error))  # it names the command itself, for the first half too
        return 1
    except (TryoutError, SetupError) as error:
        _complain(f"{COMMAND}: {error}")
        return 1
    from rich.console import Console

    Console(highlight=False).print(_GOODBYE)
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--answer", choices=("approve", "deny"))
    parser.add_argument("--record", type=Path)
    parsed = parser.parse_args()
    return Options(parsed.answer, parsed.record)


def _run(options: Options, began: float) -> None:
    progress = Progress(sys.stdout)
    lock = record.enter()
    keeper: Keeper | None = None
    failed = True
    try:
        for thing in leftovers.clean():
            progress.line(f"an earlier run was cut off; removed {thing}")
        board = Board()
        keeper = Keeper(board, progress, lock)
        _walk(options, board, keeper, began)
        failed = False
    except Interrupted:
        failed = False
        progress.transient("  … ending everything in order")
        raise
    except (OSError, termios.error) as error:
        # A terminal that was closed is no fault of what ran, whose logs nobody will look for.
        failed = (error.args or (0,))[0] not in (errno.EIO, errno.EPIPE)
        if failed or isinstance(error, BrokenPipeError):
            raise
        raise Interrupted(signal.SIGHUP) from error
    finally:
        if keeper is not None:
            undone = keeper.stop(keep_logs=failed)
            for note in undone.notes:
                _complain(note)
        else:
            record.leave()
        os.close(lock)
    if not undone.clean:
        raise TryoutError("the walk went well, but not everything could be undone; see above")


def _walk(options: Options, board: Board, keeper: Keeper, began: float) -> None:
    # Imported while the parts of Holdfast start, for which a person waits.
    from rich.console import Console

    from deploy.tryout.answering import AtTheTerminal, Unattended
    from deploy.tryout.reviewer import Reviewer
    from deploy.tryout.walk import Answering, Walk

    picture = options.picture
    console = Console(
        highlight=False, record=picture is not None, width=_PICTURE_WIDTH if picture else None
    )
    answering: Answering = (
        Unattended(console, options.answer)
        if options.answer
        else AtTheTerminal(console, board, sys.stdin.fileno())
    )
    access = keeper.wait_until_ready()
    print(f"Holdfast is ready; its services started in {time.monotonic() - began:.1f} s.\n")
    with Reviewer(access, board) as reviewer:
        Walk(console, board, reviewer, keeper.give_task, answering).run(picture)


@contextmanager
def _terminal_as_found() -> Iterator[None]:
    """Give the terminal back as it was, also when an answer was being typed."""
    try:
        found = termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, found)


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
