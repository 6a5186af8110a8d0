"""What all tests share: those that need root say so, loudly, when it is not there."""

import os

import pytest

_NEED_ROOT = ("kernel", "end_to_end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root for anyone else, with the command that runs it."""
    if os.geteuid() == 0:
        return
    for item in items:
        for layer in _NEED_ROOT:
            if item.get_closest_marker(layer):
                item.add_marker(
                    pytest.mark.skip(reason=f"needs root: sudo tests/run --only {layer}")
                )
