"""A centre whose people sign in at a real identity provider, both on loopback."""

from collections.abc import Iterator

import pytest

from tests.support.identity_site import Site, run_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a site that a module's tests share; each test names accounts of its own."""
    with run_site(tmp_path_factory.mktemp("site")) as made:
        yield made
