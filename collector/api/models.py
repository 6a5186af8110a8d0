"""What the API takes and gives about requests, as OpenAPI describes it; the rest stands beside.

*_ns: nanoseconds since 1970 (UTC).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.api.fields import Text
from collector.api.models_orders import GrantableOut, GrantIn, GrantOut
from collector.api.models_sessions import CappedOut
from collector.approvals.record import Outcome, RequestState
from wire.acts import Act
from wire.messages import Answer, Ground, HoldState, RuleFacts


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
    grant: GrantIn | None = Field(description="the time that it is for; null: for this once")


class PolicyOut(BaseModel):
    """What the approval policy asks for on this request."""

    id: str
    description: str
    reason_required: bool
    missing: str = Field(description="who must still approve, in words; empty if nobody")
    deadline_ns: int | None = Field(description="when silence becomes a denial; null: never here")
    stuck: str = Field(description="why nobody who is known may approve it; empty if somebody may")
    unknown: list[str] = Field(
        description="whose request it is without being anybody who is known, who can be refused"
    )
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
    card_digest: str | None = Field(
        default=None, description="of `card`; give it back with an answer"
    )


class RequestPage(BaseModel):
    """Requests, newest first."""

    requests: list[RequestOut]
    next: str | None = Field(description="give it as `after` for the next page; null at the end")
    capped: list[CappedOut] = Field(
        default=[], description="AI sessions at their limit; on the first page of what is open"
    )


class DecisionIn(BaseModel):
    """An answer to a request."""

    model_config = ConfigDict(extra="forbid")

    answer: Answer
    reason: Text = ""
    digest: Text | None = Field(
        default=None, description="of the act as it was shown; checked if given"
    )
    card: Text | None = Field(
        default=None, description="`card_digest` of the card as it was shown; kept with the answer"
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
    card: Text | None = Field(
        default=None, description="`card_digest` of the card as it was shown; kept with the answer"
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
    card: Text | None = Field(
        default=None, description="`card_digest` of the card as it was shown; kept with the answer"
    )
    via: Literal["cli", "api"] = "api"


class CommentIn(BaseModel):
    """A remark on a request."""

    model_config = ConfigDict(extra="forbid")

    text: Text
    via: Literal["cli", "api"] = "api"
