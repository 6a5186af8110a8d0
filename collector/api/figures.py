"""The route for figures: how fast people decide, and how often they approve."""

from fastapi import APIRouter

from collector.api.errors import documented
from collector.api.fields import Time
from collector.api.models_trail import FiguresOut, ReviewerFigures, RuleFigures
from collector.api.requests import to_ns
from collector.api.services import ServicesDep, TrailReaderDep

router = APIRouter()


@router.get(
    "/figures",
    tags=["trail"],
    summary="How reviewers decide, by person and by rule",
    responses=documented(401, 403, 422),
)
async def figures(
    _: TrailReaderDep, services: ServicesDep, since: Time | None = None
) -> FiguresOut:
    """Count what people answered since then: how many, how fast, and how many approvals."""
    await services.book.caught_up()  # who has answered is counted
    found = await services.reader.figures(to_ns(since) or 0)
    return FiguresOut(
        reviewers=[ReviewerFigures(**one) for one in found["reviewers"]],
        rules=[RuleFigures(**one) for one in found["rules"]],
    )
