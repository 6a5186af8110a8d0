"""The route that takes several answers at once: each stands for itself, and has its own result."""

from fastapi import APIRouter, Request

from collector.api.errors import as_refusal, documented
from collector.api.models import AnswerIn, AnswersIn, AnswersOut, ErrorBody, ResultOut
from collector.api.services import CallerDep, Services, ServicesDep
from collector.errors import CollectorError, Refusal
from collector.identity.people import Caller

router = APIRouter(prefix="/requests", tags=["requests"])

# Each further answer would wait for as long as the first one did, for nothing.
_HOPELESS = ("nats_unavailable", "answer_unconfirmed", "trail_unavailable")


@router.post(
    "/decisions",
    summary="Answer several requests",
    responses=documented(401, 403, 413, 422),
)
async def decide_requests(
    request: Request, given: AnswersIn, caller: CallerDep, services: ServicesDep
) -> AnswersOut:
    """Answer each request by itself, in this order; a refusal keeps no other from its answer.

    The status of the whole is 200 whatever the results are.
    """
    results: list[ResultOut] = []
    hopeless = False
    for answer in given.answers:
        if hopeless:
            results.append(refused(answer.request, _NOT_TRIED))
            continue
        try:
            results.append(await _answer(services, caller, answer, given.via))
        except CollectorError as error:
            refusal = as_refusal(error, request)
            hopeless = refusal.code in _HOPELESS
            results.append(refused(answer.request, refusal))
    return AnswersOut(results=results)


_NOT_TRIED = Refusal(
    503,
    "not_tried",
    "an answer before this one could not be stored, so this one was not tried",
    "look at the requests again before you answer them again",
)


async def _answer(services: Services, caller: Caller, answer: AnswerIn, via: str) -> ResultOut:
    record = await services.decider.decide(
        caller,
        await services.book.resolve(answer.request),
        answer=answer.answer,
        reason=answer.reason,
        digest=answer.digest,
        card=answer.card or "",
        via=via,
    )
    shown = services.shower.show(record, caller, with_card=True)
    return ResultOut(request=record.id, status=200, result=shown, error=None)


def refused(request: str, refusal: Refusal) -> ResultOut:
    """Return the result of an answer that was not taken."""
    said = {"code": refusal.code, "message": refusal.message, "remedy": refusal.remedy}
    error = ErrorBody.model_validate({**refusal.extra, **said})
    return ResultOut(request=request, status=refusal.status, result=None, error=error)
