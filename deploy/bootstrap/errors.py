"""Errors of the set-up.

SetupError
├── UnsupportedError   this system cannot run Holdfast; one line says why
├── MissingError       something is missing that only root may install
├── CommandError       a command of the set-up failed; its last output is in the text
└── BusyError          another run of ours holds what this one needs

Interrupted is no error: a person or the system asked the run to end.
"""

import signal


class SetupError(Exception):
    """Base of everything that the set-up raises; its text names the place and the remedy."""


class UnsupportedError(SetupError):
    """This system cannot run Holdfast."""


class MissingError(SetupError):
    """Something is missing that this run may not install."""


class CommandError(SetupError):
    """A command of the set-up failed."""


class BusyError(SetupError):
    """Another run of ours holds what this one needs."""


class Interrupted(BaseException):
    """A signal asked the run to end; not an Exception, so that no handler swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that this signal ended."""
        return 128 + self.number
