"""How the channels do: for whoever wonders why a card did not come."""

import logging

from fastapi import APIRouter

from collector.api.errors import documented
from collector.api.models_trail import CardFailureOut, ChannelsOut, RouteOut
from collector.api.services import ServicesDep, TrailReaderDep
from collector.errors import Refusal, StateError

log = logging.getLogger(__name__)

router = APIRouter()


@router.get(
    "/channels",
    tags=["health"],
    summary="How the channels do",
    responses=documented(401, 403),
)
async def channels(_: TrailReaderDep, services: ServicesDep) -> ChannelsOut:
    """List every route in use, and the newest cards that a channel has refused."""
    try:
        found = await services.channels.overview()
    except StateError as error:
        log.error("api: %s", error)
        raise Refusal(
            503,
            "channels_unavailable",
            "the record of cards cannot be read",
            "see the collector's log",
        ) from error
    return ChannelsOut(
        routes=[
            RouteOut(
                route=str(lane.route),
                waiting=lane.waiting,
                trouble=lane.trouble,
                worked_ns=lane.worked_ns,
            )
            for lane in found.lanes
        ],
        refused=[
            CardFailureOut(request=card.request, route=str(card.route), why=card.why)
            for card in found.failures
        ],
    )
