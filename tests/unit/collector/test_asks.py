"""Asks as values: what they become, how they end, and who cannot pretend to one."""

from dataclasses import replace
from pathlib import Path

import pytest

from collector.approvals.record import Record, RequestState
from collector.approvals.register import Changed, Register, Rejected
from collector.asks.desk import Asks, Wanted
from collector.asks.opened import ASK_HOST, as_opened
from collector.asks.settings import AskSettings, bounded
from collector.card import render, summary
from collector.errors import Refusal, StateError
from collector.identity.hosts import add_host
from collector.identity.people import Caller, Role
from tests.support.desk import desk
from tests.support.wire_host import opened
from wire.acts import Kind, act_digest
from wire.ids import HostId, RequestId, new_id
from wire.messages import Answer, AskOpened, Decision, Ground, Severity

HOSTILE = "\x1b[2J\u202e" + "x" * 500 + "\u200b`<!channel>`\n"


def ask(**changes: object) -> AskOpened:
    """Return an ask of a machine."""
    made = AskOpened(
        request=RequestId(new_id()),
        by="ci",
        machine=True,
        owner="alice@example.com",
        action="deploy",
        resource="production/web",
        why="release 1.4.2",
        details={"version": "1.4.2"},
        severity=Severity.HIGH,
        opened_ns=10**18,
        deadline_ns=10**18 + 60 * 10**9,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def decided(record: Record, ground: Ground, answer: Answer = Answer.DENY) -> Decision:
    """Return a decision on a request."""
    return Decision(
        request=record.id,
        answer=answer,
        ground=ground,
        by="ann",
        via="web",
        reason="",
        digest=record.opened.digest,
        votes=(),
        time_ns=10**18 + 1,
    )


@pytest.mark.parametrize(
    ("ground", "answer", "state"),
    [
        (Ground.DECISION, Answer.APPROVE, RequestState.APPROVED),
        (Ground.DECISION, Answer.DENY, RequestState.DENIED),
        (Ground.BREAK_GLASS, Answer.APPROVE, RequestState.APPROVED),
        (Ground.TIMEOUT_POLICY, Answer.DENY, RequestState.EXPIRED),
        (Ground.WITHDRAWN, Answer.DENY, RequestState.CANCELLED),
    ],
)
def test_the_decision_is_the_end_of_an_ask(
    ground: Ground, answer: Answer, state: RequestState
) -> None:
    """There is no host that could say more, and none that a verdict could go to."""
    register = Register()
    first = register.opened(as_opened(ask()))
    assert isinstance(first, Changed)
    assert (first.record.state, first.record.finished) == (RequestState.OPEN, False)
    then = register.said(decided(first.record, ground, answer))
    assert isinstance(then, Changed)
    assert (then.record.state, then.record.finished) == (state, True)
    assert not then.record.wants_verdict
    assert "host to confirm" not in render(then.record.opened, (), then.record.decision).state_line


def test_a_held_act_cannot_be_withdrawn() -> None:
    """That would end the wait of a process which nobody has decided about."""
    register = Register()
    held = register.opened(opened(HostId("a" * 32)))
    assert isinstance(held, Changed)
    assert isinstance(register.said(decided(held.record, Ground.WITHDRAWN)), Rejected)
    assert register.unfinished()[0].state is RequestState.OPEN


def test_no_hold_takes_the_place_of_an_ask() -> None:
    """A host that guesses its id is refused, and so is the ask where a hold was first."""
    asked = as_opened(ask())
    held = opened(HostId("a" * 32), hold=asked.hold)
    for first, second in ((asked, held), (held, asked)):
        register = Register()
        assert isinstance(register.opened(first), Changed)
        assert isinstance(register.opened(second), Rejected)


def test_no_host_can_be_called_like_asks_are(tmp_path: Path) -> None:
    """A policy for the host `(ask)` is about asks alone."""
    name = as_opened(ask()).host_name
    with pytest.raises(StateError, match="letters"):
        add_host(tmp_path / "identities.db", host=HostId("a" * 32), name=name, nkey="U")
    assert as_opened(ask()).host == ASK_HOST


def test_an_ask_is_the_same_request_wherever_it_is_read() -> None:
    """The same bytes make the same digest; another resource makes another."""
    one = ask()
    assert as_opened(one) == as_opened(one)
    assert as_opened(one).digest == act_digest(as_opened(one).act)
    assert as_opened(one).digest != as_opened(replace(one, resource="staging/web")).digest


def test_a_card_of_an_ask_says_what_it_is() -> None:
    """Who asks what, who answers for it, that nothing is stopped; the claim last, as a claim."""
    card = render(as_opened(ask()))
    assert card.title == "ci: ask for deploy on production/web"
    assert card.tree == ()
    assert [fact.label for fact in card.facts] == [
        "Asked by",
        "Answers for it",
        "Action",
        "Resource",
        "Details",
        "Rule",
        "Why",
        "Severity",
        "If nobody answers",
        "Says why (claim of who asks, not checked)",
    ]
    assert "nothing is stopped" in card.guarantee
    assert "killed" not in " ".join(fact.text for fact in card.facts)
    assert summary(as_opened(ask()).act).what == "deploy on production/web"


def test_nothing_that_an_asker_writes_is_shown_raw_or_cut_silently() -> None:
    """In each of its texts; what does not fit is counted."""
    card = render(
        as_opened(
            ask(
                by=HOSTILE,
                owner=HOSTILE,
                resource=HOSTILE * 9,
                why=HOSTILE * 9,
                details={"a": HOSTILE},
            )
        )
    )
    shown = " ".join([card.title, *(fact.text for fact in card.facts)])
    assert not any(sign in shown for sign in "\x1b\u202e\u200b\n")
    assert card.hidden_bytes > 0


@pytest.mark.parametrize(
    ("wanted", "counts"),
    [
        (Severity.INFO, Severity.LOW),
        (Severity.MEDIUM, Severity.MEDIUM),
        (Severity.CRITICAL, Severity.HIGH),
    ],
)
def test_a_severity_is_moved_into_the_bounds(wanted: Severity, counts: Severity) -> None:
    """Whichever bound is nearer."""
    settings = AskSettings(least_severity=Severity.LOW, most_severity=Severity.HIGH)
    assert bounded(wanted, settings) is counts


async def test_a_machine_that_nobody_answers_for_asks_nothing(tmp_path: Path) -> None:
    """Refused before anything is stored: a token of before `--responsible` is one of these."""
    async with desk(tmp_path) as centre:
        nothing = None
        asks = Asks(centre.book, nothing, nothing, nothing, nothing, AskSettings())  # type: ignore[arg-type]
        caller = Caller("ci", Role.VIEWER, (), "t", machine=True, scopes=("asks:write",))
        with pytest.raises(Refusal) as refused:
            await asks.open(caller, Wanted(action="a", resource="b", why="c"))
    assert refused.value.code == "no_responsible"


async def test_an_ask_comes_back_from_the_trail_as_it_was(tmp_path: Path) -> None:
    """Open ones are taken up at a start, ended ones are not; both can be read."""
    async with desk(tmp_path) as centre:
        waits, over = ask(), ask()
        for one in (waits, over):
            await centre.tell_ask(one)
        known = centre.book.register.get(over.request)
        assert known is not None
        await centre.tell(decided(known, Ground.WITHDRAWN))
        await centre.restart()
        assert [one.id for one in centre.book.register.unfinished()] == [waits.request]
        found = await centre.book.get(over.request)
        assert found is not None
        assert (found.opened, found.state) == (as_opened(over), RequestState.CANCELLED)
        assert found.opened.act.kind is Kind.ASK
