"""What the routes work with, and who is calling."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from collector.api.show import Shower
from collector.approvals.book import Book
from collector.approvals.decide import Decider
from collector.errors import Refusal
from collector.identity.hosts import HostNames
from collector.identity.people import Caller, Tokens
from collector.nats.publish import Publisher
from collector.orders.issue import Issuer
from collector.trail.reader import Reader
from collector.trail.sql import SqlRunner
from collector.trail.writer import Writer


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the API."""

    book: Book
    decider: Decider
    issuer: Issuer
    publisher: Publisher
    reader: Reader
    writer: Writer
    sql: SqlRunner
    names: HostNames
    shower: Shower
    tokens: Tokens
    stream_queue: int
    stream_clients: int
    stream_clients_per_token: int


_bearer = HTTPBearer(auto_error=False, description="made by `holdfast-collector token create`")


async def services(request: Request) -> Services:
    """Return what the application was built with."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def caller(
    services: ServicesDep,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return who the bearer token proves; raise Refusal 401."""
    known = await services.tokens.check(given.credentials) if given else None
    if known is None:
        raise Refusal(
            401,
            "unauthorized",
            "there is no valid token in the Authorization header"
            if given is None
            else "the token is unknown, expired or revoked",
            "send `Authorization: Bearer <token>`; `holdfast-collector token create` makes one",
        )
    return known


CallerDep = Annotated[Caller, Depends(caller)]
