"""The trail as it is in one moment, beside it and on its file system: a copy of the DuckDB file,
hard links to the segments, which never change.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector.backup.copying import clone, scratch
from collector.backup.still import call, place_of
from collector.errors import BackupError
from collector.trail.segments.files import ENDING, root_beside

SCRATCH = ".backup"
CHECKPOINTS = "checkpoints.jsonl"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`directory` has trail.duckdb, checkpoints.jsonl, segments/ID; `checkpoint`: the newest."""

    directory: Path
    trail: str
    schema: int
    checkpoint: int
    segments: tuple[str, ...]


@contextmanager
def snapshot(trail_file: Path) -> Iterator[Snapshot]:
    """Give a snapshot of a trail, whether a collector runs on it or not, and remove it at the end.

    Raises BackupError, StateError or OSError.
    """
    if not trail_file.exists():
        raise BackupError(f"{trail_file}: there is no trail; name the right --config")
    root = root_beside(trail_file)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(root), scratch(root / SCRATCH) as directory:
        copied = directory / "trail.duckdb"
        connection = call(place_of(trail_file))
        if connection is None:
            _copy_alone(trail_file, copied)
        else:
            with closing(connection):
                _copy_held(connection, trail_file, copied)
        yield _opened(directory, copied)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """See that one backup of a trail runs at a time."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BackupError("another backup of this trail runs; wait until it has ended") from error
    finally:
        os.close(descriptor)


def _copy_held(connection: socket.socket, trail_file: Path, copied: Path) -> None:
    """Copy while the collector holds still, and believe it only if it has until the end."""
    answers = connection.makefile("rb")
    if not _said(answers.readline(), "still"):
        raise BackupError(
            "the collector does not hold still; its log says why. Run this as its own user"
        )
    _copy(trail_file, copied)
    connection.sendall(b"done\n")
    if not _said(answers.readline(), "whole"):
        raise BackupError(
            f"{trail_file}: the copy took longer than a collector waits, or it ended meanwhile; "
            "try again when the disk has less to do"
        )


def _copy_alone(trail_file: Path, copied: Path) -> None:
    """Copy while no collector can have the trail open, since this process has."""
    try:
        connection = duckdb.connect(str(trail_file), read_only=True)
    except duckdb.Error as error:
        raise BackupError(
            f"{trail_file}: cannot be opened, and no collector answers that has it open: {error}"
        ) from error
    with closing(connection):
        _copy(trail_file, copied)


def _copy(trail_file: Path, copied: Path) -> None:
    links = copied.with_name("links")
    links.mkdir(mode=0o700)
    # Which of them belong to this moment, the copy itself says.
    for path in root_beside(trail_file).glob(f"[!.]*/*{ENDING}"):
        place = links / path.parent.name / path.name
        place.parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):  # what was merged into another is deleted at any time
            os.link(path, place)
    # The lock is on the file without an ending, and goes when any copier closes it: so it is last.
    for ending in (".wal", ""):
        source = trail_file.with_name(trail_file.name + ending)
        if source.exists():
            clone(source, copied.with_name(copied.name + ending))


def _opened(directory: Path, copied: Path) -> Snapshot:
    """Bring the copy's log into it, and look what belongs to it; raise BackupError."""
    try:
        with closing(duckdb.connect(str(copied))) as connection:
            trail, schema = connection.execute(
                "SELECT any_value(trail), max(version) FROM schema_version"
            ).fetchall()[0]
            lines = connection.execute(
                "SELECT number, line FROM checkpoints ORDER BY number"
            ).fetchall()
            segments = connection.execute(
                "SELECT file, bytes FROM segments WHERE missing_ns IS NULL ORDER BY file"
            ).fetchall()
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise BackupError(f"the copy of the trail cannot be read: {error}") from error
    with (directory / CHECKPOINTS).open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for _, line in lines)
    (directory / "segments").mkdir(mode=0o700)
    here = directory / "links" / trail
    if segments:
        os.rename(here, directory / "segments" / trail)
    for name, size in segments:
        path = directory / "segments" / trail / name
        if not path.exists() or path.stat().st_size != size:
            raise BackupError(f"{name}: this segment is missing or cut; `trail verify` says more")
    names = tuple(name for name, _ in segments)
    return Snapshot(directory, trail, schema, lines[-1][0] if lines else 0, names)


def _said(answer: bytes, word: str) -> bool:
    try:
        return bool(json.loads(answer or b"{}").get(word))
    except (ValueError, AttributeError):
        return False
