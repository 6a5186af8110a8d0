"""A Holdfast of systemd units, in a VM that runs systemd; nowhere else is any of this collected."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.soak.measures import RESULTS, Measures
from tests.vm.soak.others import Others, others
from tests.vm.soak.site import (
    Site,
    keep_journal,
    prepare,
    remove_users,
    start_agent,
    start_centre,
    stop_agent,
)

_HERE = "HOLDFAST_TEST_HOOKS" in os.environ and Path("/run/systemd/system").is_dir()
collect_ignore = [] if _HERE else ["test_hangs.py", "test_jobs.py"]


@pytest.fixture(scope="session")
def prepared() -> Iterator[None]:
    """A machine with a disk that can hang, users and sshd."""
    try:
        prepare()
        yield
    finally:
        keep_journal()
        remove_users()


@pytest.fixture(scope="session")
def centre(prepared: None) -> None:
    """NATS and the collector, as deploy/systemd has them."""
    start_centre()


@pytest.fixture(scope="session")
def built(centre: None) -> Iterator[Site]:
    """The whole of it."""
    try:
        start_agent()
        one = Site()
        try:
            yield one
        finally:
            one.close()
    finally:
        stop_agent()


@pytest.fixture(scope="session")
def measures() -> Iterator[Measures]:
    """What is measured; written where the test outside looks for it."""
    one = Measures()
    yield one
    RESULTS.write_text(one.table(), encoding="utf-8")
    print(one.table())


@pytest.fixture(scope="session")
def plain(built: Site, measures: Measures) -> Iterator[Others]:
    """People who are no subjects, and what they do all the time."""
    with others(built, measures) as one:
        yield one
