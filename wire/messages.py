"""The messages between host and centre, as frozen values. See codec for their bytes."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from wire.acts import Act
from wire.ids import HoldId, HostId, OrderId, RequestId, VerdictId, VoteId
from wire.orders import FileState, Grant, GrantRevoked, Quarantine, QuarantineLifted


class Ground(StrEnum):
    """Why a process was let go or killed. There is no release without one."""

    DECISION = "decision"
    GRANT = "grant"
    RULE = "rule"
    TIMEOUT_POLICY = "timeout_policy"
    BREAK_GLASS = "break_glass"
    EMERGENCY = "emergency"
    WITHDRAWN = "withdrawn"  # of an ask only: who asked does not want it any more


class OnTimeout(StrEnum):
    """What the host does when nobody answered in time."""

    KILL = "kill"
    KEEP = "keep"
    RELEASE = "release"


class OnDeny(StrEnum):
    """What a denial does to the act; only a host that holds acts before they happen can refuse."""

    KILL = "kill"
    REFUSE = "refuse"  # the call fails with EPERM, and the process goes on


class OnNoAgent(StrEnum):
    """What the kernel does by itself with an act while no agent has been there for a while."""

    HOLD = "hold"
    DENY = "deny"  # the call fails with EPERM
    ALLOW = "allow"


class KillScope(StrEnum):
    """What a denial kills."""

    PROCESS = "process"
    TREE = "tree"


class Severity(StrEnum):
    """How much a rule matters; ordered from least to most."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class HoldStateName(StrEnum):
    """States of a hold. The first five end the wait, the last three say what the host did."""

    HELD = "held"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    RELEASED = "released"
    KILLED = "killed"
    REFUSED = "refused"


