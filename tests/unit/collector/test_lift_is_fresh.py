"""Quarantining only takes away; to lift one asks for as fresh a proof as what is critical."""

from pathlib import Path

import pytest

from collector.errors import Refusal
from collector.identity.people import Caller, Role
from collector.oidc.settings import Oidc
from collector.oidc.step_up import check_fresh
from tests.support.pages_alone import pages_alone
from wire.ids import HostId
from wire.messages import Severity

ANN = Caller(name="ann@example.com", role=Role.REVIEWER, logins=(), token="t")  # noqa: S106 - an id


async def test_lifting_asks_for_a_fresh_proof_and_quarantining_does_not(tmp_path: Path) -> None:
    """What is refused leaves the quarantine in force."""
    asked: list[tuple[Severity, str]] = []

    def stale(caller: Caller, severity: Severity, now_ns: int, *, what: str = "") -> None:
        asked.append((severity, what))
        raise Refusal(403, "step_up_required", "too long ago", "sign in again")

    async with pages_alone(tmp_path, check_fresh=stale) as pages:
        issuer = pages.app.state.services.issuer
        host = HostId("a" * 32)
        known = await issuer.quarantine(ANN, "ai-worker", host, reason="a look", via="web")
        assert asked == []
        with pytest.raises(Refusal) as refused:
            await issuer.lift(ANN, known, asked=(), reason="fine", via="web")
        assert refused.value.code == "step_up_required"
        assert asked == [(Severity.CRITICAL, "a quarantine is lifted")]
        assert issuer.ledger.quarantine(known.id).lifted is None


async def test_the_refusal_speaks_of_the_quarantine() -> None:
    """Nobody has asked to decide a request."""
    settings = Oidc(issuer="https://id.example.com")
    with pytest.raises(Refusal) as refused:
        check_fresh(ANN, Severity.CRITICAL, settings, 0, what="a quarantine is lifted")
    assert refused.value.message.startswith("a quarantine is lifted within 300 s of signing in")
    assert "request" not in refused.value.message
    with pytest.raises(Refusal, match="a request of severity critical is decided within 300 s"):
        check_fresh(ANN, Severity.CRITICAL, settings, 0)
