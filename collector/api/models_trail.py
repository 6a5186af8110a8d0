"""Hosts, events, queries, figures and channels as the API describes them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from collector.api.fields import Text


class HostOut(BaseModel):
    """One enrolled host; null where it has not said anything yet."""

    host: str
    name: str
    mode: str | None = None
    kernel: str | None = None
    version: str | None = None
    subjects: list[str] = []
    ruleset: str | None = None
    without_effect: list[str] = Field(
        default=[], description="rules that its mode cannot put into effect, by id"
    )
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


class ExportOut(BaseModel):
    """One continuous export, and how far it has come."""

    name: str
    kind: str
    to: str = Field(description="the webhook, or host and port of syslog")
    format: str
    what: list[str]
    sent: int = Field(description="number of the last record that was taken")
    lag_s: float = Field(description="age of the oldest record that was not taken; 0: none waits")
    failures: int = Field(description="deliveries that failed since the start; each is tried again")
    trouble: str = Field(description="what went wrong last; empty since something worked")
    worked_ns: int | None = Field(description="when records were last taken, since the start")
    gone: int = Field(description="records that retention dropped unsent, since the start")


class ExportsOut(BaseModel):
    """Every continuous export, in the order of collector.toml."""

    exports: list[ExportOut]


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
