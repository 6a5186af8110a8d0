"""Puts a backup in place: all of it is checked before any of it can be taken for a trail."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from collector import config as configuration
from collector.backup import manifest, mark, settings
from collector.backup.copying import check, copy, scratch, sync_tree
from collector.backup.make import CONFIG
from collector.backup.manifest import Manifest
from collector.backup.mark import Restored
from collector.backup.snapshot import CHECKPOINTS
from collector.backup.still import call
from collector.backup.still import place_of as socket_of
from collector.config import Config
from collector.errors import BackupError, ConfigError
from collector.keys import read_signer
from collector.trail.schema import VERSION
from collector.trail.segments.files import ROOT, make_directory, root_beside, sync_directory


@dataclass(frozen=True, slots=True)
class Done:
    """What was put back, and what somebody should know about it."""

    manifest: Manifest
    notes: tuple[str, ...]


def restore(directory: Path, config_file: Path) -> Done:
    """Put a backup where the configuration says; raise CollectorError if it cannot be.

    Where there is no configuration, that of the backup is put there first; a file that it names
    and that is not there comes from the backup, if that has it.
    """
    directory = directory.absolute()
    made, key = manifest.read(directory)
    if made.schema > VERSION:
        raise BackupError(
            f"{directory}: of a newer collector (schema {made.schema}, this one knows {VERSION}); "
            "upgrade this collector"
        )
    try:
        notes = _settle(directory, made, config_file)
        config = configuration.load(config_file)
        notes += _put_settings(directory, made, config)
        trusted = {read_signer(Path(config.signing.key_file)).key_id, *config.signing.trusted}
        if key not in trusted:
            raise BackupError(
                f"{directory / manifest.NAME}: signed by key {key}, which is neither that of "
                f"{config.signing.key_file} nor in signing.trusted; if it is yours, name it there"
            )
        trail_file = Path(config.trail.file)
        _refuse_where_something_is(config, made)
        trail_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with scratch(trail_file.with_name(f"{trail_file.name}.restoring")) as aside:
            _fetch(directory, made, aside)
            _look_at(aside, made)
            sync_tree(aside)
            _put(aside, made, config)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{directory}: not restored: {error}") from error
    return Done(made, tuple(notes))


def _settle(directory: Path, made: Manifest, config_file: Path) -> list[str]:
    """See that there is a configuration; return what was done."""
    if config_file.exists():
        return []
    if CONFIG not in made.files:
        raise ConfigError(f"{config_file}: not there, nor in the backup; make one with init")
    _one(directory, CONFIG, made, config_file)
    return [f"{config_file} is that of the backup"]


def _put_settings(directory: Path, made: Manifest, config: Config) -> list[str]:
    notes = []
    for name, key in made.settings.items():
        place = settings.named(config, key)
        if place is None:
            notes.append(f"{key} is in the backup as {name}, and not set in the configuration")
        elif not place.exists():
            _one(directory, name, made, place)
            notes.append(f"{place} is that of the backup")
        elif place.read_bytes() != (directory / name).read_bytes():
            notes.append(f"{place} stays as it is; that of the backup is {directory / name}")
    return notes


def _refuse_where_something_is(config: Config, made: Manifest) -> None:
    trail_file = Path(config.trail.file)
    if (connection := call(socket_of(trail_file))) is not None:
        connection.close()
        raise BackupError(f"{trail_file}: a collector runs on it; stop it first")
    places = [
        trail_file,
        trail_file.with_name(f"{trail_file.name}.wal"),
        root_beside(trail_file) / made.trail,
        config.trail.checkpoints,
        *settings.databases(config).values(),
    ]
    if there := [str(one) for one in places if one.exists()]:
        raise BackupError(
            f"{', '.join(there)}: there already; a restore replaces nothing: move what is there "
            "to another directory, and keep it until you know that nothing in it is needed"
        )


def _fetch(directory: Path, made: Manifest, aside: Path) -> None:
    for name in made.files:
        if name != CONFIG and name not in made.settings:
            _one(directory, name, made, aside / name)


def _one(directory: Path, name: str, made: Manifest, place: Path) -> None:
    """Bring one file of the backup to its place; nothing is there if it is not what it was."""
    source, partial = directory / name, place.with_name(f".{place.name}.restoring")
    if not source.is_file():
        raise BackupError(f"{source}: missing; take another backup")
    partial.unlink(missing_ok=True)
    try:
        check(source, made.files[name], copy(source, partial))
        os.rename(partial, place)
    finally:
        partial.unlink(missing_ok=True)


def _look_at(aside: Path, made: Manifest) -> None:
    """See that the trail can be opened and is the one that it should be."""
    if not (aside / "trail.duckdb").exists():
        raise BackupError("the backup has no trail.duckdb; take another backup")
    try:
        with closing(duckdb.connect(str(aside / "trail.duckdb"), read_only=True)) as connection:
            found = connection.execute("SELECT any_value(trail) FROM schema_version").fetchone()
    except duckdb.Error as error:
        raise BackupError(f"the trail of the backup cannot be opened: {error}") from error
    if found != (made.trail,):
        raise BackupError("the trail of the backup is not the one that its manifest names")
    identities = aside / "identities.db"
    if identities.exists():
        with closing(sqlite3.connect(identities)) as people, people:
            # What was copied after the backup is to be copied again.
            people.execute("DELETE FROM sign_in_copied WHERE trail = ?", (made.trail,))


def _put(aside: Path, made: Manifest, config: Config) -> None:
    """Bring everything to its place; the trail comes last, so nothing before is taken for one."""
    trail_file = Path(config.trail.file)
    make_directory(root_beside(trail_file))
    segments = aside / ROOT / made.trail
    segments.mkdir(mode=0o700, parents=True, exist_ok=True)
    _move(segments, root_beside(trail_file) / made.trail, os.rename)
    for name, place in settings.databases(config).items():
        if (aside / name).exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _move(aside / name, place)
    _move(aside / CHECKPOINTS, config.trail.checkpoints)
    mark.put(trail_file, Restored(made.trail, made.checkpoint, made.made_ns, time.time_ns()))
    _move(aside / "trail.duckdb", trail_file, os.rename)


def _move(source: Path, place: Path, move: Callable[[Path, Path], object] = shutil.move) -> None:
    move(source, place)
    sync_directory(place.parent)
