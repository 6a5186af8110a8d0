"""Quarantining only takes away; to lift one asks for as fresh a proof as what is critical."""

from pathlib import Path

import pytest

from collector.errors import Refusal
from collector.identity.people import Caller, Role
from tests.support.pages_alone import pages_alone
from wire.ids import HostId
from wire.messages import Severity

ANN = Caller(name="ann@example.com", role=Role.REVIEWER, logins=(), token="t")  # noqa: S106 - an id


async def test_lifting_asks_for_a_fresh_proof_and_quarantining_does_not(tmp_path: Path) -> None:
    """What is refused leaves the quarantine in force."""
    asked: list[Severity] = []

    def stale(_: Caller, severity: Severity, __: int) -> None:
        asked.append(severity)
        raise Refusal(403, "step_up_required", "too long ago", "sign in again")

    async with pages_alone(tmp_path, check_fresh=stale) as pages:
        issuer = pages.app.state.services.issuer
        host = HostId("a" * 32)
        known = await issuer.quarantine(ANN, "ai-worker", host, reason="a look", via="web")
        assert asked == []
        with pytest.raises(Refusal) as refused:
            await issuer.lift(ANN, known, asked=(), reason="fine", via="web")
        assert (refused.value.code, asked) == ("step_up_required", [Severity.CRITICAL])
        assert issuer.ledger.quarantine(known.id).lifted is None
