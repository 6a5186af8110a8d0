"""What the API takes and gives, as OpenAPI describes it. *_ns: nanoseconds since 1970 (UTC)."""

import datetime as dt
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from collector.approvals.record import Outcome, RequestState
from collector.identity.people import Role
from collector.orders.ledger import GrantState
from collector.orders.terms import Scope
from wire.acts import Act, Kind
from wire.messages import Answer, Ground, HoldState, RuleFacts


def _is_text(text: str) -> str:
    # JSON can write half a surrogate pair, which no UTF-8, and so no message, can hold.
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("it has a surrogate, which is no character")
    return text


Text = Annotated[str, AfterValidator(_is_text)]


def _iso(given: object) -> object:
    # A bare number would be taken for seconds or milliseconds, by its size; ours are nanoseconds.
    if isinstance(given, str) and not re.match(r"\d{4}-\d\d-\d\d[T ]", given):
        raise ValueError("it is not a time in ISO 8601, for example 2026-01-31T12:00:00Z")
    return given


Time = Annotated[dt.datetime, BeforeValidator(_iso)]


class ErrorBody(BaseModel):
    """What went wrong. Some codes come with further facts beside these."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(description="for programs; the list is in docs/api.md")
    message: str
    remedy: str = Field(description="what to do about it")


class ErrorEnvelope(BaseModel):
    """Every answer with a status of 400 or more."""

    error: ErrorBody


class Health(BaseModel):
    """Whether the collector can do its work."""

    status: Literal["ok", "degraded"]
    nats: bool = Field(description="connected to NATS: without it nothing can be decided")
    trail: bool = Field(description="the last write to the trail was committed")


class WhoAmI(BaseModel):
    """The caller, as the token proves."""

    name: str
    role: Role
    logins: list[str] = Field(description="login users on hosts that are this person")
    groups: list[str] = Field(description="groups at the identity provider, as of the last sign-in")
    machine: bool = Field(description="a program: it never decides")
    scopes: list[str] = Field(description="what a machine may do; empty for people")
    authenticated_ns: int | None = Field(
        description="when the identity provider last saw a proof; null if nobody says so"
    )


class WaysIn(BaseModel):
    """How people sign in here."""

    identity_provider: bool = Field(description="/auth/login and device sign-in work")


class DeviceOut(BaseModel):
    """A sign-in that was begun: what to show to the person, and the handle to ask with."""

    handle: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str = Field(description="empty if the provider gives none")
    expires_s: int
    interval_s: int = Field(description="how long to wait between two questions")


class DeviceIn(BaseModel):
    """Which sign-in is asked about."""

    handle: Annotated[str, Field(max_length=100)]


class DeviceState(BaseModel):
    """How a sign-in stands; the token comes once."""

    signed_in: bool
    wait_s: int = Field(description="ask again after so many seconds; 0 once signed in")
    token: str | None = None
    expires_ns: int | None = None


class SignedOut(BaseModel):
    """Whether the token that asked is ended."""

    ended: bool = Field(description="false for a token of an administrator's making")


class DecisionOut(BaseModel):
    """What was decided. The host's confirmation is `outcome`, not this."""

    answer: Answer
    by: str
    via: str
    reason: str
    time_ns: int


class CommentOut(BaseModel):
    """A remark that decides nothing."""

    by: str
    via: str
    text: str
    time_ns: int


class VoteOut(BaseModel):
    """One person's say. It decides only together with those that the policy asks for."""

    by: str
    via: str
    answer: Answer
    reason: str
    time_ns: int


class PolicyOut(BaseModel):
    """What the approval policy asks for on this request."""

    id: str
    description: str
    reason_required: bool
    missing: str = Field(description="who must still approve, in words; empty if nobody")
    deadline_ns: int | None = Field(description="when silence becomes a denial; null: never here")
    stuck: str = Field(description="why nobody who is known may approve it; empty if somebody may")
    break_glass: list[str] = Field(description="groups that may release it without the others")


class MayDecideOut(BaseModel):
    """Whether the caller may answer this request now."""

    allowed: bool
    why: str = Field(description="empty if allowed")
    approved: bool = Field(description="the caller has approved it, and others are still asked")


