"""A centre and a host that the tests of a file share, and the end of what they were forked from."""

from collections.abc import Iterator

import pytest

from tests.support.faulty_site import Site, site
from tests.support.mortal_agent import end_forkserver


@pytest.fixture(scope="session", autouse=True)
def _no_forkserver_is_left() -> Iterator[None]:
    yield
    end_forkserver()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One centre and one host, whose trail at the end tells of all that the file has done."""
    with site(tmp_path_factory.mktemp("site")) as built:
        yield built
