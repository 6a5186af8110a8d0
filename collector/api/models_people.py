"""People as the API describes them: who calls, and how a device signs in."""

from typing import Annotated

from pydantic import BaseModel, Field

from collector.identity.people import Role


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
