"""Ids that a stateful test can have again: as random as others, and the same for the same seed.

Votes of one moment are counted in the order of their ids, so what may happen next depends on them.
"""

from random import Random
from types import SimpleNamespace

import pytest

import wire.ids


class SteadyIds:
    """Has every new id follow from a seed until `end`."""

    def __init__(self, seed: int = 0) -> None:
        self._patch = pytest.MonkeyPatch()
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Let the ids from here on follow from another seed."""
        random = Random(seed)
        source = SimpleNamespace(token_hex=lambda size: random.randbytes(size).hex())
        self._patch.setattr(wire.ids, "secrets", source)

    def end(self) -> None:
        """Let ids be unguessable again."""
        self._patch.undo()
