"""What a route shows next: the newest state, in order, and nobody waits for one bad card."""

from hypothesis import given
from hypothesis import strategies as st

from collector.channels.backlog import Backlog, Item
from wire.ids import RequestId

A, B, C = (RequestId(letter * 32) for letter in "abc")


def test_only_the_newest_version_of_a_request_is_wanted_in_the_order_of_the_first() -> None:
    """A card that changed ten times while the service was away is sent once."""
    backlog = Backlog()
    for request, version in ((A, 1), (B, 1), (A, 3), (A, 2)):
        backlog.want(request, version)
    assert len(backlog) == 2
    assert backlog.take(0.0) == Item(A, 3, again=False)
    assert backlog.take(0.0) == Item(B, 1, again=False)
    assert backlog.take(0.0) is None and backlog.due() is None


def test_a_card_that_always_fails_holds_nobody_up() -> None:
    """What comes after it is tried at once, while it waits longer each time."""
    backlog, now, pauses = Backlog(), 0.0, []
    backlog.want(A, 1)
    for number in range(12):
        bad = backlog.take(now)
        assert bad is not None and bad.request == A
        backlog.failed(bad, now, None)
        other = RequestId(f"{number:032x}")
        backlog.want(other, 1)
        good = backlog.take(now)
        assert good == Item(other, 1, again=False)
        backlog.worked(good)
        due = backlog.due()
        assert due is not None and due > now
        pauses.append(due - now)
        now = due
    assert pauses[-1] <= 30 and pauses[-1] > 10 * pauses[0]


def test_a_time_that_the_service_asks_for_binds_every_card() -> None:
    """Sending others meanwhile would only make it ask for more."""
    backlog = Backlog()
    backlog.want(A, 1)
    item = backlog.take(100.0)
    assert item is not None
    backlog.failed(item, 100.0, 7.0)
    backlog.want(B, 1)
    assert backlog.take(106.9) is None
    assert backlog.due() == 107.0
    assert {found.request for _ in "12" if (found := backlog.take(107.0))} == {A, B}


def test_a_wish_is_bounded() -> None:
    """A service that asks for a year is asked again within the hour."""
    backlog = Backlog()
    backlog.want(A, 1)
    item = backlog.take(0.0)
    assert item is not None
    backlog.failed(item, 0.0, 1e9)
    due = backlog.due()
    assert due is not None and due <= 3600


def test_a_state_that_comes_while_a_card_fails_is_the_one_sent_next() -> None:
    """The card waits once, and shows the newest then."""
    backlog = Backlog()
    backlog.want(A, 1)
    item = backlog.take(0.0)
    assert item is not None
    backlog.want(A, 2)
    backlog.failed(item, 0.0, None)
    assert len(backlog) == 1
    assert backlog.take(60.0) == Item(A, 2, again=True)


@given(
    st.lists(
        st.tuples(st.sampled_from("wwtf"), st.sampled_from([A, B, C]), st.integers(1, 9)),
        max_size=60,
    )
)
def test_nothing_that_is_wanted_is_lost(steps: list[tuple[str, RequestId, int]]) -> None:
    """Whatever is wanted, taken, failed or worked in any order: the newest version is taken."""
    backlog, now = Backlog(), 0.0
    wanted: dict[RequestId, int] = {}
    for step, request, version in steps:
        now += 1.0
        if step == "w":
            backlog.want(request, version)
            wanted[request] = max(version, wanted.get(request, 0))
        elif (item := backlog.take(now)) is not None:
            assert item.version == wanted[item.request]
            if step == "f":
                backlog.failed(item, now, None)
            else:
                backlog.worked(item)
                del wanted[item.request]
    while (item := backlog.take(1e6)) is not None:
        assert item.version == wanted.pop(item.request)
    assert not wanted
