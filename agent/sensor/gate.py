"""Mode `gate`: the security functions of the kernel. A call is held before it has done anything."""

from pathlib import Path

from agent.sensor import programs
from agent.sensor.mapped import MappedSensor
from agent.sensor.sides import FMOD_RET, LSM, Side
from wire.acts import Kind


class GateSensor(MappedSensor):
    """Implements interface.Sensor; by BPF LSM programs, or by fmod_ret where none is called."""

    mode = "gate"

    def __init__(self, bpffs: Path, cache: Path | None = None, *, side: Side = LSM) -> None:
        """As MappedSensor; `side` is LSM or FMOD_RET, see choose."""
        assert side in (LSM, FMOD_RET)
        super().__init__(bpffs, cache)
        self.side = side

    def missing(self) -> frozenset[Kind]:
        """Return the kinds of act that this kernel has no place to hold at."""
        return programs.missing(self._directory)
