"""How much of what was lost is in the record already, kept until the next boot."""

from pathlib import Path

import msgspec

from agent.sensor.interface import Losses

_NOTHING = Losses(events=0, holds=0, labels=0)


class Told:
    """One small file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Losses:
        """Return what was noted, nothing if that cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Losses)
        except (OSError, msgspec.MsgspecError):
            return _NOTHING

    def write(self, losses: Losses) -> None:
        """Note it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._path.with_name(f".{self._path.name}")
        part.write_bytes(msgspec.json.encode(losses))
        part.rename(self._path)

    def clear(self) -> None:
        """Forget it."""
        self._path.unlink(missing_ok=True)
