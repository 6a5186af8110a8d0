"""Makes a backup: everything into a directory of another name, renamed when it is whole."""

import os
import sqlite3
import time
from pathlib import Path

from collector.backup import manifest, settings
from collector.backup.copying import copy, copy_sqlite, scratch, sync_tree
from collector.backup.manifest import Entry, Manifest
from collector.backup.snapshot import CHECKPOINTS, snapshot
from collector.config import Config
from collector.errors import BackupError
from collector.keys import read_signer
from collector.trail.segments.files import sync_directory

CONFIG = "collector.toml"
_WHAT = "is there already; a backup replaces nothing: name a directory that is not there"


def backup(config: Config, config_file: Path, directory: Path, *, keys: bool) -> Manifest:
    """Make a backup at `directory`; raise CollectorError if none could be made.

    `keys`: with the secrets that the configuration names.
    """
    directory = directory.absolute()
    if directory.exists():
        raise BackupError(f"{directory} {_WHAT}")
    signer = read_signer(Path(config.signing.key_file))
    try:
        with scratch(directory.with_name(f"{directory.name}.partial")) as partial:
            with snapshot(Path(config.trail.file)) as taken:
                made_ns = time.time_ns()
                names = ["trail.duckdb", CHECKPOINTS]
                names += [f"segments/{taken.trail}/{one}" for one in taken.segments]
                files = {one: copy(taken.directory / one, partial / one) for one in names}
                # Behind the trail: whoever is named in that is in here.
                files |= _databases(config, taken.directory, partial)
            files[CONFIG] = copy(config_file, partial / CONFIG)
            found = settings.files(config, secrets=keys)
            for key, path in found.items():
                files[f"files/{key}"] = copy(path, partial / "files" / key)
            made = Manifest(
                trail=taken.trail,
                schema=taken.schema,
                made_ns=made_ns,
                checkpoint=taken.checkpoint,
                files=files,
                settings={f"files/{key}": key for key in found},
            )
            manifest.write(partial, made, signer)
            sync_tree(partial)
            os.rename(partial, directory)
            sync_directory(directory.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{directory}: no backup was made: {error}") from error
    return made


def _databases(config: Config, aside: Path, partial: Path) -> dict[str, Entry]:
    files = {}
    for name, path in settings.databases(config).items():
        if path.exists():
            copy_sqlite(path, aside / name)
            files[name] = copy(aside / name, partial / name)
    return files
