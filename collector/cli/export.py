"""`holdfast trail export`: records of the trail into a file or a pipe, as they come."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from collector.cli.errors import CliError, UnreachableError, UsageError
from collector.cli.run import Run
from collector.cli.words import instant

_TIME = "30m, 2h, 7d or ISO 8601."


class Format(StrEnum):
    """What an export may be in; as collector.export.formats, which is slow to load."""

    OCSF = "ocsf"
    ECS = "ecs"
    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


def export(
    run: Run,
    output: Annotated[
        str, typer.Option("--output", "-o", help="A file, or - for standard output.")
    ] = "-",
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.JSONL,
    what: Annotated[str, typer.Option(help="The table: events, holds, decisions, …")] = "events",
    since: Annotated[
        str | None, typer.Option("--from", help=f"Since; {_TIME}", metavar="TIME")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help=f"Until, not included; {_TIME}", metavar="TIME")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="A condition on its columns, as behind WHERE.", metavar="SQL")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Go on after the record with this id.", metavar="ID")
    ] = None,
) -> None:
    """Export records of one table, oldest first: OCSF, ECS, CSV, Parquet or JSON lines."""
    terminal = output == "-" and sys.stdout.isatty()
    if terminal and format in (Format.CSV, Format.PARQUET):
        # CSV has no way to write letters that a terminal would obey as others.
        raise UsageError("no_file", f"{format.value} is nothing for a terminal", "give -o FILE")
    parts = run.centre.download(
        "/trail/export",
        format=format.value,
        what=what,
        since=instant(since, option="--from"),
        until=instant(until, option="--to"),
        where=where,
        after=after,
    )
    first = next(parts, b"")  # a refusal comes before there is a file
    if output == "-":
        shown = for_terminal if terminal else bytes
        _write(sys.stdout.buffer, first, parts, format, Path("standard output"), shown)
        return
    path = Path(output)
    _to_file(path, first, parts, format)
    run.note(f"{path}: {path.stat().st_size} bytes")


def _to_file(path: Path, first: bytes, parts: Iterator[bytes], made_in: Format) -> None:
    """Write beside the file, and give it its name when it is whole."""
    partial = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(partial, _FLAGS, 0o600), "w+b") as file:
            _write(file, first, parts, made_in, partial)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise CliError(
            "not_written",
            f"{error.filename or partial}: {error.strerror or error}",
            "give a file that can be written",
        ) from error


def exports(run: Run) -> None:
    """List the continuous exports of the trail, and how far each has come."""
    found = run.centre.get("/exports")
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_exports

    if not found["exports"]:
        run.note("the trail is not exported continuously; docs/export.md says how to set it up")
        return
    print_exports(run.console, found["exports"])


_FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def for_terminal(lines: bytes) -> bytes:
    """Return lines of JSON in plain ASCII: text of others is nothing that a terminal obeys."""
    return b"".join(json.dumps(json.loads(line)).encode() + b"\n" for line in lines.splitlines())


def _write(
    file: BinaryIO,
    first: bytes,
    parts: Iterator[bytes],
    made_in: Format,
    place: Path,
    shown: Callable[[bytes], bytes] = bytes,
) -> None:
    """Write what comes, in whole records; raise UnreachableError naming the last one if cut off."""
    tail = b""
    last = b""  # the last whole record
    header = made_in is Format.CSV
    piece: bytes | None = first
    try:
        while piece is not None:
            if made_in is Format.PARQUET:
                file.write(piece)
            else:
                tail += piece
                end = _whole(tail, made_in)
                if end:
                    file.write(shown(tail[:end]))
                    last, tail = _last_record(tail[:end], made_in) or last, tail[end:]
            piece = next(parts, None)
        file.write(tail)
        file.flush()
    except UnreachableError as error:
        file.flush()
        raise _cut_off(error, last, made_in, place, header=header) from error


def _whole(data: bytes, made_in: Format) -> int:
    """Return how much of it is whole records."""
    end = data.rfind(b"\n") + 1
    if made_in is Format.CSV:
        # A line break between quotes is part of a value; quotes in a value are doubled.
        while end and data.count(b'"', 0, end) % 2:
            end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def _last_record(data: bytes, made_in: Format) -> bytes:
    """Return the last of some whole records."""
    start = len(data)
    while start:
        start = data.rfind(b"\n", 0, start - 1) + 1
        if made_in is not Format.CSV or data.count(b'"', start) % 2 == 0:
            return data[start:]
    return data


_IDS: dict[Format, Callable[[bytes], str]] = {
    Format.JSONL: lambda line: str(json.loads(line)["id"]),
    Format.OCSF: lambda line: str(json.loads(line)["metadata"]["uid"]),
    Format.ECS: lambda line: str(json.loads(line)["event"]["id"]),
    Format.CSV: lambda line: next(csv.reader(io.StringIO(line.decode())))[0],
}


def _cut_off(
    error: UnreachableError, last: bytes, made_in: Format, place: Path, *, header: bool
) -> UnreachableError:
    record = _IDS[made_in](last) if last and made_in in _IDS else ""
    if not record or record == "id":
        return UnreachableError(
            "cut_off", f"the export was cut off: {error.message}", "run it again"
        )
    note = "; its first line is the header again" if header else ""
    return UnreachableError(
        "cut_off",
        f"the export was cut off; what came is in {place}",
        f"go on with --after {record}{note}",
        {"after": record},
    )
