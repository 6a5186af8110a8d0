"""`holdfast trail verify`: checks the trail's files, without asking any collector."""

from pathlib import Path
from typing import Annotated

import typer

from collector.cli.errors import CliError, UsageError
from collector.cli.run import Run

_MOST_SHOWN = 200


def verify(
    run: Run,
    trail: Annotated[
        Path, typer.Option(metavar="DIR", help="The directory of the trail, or its file.")
    ] = Path("/var/lib/holdfast-collector"),
    public_key: Annotated[
        list[str] | None,
        typer.Option(metavar="HEX", help="A key that checkpoints may be signed by; repeatable."),
    ] = None,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Checkpoints that an anchor has kept; repeatable."),
    ] = None,
) -> None:
    """Check from its files that nothing in the trail was changed since; name what was."""
    from collector.errors import ProofError
    from collector.proof.verify.check import verify as check
    from collector.sanitize import harmless

    keys = frozenset(key.lower() for key in public_key or ())
    if any(len(key) != 64 or set(key) - set("0123456789abcdef") for key in keys):
        raise UsageError("key", "a public key has 64 hexadecimal digits", "give it as it is")
    try:
        report = check(trail, trusted=keys, anchors=tuple(anchor or ()))
    except ProofError as error:
        raise UsageError("unreadable", str(error), "") from error
    if run.json:
        run.print_json(
            {
                "sound": report.sound,
                "findings": [
                    {"what": one.what.value, "where": one.where, "which": one.which}
                    for one in report.findings
                ],
                "notes": report.notes,
                "anchored": report.anchored,
                "keys": report.keys,
                "checked": report.figures,
            }
        )
    for finding in report.findings[:_MOST_SHOWN]:
        run.say(harmless(str(finding)))
    if len(report.findings) > _MOST_SHOWN:
        run.say(f"and {len(report.findings) - _MOST_SHOWN} more; --json has them all")
    for note in report.notes:
        run.note(harmless(f"note: {note}"))
    figures = report.figures
    apart = ("events", "checkpoints", "dropped_by_retention")
    rows = sum(count for name, count in figures.items() if name not in apart)
    run.say(
        f"{figures['events']} events, {rows} rows of other tables, {figures['checkpoints']} "
        f"checkpoints; {harmless(report.anchored)}"
    )
    if not report.sound:
        count = len(report.findings)
        raise CliError(
            "changed",
            f"{count} thing{'' if count == 1 else 's'} in the trail not as recorded",
            "keep the files as they are, and compare with a backup and the stream HF_CHECKPOINTS",
        )
    run.say("OK")
