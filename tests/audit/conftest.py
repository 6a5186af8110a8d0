"""Fixtures of mode audit: a real auditd, a sensor that hears it, and users."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.site import Site
from tests.support.accounts import Accounts, accounts
from tests.support.auditd import Auditd, auditd
from tests.support.watched import subreaper

# After this one a machine has to boot; tests/vm/test_audit.py runs it in one that may.
collect_ignore = [] if "HOLDFAST_TEST_HOOKS" in os.environ else ["test_immutable.py"]
NAMES = ("holdfast-test-audit", "holdfast-test-audit-other", "holdfast-test-audit-group")


@pytest.fixture(scope="session")
def people() -> Iterator[Accounts]:
    """The users and the group of the tests."""
    with accounts(NAMES) as made:
        yield made


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may write to, by its real path."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as name:
        path = Path(name).resolve()
        path.chmod(0o777)
        yield path


@pytest.fixture(scope="session")
def session_daemon() -> Iterator[Auditd]:
    """A daemon for all tests; one that ends it starts it again."""
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-test-") as name,
        auditd(Path(name).resolve() / "auditd", queue=20_000) as one,
    ):
        yield one


@pytest.fixture
def site(session_daemon: Auditd, people: Accounts, place: Path) -> Iterator[Site]:
    """A sensor that hears the daemon and watches holdfast-test-ai, not started yet."""
    with subreaper():
        one = Site(session_daemon, people, place)
        try:
            yield one
        finally:
            one.close()
