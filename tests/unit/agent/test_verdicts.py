"""What the host obeys, and everything that it refuses and why."""

from dataclasses import replace

import pytest

from agent.holds.model import Hold
from agent.verdicts import Checker, Late, Obey, Refused, Repeated
from tests.support.holds import hold_of, verdict_on
from wire import codec
from wire.ids import HoldId, HostId, VerdictId, new_id
from wire.messages import Answer, Comment, Ground, HoldStateName, Verdict
from wire.signing import Signer, Verifier

KEY = Signer.generate()
HOLD = hold_of(deadline_boot_ns=1_000)


def checked(
    verdict: Verdict,
    *,
    hold: Hold | None = HOLD,
    used: HoldId | None = None,
    boot_ns: int = 500,
    signer: Signer = KEY,
) -> Obey | Late | Repeated | Refused:
    """Return what is said to a verdict by a host that has `hold`."""
    checker = Checker(
        host=HostId("a" * 32),
        boot_id="boot-1",
        verifier=Verifier(frozenset({KEY.key_id})),
        find=lambda hold_id: hold if hold and hold.id == hold_id else None,
        used=lambda verdict_id: used,
    )
    data = codec.encode(verdict)
    return checker.check(data, signer.headers(data), boot_ns)


GOOD = verdict_on(HOLD, Answer.APPROVE)


def test_a_good_verdict_is_obeyed() -> None:
    """Signed, for this host, this boot, this act, in time."""
    assert checked(GOOD) == Obey(GOOD)


@pytest.mark.parametrize("ground", [Ground.RULE, Ground.TIMEOUT_POLICY, Ground.EMERGENCY])
def test_a_ground_that_only_the_host_can_have_is_refused(ground: Ground) -> None:
    """A centre cannot dress a release up as a timeout."""
    outcome = checked(replace(GOOD, ground=ground))
    assert isinstance(outcome, Refused)
    assert "no centre may give" in outcome.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": HostId("b" * 32)}, "for host"),
        ({"hold": HoldId("c" * 32)}, "not one of this host"),
        ({"digest": "other"}, "another act"),
        ({"boot_id": "boot-0"}, "another boot"),
        ({"expires_boot_ns": 0}, "no expiry"),
    ],
)
def test_a_verdict_that_does_not_fit_is_refused(changes: dict[str, object], reason: str) -> None:
    """Each thing that it is bound to is checked."""
    outcome = checked(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert isinstance(outcome, Refused)
    assert reason in outcome.reason


@pytest.mark.parametrize(("ends", "late"), [(400, True), (500, True), (501, False)])
def test_a_verdict_whose_own_life_is_over_is_late(ends: int, late: bool) -> None:
    """Though its hold waits on: who broke the glass meant that moment."""
    glass = replace(GOOD, ground=Ground.BREAK_GLASS, expires_boot_ns=ends)
    assert isinstance(checked(glass), Late if late else Obey)


def test_a_verdict_that_is_not_signed_by_a_trusted_key_is_refused() -> None:
    """Unsigned, signed by another, and signed over other bytes."""
    data = codec.encode(GOOD)
    other = codec.encode(replace(GOOD, answer=Answer.DENY))
    assert isinstance(checked(GOOD, signer=Signer.generate()), Refused)
    checker = Checker(
        host=HostId("a" * 32),
        boot_id="boot-1",
        verifier=Verifier(frozenset({KEY.key_id})),
        find=lambda hold_id: HOLD,
        used=lambda verdict_id: None,
    )
    for headers in (None, {}, KEY.headers(other)):
        assert isinstance(checker.check(data, headers, 500), Refused)


def test_another_signed_message_is_no_verdict() -> None:
    """The right key over the wrong kind of message moves nothing, and rubbish raises nothing."""
    comment = Comment(
        comment=VerdictId(new_id()),  # type: ignore[arg-type]
        request=GOOD.request,
        by="ann",
        via="cli",
        text="fine",
        time_ns=1,
    )
    checker = Checker(
        host=HostId("a" * 32),
        boot_id="boot-1",
        verifier=Verifier(frozenset({KEY.key_id})),
        find=lambda hold_id: HOLD,
        used=lambda verdict_id: None,
    )
    for data in (codec.encode(comment), b"", b"\xc1", b"\x93\x01\x02\x03"):
        assert isinstance(checker.check(data, KEY.headers(data), 500), Refused)


def test_a_verdict_that_was_used_on_another_hold_is_refused() -> None:
    """One verdict opens one hold."""
    outcome = checked(GOOD, used=HoldId("d" * 32))
    assert isinstance(outcome, Refused)
    assert "used before" in outcome.reason


def test_the_same_verdict_again_is_no_complaint() -> None:
    """The stream may deliver it twice."""
    assert checked(GOOD, used=HOLD.id) == Repeated(GOOD)


def test_no_verdict_outlives_the_deadline_of_its_hold() -> None:
    """Whatever it says of its own life."""
    outcome = checked(replace(GOOD, expires_boot_ns=9_000), boot_ns=1_000)
    assert isinstance(outcome, Refused)
    assert "its deadline has come" in outcome.reason


@pytest.mark.parametrize("state", [HoldStateName.EXPIRED, HoldStateName.CANCELLED])
def test_an_answer_to_a_wait_that_is_over_is_late(state: HoldStateName) -> None:
    """It is worth recording, not obeying."""
    hold = replace(HOLD, state=state, finished=True)
    assert checked(GOOD, hold=hold) == Late(GOOD, hold)


@pytest.mark.parametrize("state", [HoldStateName.APPROVED, HoldStateName.DENIED])
def test_a_second_answer_is_refused(state: HoldStateName) -> None:
    """There is one decision."""
    assert isinstance(checked(GOOD, hold=replace(HOLD, state=state)), Refused)
