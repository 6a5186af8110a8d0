"""Errors of the command line; each has the exit code that scripts rely on.

CliError                1  anything else that failed
├── UsageError          2  the words or values given cannot be used
├── AccessError         3  not signed in, or the role may not do this
├── NotFoundError       4  no such request, or the prefix fits several
├── OverError           5  already decided, expired, or gone
├── UnreachableError    6  the centre does not answer, or cannot do its work now
└── OwnRequestError     7  nobody decides their own request
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class CliError(Exception):
    """What went wrong (`message`), what to do (`remedy`), and `code`, the word for programs.

    The texts may quote others and are sanitised when they are printed.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, code: str, message: str, remedy: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.extra: Mapping[str, Any] = dict(extra or {})

    def as_dict(self) -> dict[str, Any]:
        """Return the error as --json prints it."""
        own = {"code": self.code, "message": self.message, "remedy": self.remedy}
        return {"error": {**self.extra, **own, "exit": self.exit_code}}


class UsageError(CliError):
    """The words or values given cannot be used."""

    exit_code = 2


class AccessError(CliError):
    """Not signed in, or the role may not do this."""

    exit_code = 3


class NotFoundError(CliError):
    """There is no such request, or the prefix fits several."""

    exit_code = 4


class OverError(CliError):
    """The request is decided, expired or gone; the message says by whom and when."""

    exit_code = 5


class UnreachableError(CliError):
    """The centre does not answer, or cannot do its work now."""

    exit_code = 6


class OwnRequestError(CliError):
    """The request is the caller's own."""

    exit_code = 7
