"""AI sessions at their limit as the API describes them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.api.fields import Text


class CappedOut(BaseModel):
    """An AI session that has as many requests waiting as it may have."""

    name: str = Field(description="the hold by which its summary goes")
    session: str = Field(description="the AI session, as its host calls it")
    host: str
    host_name: str
    subject: str
    waiting: int = Field(description="held acts that wait; 0 once it is over")
    requests: list[str] = Field(description="the requests that they are in, newest first")
    denied: int = Field(description="further acts that the host denied without asking anybody")
    card: dict[str, Any]
    card_digest: str = Field(description="of `card`; give it back with a denial")


class DenySessionIn(BaseModel):
    """Why all of a session is denied."""

    model_config = ConfigDict(extra="forbid")

    reason: Text
    card: Text | None = Field(default=None, description="`card_digest` of the card as it was shown")
    via: Literal["cli", "api"] = "api"