class HoldOut(BaseModel):
    """One of the identical holds of a request, and what became of it."""

    hold: str
    state: RequestState
    outcome: Outcome | None
    ground: Ground | None
    opened_ns: int
    deadline_ns: int
    pid: int
    digest: str


class GrantableOut(BaseModel):
    """Whether the request can be approved for a time as well as once."""

    allowed: bool
    why: str = Field(description="empty if allowed")


class GrantOut(BaseModel):
    """A decision that covers later acts, and how it stands."""

    grant: str
    state: GrantState
    host: str
    host_name: str
    subject: str
    session: str = Field(description="the AI session; empty: every session of the subject")
    kind: Kind
    what: str = Field(description="the command, path or address, made safe to show")
    rule: str
    uses: int
    used: int = Field(description="acts that the host has let pass by it")
    expires_ns: int = Field(description="the host's own clocks decide")
    request: str = Field(description="the request that it was made with")
    by: str
    via: str
    reason: str
    time_ns: int
    revoked_by: str | None = None
    revoked_ns: int | None = None


class GrantList(BaseModel):
    """Grants, newest first."""

    grants: list[GrantOut]


class QuarantineHostOut(BaseModel):
    """One host of a quarantine."""

    host: str
    host_name: str
    lifted: bool


class QuarantineOut(BaseModel):
    """A subject that does nothing until that is lifted."""

    quarantine: str
    subject: str
    everywhere: bool = Field(description="also on hosts that are enrolled later")
    hosts: list[QuarantineHostOut]
    by: str
    via: str
    reason: str
    time_ns: int
    lifted_by: str | None = None
    lifted_reason: str | None = None
    lifted_ns: int | None = None


class QuarantineList(BaseModel):
    """Quarantines, newest first."""

    quarantines: list[QuarantineOut]


class QuarantineIn(BaseModel):
    """Whom to stop, where and why."""

    model_config = ConfigDict(extra="forbid")

    subject: Text
    host: Text | None = Field(default=None, description="id or enrolled name; null: everywhere")
    reason: Text
    via: Literal["cli", "api"] = "api"


class EndIn(BaseModel):
    """The end of a grant or a quarantine; the latter asks for a reason."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = ""
    via: Literal["cli", "api"] = "api"


class RequestOut(BaseModel):
    """One held act and what became of it; or several identical ones, that one stands for."""

    request: str
    host: str
    host_name: str = Field(description="the name that the host was enrolled under")
    state: RequestState
    outcome: Outcome | None = Field(description="what the host confirms it did")
    opened_ns: int
    deadline_ns: int = Field(description="0: none; the host's own boot clock decides")
    owner: str
    rule: RuleFacts
    digest: str
    act: Act
    count: int = Field(description="how many identical holds the request is about")
    holds: list[HoldOut] = Field(description="each of them; the first is the one described here")
    decision: DecisionOut | None
    ground: Ground | None = Field(description="why it was let go or killed, once the host says so")
    states: list[HoldState]
    votes: list[VoteOut]
    comments: list[CommentOut]
    policy: PolicyOut
    may_decide: MayDecideOut
    grantable: GrantableOut
    grant: str | None = Field(description="the grant that covers it, so that nobody is asked")
    granted: GrantOut | None = Field(
        default=None, description="the grant that this very answer has made"
    )
    card: dict[str, Any] | None = Field(
        default=None, description="the request as a person should see it; absent in lists"
    )


class RequestPage(BaseModel):
    """Requests, newest first."""

    requests: list[RequestOut]
    next: str | None = Field(description="give it as `after` for the next page; null at the end")


class GrantIn(BaseModel):
    """For how long, how often and for whom an approval counts."""

    model_config = ConfigDict(extra="forbid")

    minutes: int
    uses: int
    scope: Scope = Scope.SESSION


class DecisionIn(BaseModel):
    """An answer to a request."""

    model_config = ConfigDict(extra="forbid")

    answer: Answer
    reason: Text = ""
    digest: Text | None = Field(
        default=None, description="of the act as it was shown; checked if given"
    )
    grant: GrantIn | None = Field(
        default=None, description="approve for a time: the same act again asks nobody"
    )
    via: Literal["cli", "api"] = "api"


class AnswerIn(BaseModel):
    """One answer of several."""

    model_config = ConfigDict(extra="forbid")

    request: Annotated[Text, Field(max_length=64, description="its id or a unique prefix")]
    answer: Answer
    reason: Text = ""
    digest: Text | None = Field(
        default=None, description="of the act as it was shown; checked if given"
    )


class AnswersIn(BaseModel):
    """Several answers at once."""

    model_config = ConfigDict(extra="forbid")

    answers: Annotated[list[AnswerIn], Field(min_length=1, max_length=100)]
    via: Literal["cli", "api"] = "api"


class ResultOut(BaseModel):
    """What came of one answer of several: `result`, or `error` as its own route would say it."""

    request: str
    status: int = Field(description="that the route for this one request would have had")
    result: RequestOut | None
    error: ErrorBody | None


class AnswersOut(BaseModel):
    """The results, in the order of the answers."""

    results: list[ResultOut]


class BreakGlassIn(BaseModel):
    """A release in an emergency, without those whom the policy asks."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(description="what the emergency is; never empty")
    digest: Text | None = Field(
        default=None, description="of the act as it was shown; checked if given"
    )
    via: Literal["cli", "api"] = "api"


