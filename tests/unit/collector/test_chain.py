"""What each batch of a host says about those before it."""

import pytest

from collector.trail.chain import Link, judge
from wire.chain import NOTHING_BEFORE

HEAD = Link(sequence=3, chain="c3", next_event=31)


def _kinds(head: Link | None, **options: object) -> list[str]:
    given: dict[str, object] = {"known": False, "before": None}
    return [one.kind for one in judge(head, **(given | options))]  # type: ignore[arg-type]


def test_the_first_batch_starts_the_chain() -> None:
    """Sequence 1, event 1, nothing before."""
    assert _kinds(None, sequence=1, first=1, previous=NOTHING_BEFORE) == []


def test_the_next_batch_follows() -> None:
    """The digest of the one before and the next event number."""
    assert _kinds(HEAD, sequence=4, first=31, previous="c3") == []


@pytest.mark.parametrize(
    ("head", "options", "kinds"),
    [
        (None, {"sequence": 1, "first": 1, "previous": "something"}, ["broken"]),
        (None, {"sequence": 1, "first": 5, "previous": NOTHING_BEFORE}, ["broken"]),
        (None, {"sequence": 7, "first": 61, "previous": "c6"}, ["gap"]),
        (HEAD, {"sequence": 4, "first": 31, "previous": "other"}, ["broken"]),
        (HEAD, {"sequence": 4, "first": 33, "previous": "c3"}, ["broken"]),
        (HEAD, {"sequence": 6, "first": 51, "previous": "c5"}, ["gap"]),
        (HEAD, {"sequence": 3, "first": 21, "previous": "c2", "known": True}, ["fork"]),
        (HEAD, {"sequence": 1, "first": 1, "previous": NOTHING_BEFORE, "known": True}, ["fork"]),
        (HEAD, {"sequence": 2, "first": 11, "previous": "c1"}, ["late"]),
        (
            HEAD,
            {"sequence": 2, "first": 11, "previous": "c1", "before": Link(1, "c1", 11)},
            ["late"],
        ),
        (
            HEAD,
            {"sequence": 2, "first": 11, "previous": "x", "before": Link(1, "c1", 11)},
            ["late", "broken"],
        ),
    ],
)
def test_what_does_not_add_up_has_a_name(
    head: Link | None, options: dict[str, object], kinds: list[str]
) -> None:
    """A gap, a break, a fork, a late one: told apart, none dropped."""
    assert _kinds(head, **options) == kinds


def test_a_gap_counts_batches_and_events() -> None:
    """An auditor reads how much is missing."""
    (gap,) = judge(HEAD, sequence=6, first=51, previous="c5", known=False, before=None)
    assert (gap.missing_batches, gap.missing_events) == (2, 20)
