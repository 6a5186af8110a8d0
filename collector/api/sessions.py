"""Routes for AI sessions at their limit: show one, and deny all of it that waits."""

from fastapi import APIRouter, Request

from collector.api.answers import refused
from collector.api.errors import as_refusal, documented
from collector.api.models import AnswersOut, ResultOut
from collector.api.models_sessions import CappedOut, DenySessionIn
from collector.api.services import CallerDep, RequestsReaderDep, Services, ServicesDep
from collector.approvals.capped import Capped, CappedSessions
from collector.approvals.deny_session import deny_session
from collector.card import as_dict

router = APIRouter(prefix="/sessions", tags=["sessions"])


@router.get(
    "/{name}", summary="Show an AI session at its limit", responses=documented(401, 403, 404, 422)
)
async def show_session(name: str, _: RequestsReaderDep, services: ServicesDep) -> CappedOut:
    """Show a session by the `name` that a page of requests gives; the start of it will do."""
    return capped_out(services, await CappedSessions(services.book).resolve(name))


@router.post(
    "/{name}/deny",
    summary="Deny all of an AI session that waits",
    responses=documented(401, 403, 404, 410, 413, 422),
)
async def deny_all_of_session(
    request: Request, name: str, given: DenySessionIn, caller: CallerDep, services: ServicesDep
) -> AnswersOut:
    """Deny each request of the session by itself; a refusal keeps no other from its denial.

    Nothing can be approved in this way.
    """
    capped = await CappedSessions(services.book).resolve(name)
    done = await deny_session(
        services.decider,
        capped,
        caller,
        reason=given.reason,
        via=given.via,
        card=given.card or "",
    )
    return AnswersOut(
        results=[
            ResultOut(
                request=one.record.id,
                status=200,
                result=services.shower.show(one.record, caller, with_card=True),
                error=None,
            )
            if one.refusal is None
            else refused(one.record.id, as_refusal(one.refusal, request))
            for one in done
        ]
    )


def capped_out(services: Services, capped: Capped) -> CappedOut:
    """Return a session as the API gives it, under the enrolled name of its host."""
    opened = capped.of
    shown = services.shower.cards.of_session(capped)
    return CappedOut(
        name=capped.name,
        session=opened.act.session,
        host=opened.host,
        host_name=services.shower.cards.host_name(opened),
        subject=opened.act.subject,
        waiting=capped.acts,
        requests=[one.id for one in capped.waiting],
        denied=capped.denied,
        card=as_dict(shown.card),
        card_digest=shown.digest,
    )
