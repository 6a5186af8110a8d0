"""Runs one module of CPython's tests, and says of each test what came of it."""

import os
import sys
import unittest
from collections.abc import Iterator
from typing import Any

# The tests say much themselves: what we say goes by a descriptor of its own.
_OUT = os.dup(1)
_NOTHING = os.open(os.devnull, os.O_RDWR)
os.dup2(_NOTHING, 1)
os.dup2(_NOTHING, 2)
_ME = os.getpid()


class Said(unittest.TestResult):
    """Says of each test, as it ends, what came of it; a part that fails is its test's failure."""

    def __init__(self) -> None:
        super().__init__()
        self._outcome = "ok"

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's own name
        """Begin with the best."""
        super().startTest(test)
        self._outcome = "ok"

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Note an error."""
        super().addError(test, err)
        self._outcome = f"error {err[0].__name__}"
        if not isinstance(test, unittest.TestCase) or hasattr(test, "description"):
            _say(str(test), self._outcome)  # a class or module that could not be set up

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """Note a failure."""
        super().addFailure(test, err)
        self._outcome = "failed"

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        """Note what came of a part."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._outcome = "failed in a part"

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """Note that it was skipped; why may name numbers that vary."""
        super().addSkip(test, reason)
        self._outcome = "skipped"

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Say it."""
        super().stopTest(test)
        _say(test.id(), self._outcome)


def _say(key: str, value: str) -> None:
    # A child that a test has forked and that comes this far is no run of ours.
    if os.getpid() == _ME:
        os.write(_OUT, f"{key}: {value}\n".encode())


def _each(suite: Any) -> Iterator[unittest.TestCase]:
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from _each(one)
        else:
            yield one


def main() -> None:
    """Run the module that is named first, without the tests that are named after it."""
    module, *left_out = sys.argv[1:]
    sys.argv[1:] = []
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    chosen = [one for one in _each(suite) if one.id() not in left_out]
    unittest.TestSuite(chosen).run(Said())
    _say("tests", str(len(chosen)))
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the end of the interpreter
    os._exit(0)


main()
