"""What must be true of each release in the model of approvals: its ground, and that it is so.

Everything is worked out from what was signed and what the host did, not with the parts under test.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.policy.model import BREAK_GLASS_S
from tests.support.model_host import ModelHost
from tests.support.model_people import GROUPS, MAY_NOT, POLICIES, WHOSE, enough
from tests.support.model_site import Streams
from wire import subjects
from wire.codec import decode
from wire.ids import HoldId, OrderId, RequestId, VoteId
from wire.messages import Answer, Decision, Ground, HoldState, OnTimeout, Vote
from wire.orders import Grant, Quarantine, QuarantineLifted, covered
from wire.signing import Verifier

SECOND = 10**9
MINUTE = 60 * SECOND
# How far apart the clocks of the two collectors are.
SKEW = 3 * SECOND


@dataclass(frozen=True)
class Truth:
    """Holds a host against the streams. `started_ns`: UTC when its boot clock was 0.

    `behind_ns`: by how much the host's wall clock was behind when it opened a hold.
    """

    host: ModelHost
    streams: Streams
    trusted: frozenset[str]
    started_ns: int
    behind_ns: Mapping[HoldId, int]

    def votes(self) -> dict[VoteId, Vote]:
        """Return every vote that a collector has signed."""
        found = {}
        for one in self.streams.messages[subjects.VOTES]:
            vote = decode(one.data)
            if self._signed(one.data, dict(one.headers)) and isinstance(vote, Vote):
                found[vote.vote] = vote
        return found

    def check_releases(self) -> None:
        """Raise AssertionError for a release without its ground, or whose ground is not so."""
        decisions, votes = self.streams.decisions(), self.votes()
        for hold, release in self.host.released.items():
            ground = release.grounds[hold]
            match ground:
                case Ground.TIMEOUT_POLICY:
                    self._check_silence(hold)
                case Ground.RULE:
                    assert hold in self.host.allowed
                case Ground.GRANT:
                    self._check_grant(hold, decisions, votes)
                case Ground.DECISION | Ground.BREAK_GLASS:
                    decision = decisions.get(RequestId(hold))
                    assert decision is not None and decision.ground is ground
                    self._check_decision(hold, decision, votes)
                case _:
                    raise AssertionError(f"{hold}: nobody could give {ground}")
            assert hold not in self.host.denied, "a newer rule or a quarantine has denied it"

    def check_orders(self) -> None:
        """Raise AssertionError for an order that who gave it must not give."""
        orders = self.streams.orders()
        quarantines = {one.quarantine for one in orders if isinstance(one, Quarantine)}
        for one in orders:
            if isinstance(one, QuarantineLifted):
                assert one.quarantine in quarantines
                # Who has started its sessions, a collector knows that has heard of a request.
                who = WHOSE[one.by]
                assert who not in MAY_NOT - {"tom"}, "nobody lifts that of their own"
        decisions, votes = self.streams.decisions(), self.votes()
        made = [one for one in orders if isinstance(one, Grant)]
        last = [decisions[one.request].votes[-1] for one in made]
        assert len(last) == len(set(last)), (
            "the vote that decides makes one grant, of all its holds"
        )
        for one in made:
            self._check_made(one, decisions[one.request], votes)

    # -- by ground ----------------------------------------------------------------------------

    def _check_silence(self, hold: HoldId) -> None:
        assert self.host.journal[hold].on_timeout is OnTimeout.RELEASE
        opened = self.host.opened[hold]
        assert self.host.boot_ns() >= opened.deadline_boot_ns > 0

    def _check_decision(
        self, hold: HoldId, decision: Decision, votes: Mapping[VoteId, Vote]
    ) -> None:
        opened = self.host.opened[hold]
        assert decision.answer is Answer.APPROVE and decision.digest == opened.digest
        counted = [votes[one] for one in decision.votes]
        assert all(one.digest_for(hold) == opened.digest for one in counted), "each names it"
        who = [WHOSE[one.by] for one in counted]
        assert not set(who) & MAY_NOT
        passed = self.host.passed_ns[hold]
        assert not opened.deadline_boot_ns or passed < opened.deadline_boot_ns
        if decision.ground is Ground.BREAK_GLASS:
            assert len(counted) == 1
            assert GROUPS[who[0]] & set(POLICIES[decision.policy].break_glass)
            life = BREAK_GLASS_S * SECOND + SKEW + self.behind_ns[hold]
            assert passed <= self._boot_ns(counted[0].time_ns) + life, "its life is over"
            return
        assert all(one.answer is Answer.APPROVE for one in counted)
        assert len(set(who)) == len(who), "a person counts once"
        assert enough(POLICIES[decision.policy], who)

    def _check_grant(
        self,
        hold: HoldId,
        decisions: Mapping[RequestId, Decision],
        votes: Mapping[VoteId, Vote],
    ) -> None:
        grant = self._grant(self._order_of(hold))
        opened, passed = self.host.opened[hold], self.host.passed_ns[hold]
        assert grant.request != RequestId(hold), "the act that it was made with has its own answer"
        assert grant.covers == covered(opened.act, opened.rule.id, opened.program)
        assert grant.subject == opened.act.subject
        assert grant.session in ("", opened.act.session)
        assert passed < grant.expires_boot_ns
        uses = [one for one in self.host.passed_ns if self._order_of(one) == grant.order]
        assert len(uses) <= grant.uses
        self._check_made(grant, decisions[grant.request], votes)

    def _check_made(self, grant: Grant, decision: Decision, votes: Mapping[VoteId, Vote]) -> None:
        """Raise AssertionError for a grant, used or not, that is for more than was approved."""
        first = HoldId(grant.request)
        asking = self.host.opened[first]
        assert grant.covers == covered(asking.act, asking.rule.id, asking.program)
        assert (grant.host, grant.subject) == (asking.host, asking.act.subject)
        assert decision.ground is Ground.DECISION
        counted = [votes[one] for one in decision.votes]
        assert votes[decision.votes[-1]].request == grant.request, "it stood for the request"
        assert all(one.digest_for(first) == decision.digest for one in counted)
        assert enough(POLICIES[decision.policy], [WHOSE[one.by] for one in counted])
        began = self._boot_ns(decision.time_ns) + SKEW + self.behind_ns[first]
        for vote in counted:
            asked = vote.grant
            assert asked is not None, "one of them approved for once"
            assert grant.uses <= asked.uses
            assert grant.expires_boot_ns <= began + asked.minutes * MINUTE
            assert asked.whole_subject or grant.session

    # -- small things -------------------------------------------------------------------------

    def _boot_ns(self, time_ns: int) -> int:
        return time_ns - self.started_ns

    def _order_of(self, hold: HoldId) -> OrderId | None:
        said = (one for one in self.host.says if isinstance(one, HoldState) and one.hold == hold)
        return next((one.order for one in said if one.ground is Ground.GRANT and one.order), None)

    def _grant(self, order: OrderId | None) -> Grant:
        for one in self.streams.messages[subjects.ORDERS]:
            found = decode(one.data)
            if isinstance(found, Grant) and found.order == order:
                assert self._signed(one.data, dict(one.headers))
                return found
        raise AssertionError(f"nobody has made grant {order}")

    def _signed(self, data: bytes, headers: dict[str, str]) -> bool:
        return headers.get("Holdfast-Key") in Verifier(self.trusted).trusted
