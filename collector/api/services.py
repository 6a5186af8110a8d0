"""What the routes work with, and who is calling."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from collector.api.show import Shower
from collector.approvals.applied import Policies
from collector.approvals.book import Book
from collector.approvals.checks import check_person
from collector.approvals.decide import Decider
from collector.asks.desk import Asks
from collector.channels.dispatcher import Dispatcher
from collector.errors import Refusal
from collector.export.downloads import Downloads
from collector.export.exporter import Exporters
from collector.identity.hosts import HostNames
from collector.identity.journal import Via
from collector.identity.machines import Scope
from collector.identity.people import Caller, Tokens
from collector.identity.questions import SavedQuestions
from collector.nats.publish import Publisher
from collector.oidc.wiring import SigningIn
from collector.orders.desk import OrderDesk
from collector.orders.issue import Issuer
from collector.report.reports import Reports
from collector.trail.reader import Reader
from collector.trail.retention.rounds import Retention
from collector.trail.sql import SqlRunner
from collector.trail.writer import Writer


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the API."""

    book: Book
    decider: Decider
    policies: Policies
    issuer: Issuer
    publisher: Publisher
    reader: Reader
    writer: Writer
    sql: SqlRunner
    reports: Reports
    questions: SavedQuestions
    names: HostNames
    shower: Shower
    tokens: Tokens
    channels: Dispatcher
    signing_in: SigningIn
    asks: Asks
    downloads: Downloads
    exporters: Exporters
    stream_queue: int
    stream_clients: int
    stream_clients_per_token: int
    retention: Retention | None = None  # what drops old events; None: nothing does

    @property
    def orders(self) -> OrderDesk:
        """Where orders are given in people's words."""
        return OrderDesk(self.issuer, self.book, self.reader, self.names)


_bearer = HTTPBearer(auto_error=False, description="made by `holdfast-collector token create`")


async def services(request: Request) -> Services:
    """Return what the application was built with."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


def address_of(request: Request) -> str:
    """Return the address that a request comes from, as far as this side can see."""
    return request.client.host if request.client else ""


async def any_caller(
    request: Request,
    services: ServicesDep,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return who the bearer token proves; raise Refusal 401."""
    known = await services.tokens.check(given.credentials) if given else None
    if known is None:
        why = "there is no valid token in the Authorization header"
        if given is not None:
            why = "the token is unknown, expired or revoked"
            await services.signing_in.refused.note(Via.API, why, address_of(request))
        raise Refusal(
            401,
            "unauthorized",
            why,
            "send `Authorization: Bearer <token>`; `holdfast-collector token create` makes one",
        )
    return known


AnyCallerDep = Annotated[Caller, Depends(any_caller)]


async def person(caller: AnyCallerDep) -> Caller:
    """Return the caller, a person; raise Refusal 403 for a machine, whatever its scopes."""
    check_person(caller)
    return caller


# What a route gets that does not say otherwise: no machine may use it.
CallerDep = Annotated[Caller, Depends(person)]


class ScopedCaller:
    """Lets people in, and machines with one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, caller: AnyCallerDep) -> Caller:
        """Return the caller; raise Refusal 403 for a machine without the scope."""
        scope = self.scope
        if caller.machine and scope not in caller.scopes:
            raise Refusal(
                403,
                "scope_missing",
                f"the token of {caller.name} has not the scope {scope.value}",
                f"make one with `holdfast-collector token create --machine NAME --scope {scope}`",
                {"scope": scope.value},
            )
        return caller


RequestsReaderDep = Annotated[Caller, Depends(ScopedCaller(Scope.REQUESTS_READ))]
TrailReaderDep = Annotated[Caller, Depends(ScopedCaller(Scope.TRAIL_READ))]
AskerDep = Annotated[Caller, Depends(ScopedCaller(Scope.ASKS_WRITE))]