class Answer(StrEnum):
    """What one person says, and what the votes add up to."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """The rule that caused a hold, as the reviewer and the auditor need it."""

    id: str
    description: str
    severity: Severity
    reason_required: bool = True
    on_timeout: OnTimeout = OnTimeout.KILL
    kill: KillScope = KillScope.PROCESS
    ruleset: str = ""  # digest of the whole rule set in force
    on_deny: OnDeny = OnDeny.KILL  # also what a timeout does where on_timeout is kill
    on_no_agent: OnNoAgent = OnNoAgent.HOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOpened:
    """A process is stopped and a person is asked. Only the host writes it, once.

    With `grant` nobody is asked: the host lets it run on, since that grant covers the act.
    """

    type: ClassVar[str] = "hold.opened"

    hold: HoldId
    host: HostId
    host_name: str
    boot_id: str
    opened_ns: int  # since the epoch
    deadline_boot_ns: int  # on the host's boot clock, which alone decides; 0: no deadline
    deadline_ns: int  # the same instant since the epoch, for people; 0: no deadline
    rule: RuleFacts
    owner: str  # who answers for the subject, from the host's configuration; may be empty
    act: Act
    digest: str  # act_digest(act)
    claim: str = ""  # why, in the words of who acts: said before the act, and checked by nobody
    claim_ns: int = 0  # when it was said, since the epoch; 0: nothing was
    session_name: str = ""  # what the session calls itself; a claim as well
    grant: OrderId | None = None
    # What a grant for this act needs besides it, and why the host would not take one.
    program: FileState | None = None
    not_grantable: str = "its host has not said that it may be"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOpened:
    """Somebody asks before they do something, and says that they wait. Nothing is stopped.

    Signed by the collector that knew who it was; the stream admits one per request.
    """

    type: ClassVar[str] = "ask.opened"

    request: RequestId
    by: str  # the asker
    machine: bool
    owner: str  # who answers for it, with a comma between two; none of them may approve it
    action: str
    resource: str
    why: str  # the asker's claim
    details: dict[str, str]
    severity: Severity
    opened_ns: int  # since the epoch, as is the deadline
    deadline_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldState:
    """A later state of a hold. Only the host writes it; `sequence` counts from 1 per hold.

    With `capped` it changes nothing, and says that the hold waits in a session that has reached
    its limit: `denied_beyond` acts of that session were denied by now without asking anybody.
    """

    type: ClassVar[str] = "hold.state"

    hold: HoldId
    host: HostId
    sequence: int
    state: HoldStateName
    time_ns: int
    ground: Ground | None = None
    verdict: VerdictId | None = None
    order: OrderId | None = None  # the grant or quarantine that settled it
    by: str = ""
    reason: str = ""
    detail: str = ""  # what the host found, in words
    capped: HoldId | None = None  # the hold by whose name the session's summary goes
    denied_beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedGrant:
    """For how long, how often and for whom an approval is to count: a grant's life and reach."""

    minutes: int
    uses: int
    whole_subject: bool = False  # of every session of the subject, not only of the one that asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's say on one request, signed by the collector that knew who it was.

    Where identical holds were folded into the request, `also` names the others that the vote is
    about, and `also_digests` their acts, one for one. `grant`: what the approval is for besides;
    None: for this once.
    """

    type: ClassVar[str] = "vote"

    vote: VoteId
    request: RequestId
    by: str
    via: str  # the channel: api, cli, web, slack, teams
    answer: Answer
    reason: str
    digest: str  # of the act as it was shown to the person
    time_ns: int
    groups: tuple[str, ...] = ()  # of the person, as the centre knew them then
    policy: str = ""  # the approval policy that admitted the vote
    counts_for: tuple[str, ...] = ("",)  # groups whose quota it may fill; "": any reviewer's
    ground: Ground = Ground.DECISION  # or break_glass, which needs no other vote
    names: tuple[str, ...] = ()  # further ones of the person: under all of them they count once
    also: tuple[HoldId, ...] = ()
    also_digests: tuple[str, ...] = ()
    grant: WantedGrant | None = None
    card: str = ""  # digest of the card as it was shown to the person; "": not known
    shown: str = ""  # that card itself, canonical JSON; its digest is `card`

    def digest_for(self, hold: HoldId) -> str:
        """Return the digest of the act of a hold, as the vote is about it; "" if it is not."""
        if str(hold) == self.request:  # a request has the id of its first hold
            return self.digest
        return dict(zip(self.also, self.also_digests, strict=False)).get(hold, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A remark on a request that decides nothing."""

    type: ClassVar[str] = "comment"

    comment: VoteId
    request: RequestId
    by: str
    via: str
    text: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the votes on a request add up to, or silence. The stream admits one per request.

    `by` names everybody whose vote counted, with a comma between two.
    """

    type: ClassVar[str] = "decision"

    request: RequestId
    answer: Answer
    ground: Ground
    by: str
    via: str
    reason: str
    digest: str
    votes: tuple[VoteId, ...]
    time_ns: int
    policy: str = ""  # the approval policy that it was reached by


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The signed word to one host about one hold; bound to the act by its digest."""

    type: ClassVar[str] = "verdict"

    verdict: VerdictId
    host: HostId
    hold: HoldId
    request: RequestId
    digest: str
    answer: Answer
    ground: Ground
    by: str
    via: str
    reason: str
    boot_id: str
    expires_boot_ns: int  # on the host's boot clock; 0 for a hold without a deadline
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What a host says of itself when it starts; kept in the key-value bucket hf_hosts.

    `responsible`: who answers for a subject, by its name, as in `HoldOpened.owner`.
    """

    type: ClassVar[str] = "host"

    host: HostId
    name: str
    mode: str  # gate, stop or audit
    kernel: str
    version: str  # of the agent
    boot_id: str
    subjects: tuple[str, ...]
    ruleset: str
    started_ns: int
    responsible: dict[str, str] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()  # rules that its mode cannot put into effect, by id


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """A run of events of one host, by columns (see events.COLUMNS), chained to the one before.

    `sequence` counts batches and `first` counts events, each per host and from 1. `previous`
    is the chain digest (hex) of the batch before, 64 zeros for the first. `chain` is that of this
    one, as the host has made it, and `chain_version` how (see chain).
    """

    type: ClassVar[str] = "events"

    host: HostId
    sequence: int
    first: int
    count: int
    previous: str
    chain_version: int = 1
    chain: str = ""  # what chain 1 makes is over the whole message, and so not in it
    columns: dict[str, list[object]]


Message = (
    HoldOpened
    | HoldState
    | AskOpened
    | Vote
    | Comment
    | Decision
    | Verdict
    | Grant
    | GrantRevoked
    | Quarantine
    | QuarantineLifted
    | HostRecord
    | EventBatch
)
