"""Grants and quarantines as the API describes them. *_ns: nanoseconds since 1970 (UTC)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.api.fields import Text
from collector.orders.ledger import GrantState
from collector.orders.terms import Scope
from wire.acts import Kind


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


class GrantIn(BaseModel):
    """For how long, how often and for whom an approval counts."""

    model_config = ConfigDict(extra="forbid")

    minutes: int
    uses: int
    scope: Scope = Scope.SESSION
