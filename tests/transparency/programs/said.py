"""What every case in Python shares: one line of output for each result."""

import errno
import os
import sys
from collections.abc import Callable


def say(key: str, value: object) -> None:
    """Say one result. Nothing that varies by nature may stand in it."""
    os.write(1, f"{key}: {value}\n".encode())


def tried(key: str, call: Callable[[], object]) -> None:
    """Say what a call came to: its result, or the name of its error."""
    try:
        say(key, call())
    except OSError as error:
        say(key, f"{type(error).__name__} {errno.errorcode.get(error.errno or 0, error.errno)}")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this call's result
        say(key, f"{type(error).__name__} {error}")
    sys.stdout.flush()
