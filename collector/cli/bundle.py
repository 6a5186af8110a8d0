"""The command `trail bundle`: works on the collector's own files, without asking it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from collector.cli.errors import CliError
from collector.cli.run import Run

_VIEWS = Path("/var/lib/holdfast-collector/views.duckdb")


def bundle(
    run: Run,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="The new directory, or an archive: NAME.tar.")
    ],
    views: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="views.duckdb of the trail.")
    ] = _VIEWS,
) -> None:
    """Make a copy of the trail that any DuckDB client opens anywhere."""
    from collector.errors import TrailError
    from collector.trail.analysts.bundle import make_bundle, total

    try:
        made = make_bundle(views, target)
    except TrailError as error:
        raise CliError(
            "no_bundle", str(error), "see docs/trail.md on where the trail is and who may read it"
        ) from error
    if run.json:
        run.print_json(asdict(made))
        return
    run.note(
        f"{target}: {len(made.files)} files, {total(made.files)} bytes, as of {made.made_at}; "
        "open views.duckdb from within it"
    )
