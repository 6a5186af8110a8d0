"""What the routes for asks take and give. *_ns: nanoseconds since 1970 (UTC)."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.api.fields import Text
from collector.approvals.record import RequestState
from wire.messages import Severity

_LONGEST_DETAILS = 8000


def _are_small(details: dict[str, str]) -> dict[str, str]:
    if sum(len(name) + len(value) for name, value in details.items()) > _LONGEST_DETAILS:
        raise ValueError(f"names and values have more than {_LONGEST_DETAILS} characters together")
    return details


Name = Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class AskIn(BaseModel):
    """What is asked for. Neither who answers for the asker nor `on_behalf_of` may approve it."""

    model_config = ConfigDict(extra="forbid")

    action: Annotated[
        Text,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._-]*$",
            max_length=64,
            description="a word for what is done; policies know it as rule ask.<action>",
        ),
    ]
    resource: Annotated[Text, Field(min_length=1, max_length=2000)]
    why: Annotated[Text, Field(min_length=1, max_length=1000)]
    details: Annotated[dict[Name, Text], Field(max_length=50), AfterValidator(_are_small)] = Field(
        default={}, description="facts for the reviewer, by name"
    )
    severity: Severity = Field(
        default=Severity.MEDIUM, description="the centre may raise or lower it to its bounds"
    )
    timeout_s: int | None = Field(
        default=None, ge=1, description="seconds until it expires; null: asks.timeout_s"
    )
    key: Annotated[Text, Field(max_length=200)] = Field(
        default="", description="makes a second sending the same ask; empty: each is a new one"
    )
    on_behalf_of: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=200)]], Field(max_length=20)
    ] = Field(default=[], description="who has had it asked; they may not approve it")


class AskOut(BaseModel):
    """An ask as it stands. Only `approved` is an approval."""

    ask: str = Field(description="its id, and that of the request which reviewers see")
    state: RequestState
    state_line: str = Field(description="the same in words")
    by: str = Field(description="who decided; empty while it is open, and after silence")
    reason: str
    decided_ns: int | None
    action: str
    resource: str
    why: str
    details: dict[str, str]
    severity: Severity
    owner: str = Field(description="who answers for it; none of them may approve it")
    opened_ns: int
    deadline_ns: int
    missing: str = Field(description="who must still approve, in words")
    stuck: str = Field(description="why nobody who is known may approve it; empty if somebody may")
    unknown: list[str] = Field(
        description="whose request it is without being anybody who is known, who can be refused"
    )
    link: str = Field(description="where a person reads and answers it")
