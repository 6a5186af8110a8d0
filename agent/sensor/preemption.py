"""Whether the kernel may take a processor from a task in the middle of our programs.

Programs on security functions work in memory of their processor. Where another task can come in
between, its act could be mixed with that of the first; raw tracepoints are never interrupted so.
"""

import re
from pathlib import Path

_CHOSEN = Path("/sys/kernel/debug/sched/preempt")
_SAFE = frozenset({"none", "voluntary"})


def preempts(version: str, command_line: str = "", chosen: str | None = None) -> str:
    """Return the model by which a kernel preempts itself, empty if it does not. Pure.

    `version` is what uname -v says, `chosen` what debugfs says, if it is mounted.
    """
    if chosen is not None:
        found = re.search(r"\((\w+)\)", chosen)
        model = found[1] if found else chosen.strip()
        return "" if model in _SAFE else model
    asked = re.findall(r"(?:^|\s)preempt=(\w+)", command_line)
    if "PREEMPT_RT" in version:
        return "rt"
    if "PREEMPT_DYNAMIC" in version:
        # Distributions that leave the choice to the start have voluntary as what is chosen.
        return "" if not asked or asked[-1] in _SAFE else asked[-1]
    return "full" if re.search(r"\bPREEMPT\b", version) else ""


def of_this_kernel() -> str:
    """Return the model of the running kernel, empty if it does not preempt itself."""
    version = Path("/proc/version").read_text()
    try:
        chosen: str | None = _CHOSEN.read_text()
    except OSError:
        chosen = None
    return preempts(version, Path("/proc/cmdline").read_text(), chosen)
