"""What must hold of requests, however holds were folded into them."""

from collector.approvals.folds import fold_key
from collector.approvals.record import RequestState
from collector.approvals.register import Register


def check_folds(register: Register) -> None:
    """Raise AssertionError unless each hold is in one request, with those that are like it."""
    requests = tuple(register._folds.all())
    named = [one.hold for request in requests for one in request.holds]
    assert sorted(named) == sorted(one.hold for one in register.all())
    assert len({one.id for one in requests}) == len(requests)
    for request in requests:
        assert len({fold_key(one.opened) for one in request.holds}) == 1
        assert len({tuple(v.vote for v in one.votes) for one in request.waiting}) <= 1
        assert (request.state is RequestState.OPEN) == bool(request.waiting)
