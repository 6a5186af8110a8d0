"""What a process uses: processor time and memory, as /proc says."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process with all its threads: seconds of processor time, memory in bytes."""

    cpu_s: float
    resident: int
    peak: int  # since reset_peak, or since its start


def usage(pid: int) -> Usage:
    """Return what a process has used so far. Processor time is counted in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    sizes = {words[0]: int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / TICKS_PER_S, sizes["VmRSS:"], sizes["VmHWM:"])


def reset_peak(pid: int) -> None:
    """Let the peak of a process's memory count from now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)
