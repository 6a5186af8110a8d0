"""Errors of the try-out.

TryoutError
├── PartError      nats-server, the collector or the agent did not start, or ended
├── ForeignError   something on this machine has our name and is not ours
└── ProofError     the kernel did not hold, or the answer did not take effect

Quit is no error: the person at the terminal has had enough.
"""

import signal

from deploy.bootstrap.errors import Interrupted


class TryoutError(Exception):
    """Base of everything that the try-out raises; its text names the place and the remedy."""


class PartError(TryoutError):
    """A part of Holdfast did not start, or ended by itself."""


class ForeignError(TryoutError):
    """Something on this machine has our name and is not ours, so it is left alone."""


class ProofError(TryoutError):
    """The kernel did not hold, or the answer did not take effect: the try-out has failed."""


class Quit(Interrupted):
    """The person at the terminal pressed q; the run ends as Ctrl-C ends it."""

    def __init__(self) -> None:
        super().__init__(signal.SIGINT)
