"""Routes for exports: the trail as a file."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from collector.api.errors import documented
from collector.api.export_stream import ExportStream
from collector.api.fields import Text, Time
from collector.api.models_trail import ExportOut, ExportsOut
from collector.api.requests import to_ns
from collector.api.services import ServicesDep, TrailReaderDep
from collector.errors import Refusal
from collector.export.formats import MEDIA_TYPES, Format
from collector.export.measures import METRICS_TYPE, written
from collector.export.reading import Wanted
from collector.export.sources import SOURCES
from collector.trail.retention.measures import written as written_retention

router = APIRouter(tags=["trail"])


@router.get(
    "/trail/export",
    summary="Export records of one table, oldest first",
    responses=documented(401, 403, 422)
    | {
        200: {
            "content": {kind: {} for kind in sorted(set(MEDIA_TYPES.values()))},
            "description": "the records, as they are read",
        }
    },
    response_class=Response,
)
async def export_trail(
    _: TrailReaderDep,
    services: ServicesDep,
    format: Format = Format.JSONL,
    what: Annotated[Text, Query(description="a table of docs/export.md")] = "events",
    since: Time | None = None,
    until: Time | None = None,
    after: Annotated[Text | None, Query(description="the id of the last record that came")] = None,
    where: Annotated[Text | None, Query(description="a condition, as behind WHERE")] = None,
) -> Response:
    """Send every record in order of time and key. A connection that ends early was cut off."""
    source = SOURCES.get(what)
    if source is None:
        raise Refusal(
            422,
            "validation",
            f"what: {what[:80]!r} cannot be exported",
            f"give one of {', '.join(SOURCES)}",
        )
    await services.book.caught_up()  # who has answered finds the answer here
    wanted = Wanted(source, to_ns(since), to_ns(until), after, where)
    return ExportStream(
        services.downloads,
        partial(services.downloads.open, wanted, format),
        media_type=MEDIA_TYPES[format],
        name=f"{source.name}.{_ENDINGS.get(format, 'jsonl')}",
    )


@router.get("/exports", summary="How continuous exports do", responses=documented(401, 403))
async def exports(_: TrailReaderDep, services: ServicesDep) -> ExportsOut:
    """List every continuous export with its lag, and what went wrong last."""
    return ExportsOut(
        exports=[
            ExportOut(
                name=one.settings.name,
                kind=one.settings.kind.value,
                to=one.settings.to,
                format=one.settings.format.value,
                what=list(one.settings.what),
                sent=one.sent,
                lag_s=round(one.lag_s, 3),
                failures=one.failures,
                trouble=one.trouble,
                worked_ns=one.worked_ns,
                gone=one.gone,
            )
            for one in services.exporters.health()
        ]
    )


@router.get(
    "/metrics",
    summary="Measures for Prometheus",
    responses=documented(401, 403) | {200: {"content": {METRICS_TYPE: {}}}},
    response_class=Response,
)
async def metrics(_: TrailReaderDep, services: ServicesDep) -> Response:
    """Give the measures of docs/export.md and docs/retention.md in the format of Prometheus."""
    text = written(services.exporters.health())
    if services.retention is not None:
        text += written_retention(services.retention.figures())
    return Response(text, media_type=METRICS_TYPE)


_ENDINGS = {Format.CSV: "csv", Format.PARQUET: "parquet"}
