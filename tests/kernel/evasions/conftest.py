"""What the ways round Holdfast have in common: a secret that rules ask about."""

from pathlib import Path

import pytest

from tests.support.evasions import VAULT
from tests.support.watched import Watched


@pytest.fixture
def secret(watched: Watched) -> Path:
    """A file that a rule names in full; `vault/other` beside it falls under a pattern."""
    watched.rules(VAULT)
    vault = watched.place / "vault"
    vault.mkdir()
    vault.chmod(0o777)
    for name in ("secret", "other"):
        (vault / name).write_text("swordfish")
        (vault / name).chmod(0o666)
    return vault / "secret"
