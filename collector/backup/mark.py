"""What a restore leaves beside the trail for the collector that starts on it, until all is done:
the streams are read again from their beginning, and the next checkpoint says that it was restored.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from collector.errors import BackupError
from collector.keys import write_atomically


@dataclass(frozen=True, slots=True)
class Restored:
    """`checkpoint`: the newest that the backup had, 0 for none; when that and the restore were."""

    trail: str
    checkpoint: int
    backup_ns: int
    restored_ns: int


def place_of(trail_file: Path) -> Path:
    """Return where it lies."""
    return trail_file.with_name(f"{trail_file.name}.restored")


def put(trail_file: Path, restored: Restored) -> None:
    """Leave the mark; raise StateError."""
    write_atomically(place_of(trail_file), json.dumps(asdict(restored)) + "\n")


def look(trail_file: Path, trail: str) -> Restored | None:
    """Return the mark of a trail, None if it was not restored; raise BackupError."""
    place = place_of(trail_file)
    try:
        restored = Restored(**json.loads(place.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{place}: cannot be read: {error}; restore again") from error
    return restored if restored.trail == trail else None


def remove(trail_file: Path) -> None:
    """All is done; raise OSError."""
    place_of(trail_file).unlink(missing_ok=True)
