"""The first half of deploy/try: on the system's Python, brings the machine up to the second half.

Nothing is started, mounted or made here but packages and .venv, so it can be cut off anywhere.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from deploy.bootstrap import packages, system
from deploy.bootstrap.commands import ENDING, interruptible
from deploy.bootstrap.environment import Environment
from deploy.bootstrap.errors import BusyError, Interrupted, SetupError
from deploy.bootstrap.progress import Progress
from deploy.tryout import leftovers, record
from deploy.tryout.errors import TryoutError
from deploy.tryout.places import CHECKOUT, COMMAND

_ABOUT = """\
Sets up Holdfast on this machine on loopback, lets a demonstration AI user run a command, open a
secret file and connect to the outside, and asks you each time. Needs root, since it loads BPF
programs. When it ends, however it ends, nothing of it is left but Debian's packages and, in the
checkout, .venv, holdfast.egg-info and the compiled programs in .cache/programs. A run that fails
keeps its logs in /var/tmp and says where."""


def main() -> int:
    """Do what the command line asks for; return the exit code, unless the second half runs."""
    options = _options()
    progress = Progress()
    interruptible()
    try:
        remark = system.check_this_system(COMMAND)
        system.check_root(COMMAND)
        if options.clean:
            return _clean()
        if not options.answer and not sys.stdin.isatty():
            raise TryoutError(
                f"{COMMAND}: there is no terminal to answer at; use --answer approve or deny"
            )
        if remark:
            progress.line(remark)
        packages.ensure(packages.FOR_KERNEL + packages.FOR_ENVIRONMENT, progress, COMMAND)
        environment = Environment(CHECKOUT)
        environment.ensure(("collector", "nats-server"), progress)
    except BusyError as error:
        print(error, file=sys.stderr)
        return 1
    except (SetupError, TryoutError) as error:
        print(error, file=sys.stderr)
        return 2
    except Interrupted as interrupted:
        print(f"\n{COMMAND}: ended by {interrupted}; nothing was started", file=sys.stderr)
        return interrupted.exit_code
    _go_on(environment, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=_ABOUT)
    parser.add_argument("--answer", choices=("approve", "deny"), help="answer all, ask nobody")
    parser.add_argument("--record", metavar="FILE.svg", help="write a picture of the first hold")
    parser.add_argument(
        "--clean", action="store_true", help="remove what a killed run has left, and kept logs"
    )
    return parser.parse_args()


def _clean() -> int:
    lock = record.enter()
    try:
        found = leftovers.clean() + leftovers.remove_logs()
    finally:
        record.leave()
        os.close(lock)
    for thing in found:
        print(f"removed {thing}")
    if not found:
        print(f"{COMMAND}: nothing was left to remove")
    return 0


def _go_on(environment: Environment, options: argparse.Namespace) -> None:
    """Become the second half, in the environment; does not return."""
    arguments = ["--answer", options.answer] if options.answer else []
    if options.record:
        arguments += ["--record", str(Path(options.record).absolute())]
    os.chdir(CHECKOUT)
    if CHECKOUT.stat().st_uid != os.geteuid():
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    python = str(environment.python)
    # Until the second half listens for them, the ending signals wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    os.execv(python, [python, "-m", "deploy.tryout", *arguments])  # noqa: S606
