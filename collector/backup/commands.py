"""`holdfast-collector backup` and `restore`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from collector import config as configuration
from collector.admin import ConfigFile


def backup(
    directory: Annotated[Path, typer.Argument(help="Where to; it must not be there yet.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Also the keys and secrets of the configuration.")
    ] = False,
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Copy the trail, people and configuration, whole, also while the collector runs."""
    from collector.backup.make import backup as make

    made = make(configuration.load(config), config, directory, keys=with_keys)
    size = sum(one.bytes for one in made.files.values())
    typer.echo(f"{directory}: {len(made.files)} files, {size} bytes, checkpoint {made.checkpoint}")
    if not with_keys:
        typer.echo("note: keys are not in it; keep them elsewhere, or use --with-keys", err=True)


def restore(
    directory: Annotated[Path, typer.Argument(help="A backup.")],
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Put a backup in place; the next start reads again what JetStream still holds."""
    from collector.backup.restore import restore as put_back

    done = put_back(directory, config)
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(done.manifest.made_ns // 10**9))
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"restored: the trail as it was on {when}, checkpoint {done.manifest.checkpoint}")
    typer.echo("next: start the collector; it reads again what JetStream still holds")
