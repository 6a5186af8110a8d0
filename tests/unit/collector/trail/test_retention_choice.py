"""What falls is chosen by the policy alone: nothing too young, nothing out of order, no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ConfigError
from collector.trail.retention.choice import (
    HOUR_NS,
    Contents,
    Cut,
    Part,
    Reason,
    cut_of,
    files_of,
)
from collector.trail.retention.settings import NEVER, Policy, Retention, policy_of

KINDS = ("exec", "open", "connect", "notice", "gap")
NOW_H = 500_000
AGES = st.none() | st.integers(1, 400 * 24)


@st.composite
def files(draw: st.DrawFn) -> list[Contents]:
    """Draw files with parts of any kinds and hours, up to now."""
    parts = st.builds(
        Part,
        kind=st.sampled_from(KINDS),
        hour=st.integers(NOW_H - 500 * 24, NOW_H),
        rows=st.integers(1, 10_000),
    )
    lists = draw(st.lists(st.lists(parts, min_size=1, max_size=6), max_size=6))
    return [
        Contents(f"{place}", draw(st.integers(1, 10**6)), tuple(found))
        for place, found in enumerate(lists)
    ]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy whose ages are no less than what it keeps at least."""
    least = draw(st.integers(1, 200 * 24))
    ages = {kind: draw(AGES) for kind in draw(st.sets(st.sampled_from(KINDS)))}
    return Policy(
        ages={kind: age and max(age, least) for kind, age in ages.items()},
        default=(age := draw(AGES)) and max(age, least),
        size=draw(st.none() | st.integers(1, 3 * 10**6)),
        at_least=least,
    )


def _left(cut: Cut, contents: list[Contents]) -> float:
    """Return the bytes of what stays, each event of a file being as large as the others."""
    return sum(
        part.rows * one.bytes / one.rows
        for one in contents
        for part in one.parts
        if cut.reason(part.kind, part.hour) is None
    )


@given(policies(), files(), st.integers(0, HOUR_NS - 1))
def test_nothing_falls_before_its_time(policy: Policy, contents: list[Contents], at: int) -> None:
    """By the last nanosecond of the hour in which it may have come; and no gap ever does."""
    now_ns = NOW_H * HOUR_NS + at
    cut = cut_of(policy, contents, now_ns)
    for part in (part for one in contents for part in one.parts):
        reason = cut.reason(part.kind, part.hour)
        if reason is None:
            continue
        assert part.kind not in NEVER
        hours = cut.kept_hours(part.kind, reason)
        assert hours == (policy.age(part.kind) if reason is Reason.AGE else policy.at_least)
        newest_ns = (part.hour + 1) * HOUR_NS - 1
        assert newest_ns + hours * HOUR_NS <= now_ns


@given(policies(), files())
def test_what_has_its_age_falls_at_the_latest_a_day_later(
    policy: Policy, contents: list[Contents]
) -> None:
    """Ages of a week and more count in whole days."""
    cut = cut_of(policy, contents, NOW_H * HOUR_NS)
    for part in (part for one in contents for part in one.parts):
        age = policy.age(part.kind)
        if age is not None and part.hour + 25 + age <= NOW_H:
            assert cut.reason(part.kind, part.hour) is Reason.AGE


@given(policies(), files())
def test_size_takes_the_oldest_first_and_no_more_than_it_must(
    policy: Policy, contents: list[Contents]
) -> None:
    """Until the files are small enough, or nothing is left that is old enough."""
    cut = cut_of(policy, contents, NOW_H * HOUR_NS)
    by_age = Cut(policy, cut.ages)
    if policy.size is None or _left(by_age, contents) <= policy.size:
        assert cut.size == 0
        return
    parts = [part for one in contents for part in one.parts if part.kind not in NEVER]
    stay = [part.hour for part in parts if cut.reason(part.kind, part.hour) is None]
    fell = [part.hour for part in parts if cut.reason(part.kind, part.hour) is Reason.SIZE]
    assert not fell or not stay or max(fell) < min(stay)
    if _left(cut, contents) > policy.size:
        assert all(hour + 24 + policy.at_least >= NOW_H for hour in stay)
    if fell:  # without the newest hour of what fell it would not have been enough
        before = Cut(policy, cut.ages, max(fell))
        assert _left(before, contents) > policy.size * 0.95 * (1 - 1e-9)


@given(policies(), files())
def test_every_file_is_named_from_which_something_falls(
    policy: Policy, contents: list[Contents]
) -> None:
    """Those that fall as a whole come first: they need no room on a full disk."""
    cut = cut_of(policy, contents, NOW_H * HOUR_NS)
    reasons = {
        one.file: [cut.reason(part.kind, part.hour) for part in one.parts] for one in contents
    }
    found = files_of(cut, contents)
    assert sorted(found) == sorted(
        (file, reason) for file, all_ in reasons.items() for reason in {*all_} - {None} if reason
    )
    whole = [len({*reasons[file]}) == 1 for file, _ in found]
    assert whole == sorted(whole, reverse=True)


def test_without_a_policy_nothing_is_asked_for() -> None:
    """Retention is off unless it is asked for."""
    assert policy_of(Retention(), place="x") is None
    assert policy_of(Retention(keep={"default": "forever", "open": "forever"}), place="x") is None


def test_a_policy_is_what_was_written() -> None:
    """Ages in hours, a size in bytes, and the words as tombstones have them."""
    found = policy_of(
        Retention(
            keep={"default": "1y", "open": "2w", "exec": "forever", "connect": "36h"},
            size_limit="50GB",
            keep_at_least="1d",
        ),
        place="x",
    )
    assert found is not None
    ages = [found.age(kind) for kind in ("notice", "open", "exec", "connect", "gap")]
    assert ages == [365 * 24, 14 * 24, None, 36, None]
    assert (found.size, found.at_least) == (50 * 10**9, 24)
    assert '"open": "2w"' in found.text and '"size_limit": "50GB"' in found.text


WRONG = {
    "an age": (Retention(keep={"open": "90"}), "x.keep.open: '90' is not an age"),
    "no age": (Retention(keep={"open": "0d"}), "x.keep.open: '0d' is not an age"),
    "too long": (Retention(keep={"open": "101y"}), "100y at most"),
    "a kind": (Retention(keep={"opens": "90d"}), "x.keep.opens is no kind of event"),
    "a gap": (Retention(keep={"gap": "90d"}), "x.keep.gap: what a host could not record"),
    "a size": (Retention(size_limit="many", keep_at_least="1d"), "x.size_limit: 'many'"),
    "no floor": (Retention(size_limit="1GB"), "x.size_limit needs x.keep_at_least"),
    "no size": (Retention(keep_at_least="1d"), "x.keep_at_least is about size_limit"),
    "a floor for good": (
        Retention(size_limit="1GB", keep_at_least="forever"),
        "x.keep_at_least: nothing would fall",
    ),
    "below the floor": (
        Retention(keep={"open": "1d"}, size_limit="1GB", keep_at_least="2d"),
        "x.keep.open is 1d, less than keep_at_least of 2d",
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda case: str(case).replace(" ", "_"))
def test_what_cannot_be_meant_is_an_error_that_names_the_key(case: str) -> None:
    """And what to write instead."""
    settings, words = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        policy_of(settings, place="x")
    assert words in str(caught.value)
