"""Mode `gate`: the security functions of the kernel. A call is held before it has done anything."""

import select
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

from agent.sensor import programs
from agent.sensor.interface import HeldKey, Permits, Subject
from agent.sensor.mapped import MappedSensor
from agent.sensor.permits import KernelPermits, NoPermits
from agent.sensor.sides import FMOD_RET, LSM, Side
from rules.superset import KernelTables
from wire.acts import Kind


class GateSensor(MappedSensor):
    """Implements interface.Sensor; by BPF LSM programs, or by fmod_ret where none is called."""

    mode = "gate"

    def __init__(self, bpffs: Path, cache: Path | None = None, *, side: Side = LSM) -> None:
        """As MappedSensor; `side` is LSM or FMOD_RET, see choose."""
        assert side in (LSM, FMOD_RET)
        super().__init__(bpffs, cache)
        self.side = side

    def start(
        self,
        subjects: Sequence[Subject],
        tables: KernelTables,
        journalled: Collection[HeldKey] = (),
    ) -> None:
        """Load or take up the kernel side, then label what already runs; raise SensorError."""
        self._close_permits()  # what an upgrade has replaced
        super().start(subjects, tables, journalled)
        self._holds_epoll.register(self._kernel_permits.fd, select.EPOLLIN)

    @property
    def permits(self) -> Permits:
        """What passes without a stop."""
        # Nothing loaded, or by an older version: then nothing does.
        if not (self._directory / "maps" / "hf_uses").exists():
            return NoPermits()
        return self._kernel_permits

    @cached_property
    def _kernel_permits(self) -> KernelPermits:
        return KernelPermits(self._directory / "maps")

    def missing(self) -> frozenset[Kind]:
        """Return the kinds of act that this kernel has no place to hold at."""
        return programs.missing(self._directory)

    def close(self) -> None:
        """Let go of descriptors; what is pinned stays and goes on working."""
        self._close_permits()
        super().close()

    def _close_permits(self) -> None:
        if "_kernel_permits" in self.__dict__:
            self.__dict__.pop("_kernel_permits").close()