class CommentIn(BaseModel):
    """A remark on a request."""

    model_config = ConfigDict(extra="forbid")

    text: Text
    via: Literal["cli", "api"] = "api"


class HostOut(BaseModel):
    """One enrolled host; null where it has not said anything yet."""

    host: str
    name: str
    mode: str | None = None
    kernel: str | None = None
    version: str | None = None
    subjects: list[str] = []
    ruleset: str | None = None
    started_ns: int | None = None
    last_event_ns: int | None = None
    open_holds: int = 0
    gap_events: int = Field(default=0, description="events known to be lost")


class HostList(BaseModel):
    """All hosts, by name."""

    hosts: list[HostOut]


class RouteOut(BaseModel):
    """One place where requests are shown."""

    route: str
    waiting: int = Field(description="cards that do not show yet what they should")
    trouble: str = Field(description="what went wrong last; empty since something worked")
    worked_ns: int | None = Field(description="when a card was last accepted, since the start")


class CardFailureOut(BaseModel):
    """A card that a channel has refused for good."""

    request: str
    route: str
    why: str


class ChannelsOut(BaseModel):
    """Every route in use, and the 50 newest cards that were refused."""

    routes: list[RouteOut]
    refused: list[CardFailureOut]


class Figures(BaseModel):
    """How answers were given; seconds run from the opening of the hold to the answer."""

    median_seconds: float
    p90_seconds: float
    share_under_2_s: float = Field(description="0 to 1; what nobody can have read")
    share_approved: float = Field(description="0 to 1")
    last: str = Field(description="the newest answer, in UTC")


class ReviewerFigures(Figures):
    """One person's own answers, whoever else had to answer too."""

    who: str
    answers: int


class RuleFigures(Figures):
    """What people decided on the requests of one rule."""

    rule: str
    decisions: int
    holds: int = Field(description="that they decided; identical ones were one request")


class FiguresOut(BaseModel):
    """By person and by rule, most answers first."""

    reviewers: list[ReviewerFigures]
    rules: list[RuleFigures]


class EventPage(BaseModel):
    """Events, newest first; each with host, number and the columns that docs/trail.md lists."""

    events: list[dict[str, Any]]
    next: str | None = Field(description="give it as `after` for the next page; null at the end")


class QueryIn(BaseModel):
    """One SELECT over the trail."""

    model_config = ConfigDict(extra="forbid")

    sql: Text
    limit: int = Field(default=1000, ge=1, le=10_000)


class QueryColumn(BaseModel):
    """One column of an answer."""

    name: str
    type: str


class QueryOut(BaseModel):
    """The rows; `truncated` if there were more than `limit`, or more than 8 MiB."""

    columns: list[QueryColumn]
    rows: list[list[Any]]
    truncated: bool
