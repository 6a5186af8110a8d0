"""Makes a copy of the trail that stands alone, from `views.duckdb` and the files that it reads."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from collector.errors import TrailError
from collector.trail.analysts.views_file import ABOUT
from collector.trail.macros import MACROS

DATA = "data"
CHECKPOINTS = "checkpoints.jsonl"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class BundledFile:
    """A file of the bundle, by its path in it. `table` is empty for what is no data."""

    table: str
    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """What manifest.json says."""

    trail: str
    schema_version: int
    made_at: str  # the moment that it shows, ISO 8601, UTC
    files: tuple[BundledFile, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """What views.duckdb says: its files by table, the SQL of its views, and of which moment."""

    files: tuple[tuple[str, Path, int], ...]
    views: dict[str, str]
    about: tuple[str, int, str]


def make_bundle(views: Path, target: Path) -> Bundle:
    """Write the directory, or the archive if `target` ends in .tar; raise TrailError.

    It is complete when it has its name; what was begun and not finished ends in .new.
    """
    new = target.with_name(target.name + ".new")
    if target.exists() or new.exists():
        found = target if target.exists() else new
        raise TrailError(f"{found} is there already; name another place, or remove it")
    try:
        new.mkdir(mode=0o700, parents=True)
        (new / DATA).mkdir(mode=0o700)
        source = _copy(views, new)
        checkpoints = views.with_name(CHECKPOINTS)
        if checkpoints.exists():
            shutil.copyfile(checkpoints, new / CHECKPOINTS)
        bundle = _complete(source, new)
        if target.suffix == ".tar":
            _archive(new, target)
        else:
            new.rename(target)
    except (OSError, duckdb.Error) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise TrailError(f"{target}: the bundle cannot be made: {error}") from error
    return bundle


def _copy(views: Path, new: Path) -> _Source:
    """Copy every file of one list; files may go away meanwhile, and then there is a newer list."""
    for _ in range(_TRIES):
        source = _read(views)
        wanted = {path.name for _, path, _ in source.files}
        for leftover in (new / DATA).iterdir():
            if leftover.name not in wanted:
                leftover.unlink()
        try:
            for _, path, _ in source.files:
                if not (new / DATA / path.name).exists():  # files never change
                    shutil.copyfile(path, new / DATA / (path.name + ".part"))
                    (new / DATA / (path.name + ".part")).rename(new / DATA / path.name)
        except FileNotFoundError:
            continue
        return source
    raise TrailError(
        f"{views}: files went away {_TRIES} times while they were copied; copy to a faster disk, "
        "or set trail.grace_seconds higher"
    )


def _read(views: Path) -> _Source:
    if not views.exists():
        raise TrailError(f"{views} is not there; a running collector makes it beside its trail")
    with duckdb.connect(str(views), read_only=True) as connection:
        rows = connection.execute("SELECT table_name, file, rows FROM files").fetchall()
        sql = connection.execute(
            "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        trail, version, made = connection.execute(
            "SELECT trail, schema_version, strftime(made_at, '%Y-%m-%dT%H:%M:%SZ') FROM about"
        ).fetchall()[0]
    return _Source(
        files=tuple((str(table), Path(file), int(count)) for table, file, count in rows),
        views={str(name): str(text) for name, text in sql},
        about=(str(trail), int(version), str(made)),
    )


def _complete(source: _Source, new: Path) -> Bundle:
    """Add the views, with paths from within the directory, and the manifest."""
    statements = _views(source, new)
    text = "".join(f"{one.rstrip().rstrip(';')};\n" for one in statements)
    (new / "views.sql").write_text(text, encoding="utf-8")
    trail, version, made = source.about
    files = [
        _described(new, f"{DATA}/{path.name}", table, rows) for table, path, rows in source.files
    ]
    others = [path.name for path in sorted(new.iterdir()) if path.is_file()]
    files += [_described(new, name, "", 0) for name in others]
    bundle = Bundle(trail, version, made, tuple(files))
    manifest = json.dumps(asdict(bundle), indent=1, ensure_ascii=False)
    (new / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
    return bundle


def _views(source: _Source, new: Path) -> list[str]:
    """Make views.duckdb; return the statements that make its views, in an order that works."""
    place = str(new.resolve()).replace("'", "''")
    waiting = [_relative(sql, source) for sql in source.views.values()]
    done: list[str] = []
    with duckdb.connect(str(new / "views.duckdb")) as connection:
        connection.execute(f"SET file_search_path = '{place}'")
        while waiting:
            left = [sql for sql in waiting if not _made(connection, sql)]
            if len(left) == len(waiting):
                raise TrailError(f"a view cannot be made: {left[0][:200]}")
            done += [sql for sql in waiting if sql not in left]
            waiting = left
        for statement in MACROS.values():
            connection.execute(statement)
            done.append(statement.strip())
        connection.execute(ABOUT)
        connection.execute("INSERT INTO about VALUES (?, ?, ?::TIMESTAMP)", [*source.about])
        for table, path, rows in source.files:
            found = connection.execute(
                "SELECT count(*) FROM read_parquet(?)", [f"{DATA}/{path.name}"]
            ).fetchall()[0][0]
            if found != rows:
                raise TrailError(f"{path}: it has {found} rows of {table}, not {rows}; damaged")
    return done


def _made(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        connection.execute(sql)
    except duckdb.CatalogException:  # stands on one that is not there yet
        return False
    return True


def _relative(sql: str, source: _Source) -> str:
    for _, path, _ in source.files:
        quoted = str(path).replace("'", "''")
        sql = sql.replace(f"'{quoted}'", f"'{DATA}/{path.name}'")
    return sql


def _described(new: Path, file: str, table: str, rows: int) -> BundledFile:
    path = new / file
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return BundledFile(table, file, rows, path.stat().st_size, digest)


def _archive(new: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            tarfile.open(fileobj=file, mode="w") as archive,
        ):
            archive.add(new, arcname=target.stem)
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    shutil.rmtree(new)


def total(files: Sequence[BundledFile]) -> int:
    """Return the bytes of all files."""
    return sum(one.bytes for one in files)
