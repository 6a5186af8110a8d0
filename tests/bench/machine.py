"""On what was measured: the machine, the versions and the commit, as the page names them."""

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from deploy.bootstrap.system import os_release
from tests.bench.page import COMMAND, HERE, Table


def facts() -> Table:
    """Return what the machine is and what runs on it."""
    load = os.getloadavg()[0]
    rows = [
        ("Processors", f"{os.cpu_count()}: {_processor()}"),
        ("Memory", f"{_memory_gib():.1f} GiB"),
        ("A virtual machine", _virtual()),
        ("Kernel", platform.release()),
        ("System", os_release().get("PRETTY_NAME", "unknown")),
        ("Python", platform.python_version()),
        ("nats-server", _said("nats-server", "--version").removeprefix("nats-server: v")),
        ("DuckDB", metadata.version("duckdb")),
        ("auditd", _package("auditd")),
        ("bpftrace", _package("bpftrace")),
        ("gcc", _said("gcc", "-dumpfullversion")),
        ("Load before the run", f"{load:.2f}"),
        ("Measured", stamp()),
        ("Again", f"`{COMMAND}`"),
    ]
    return Table("The machine", ("What", "Which"), rows)


def stamp() -> str:
    """Return the day and the commit, with a remark if the checkout is not just that commit."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    commit = _git("rev-parse", "--short=10", "HEAD")
    # The page itself is what a run changes.
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs/performance.md")
    return f"{day}, commit {commit}" + (" and what was not committed" if changed else "")


def _git(*words: str) -> str:
    root = HERE.parents[1]
    return _said("git", "-c", f"safe.directory={root}", "-C", str(root), *words)


def _said(command: str, *words: str) -> str:
    beside = Path(sys.executable).with_name(command)
    found = str(beside) if beside.exists() else command
    return subprocess.run(
        [found, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def _package(name: str) -> str:
    return _said("dpkg-query", "-W", "-f", "${Version}", name)


def _cpuinfo(field: str) -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return line.split(":", 1)[1].strip()
    return ""


def _processor() -> str:
    return _cpuinfo("model name") or platform.machine()


def _virtual() -> str:
    return "yes" if "hypervisor" in _cpuinfo("flags").split() else "no sign of one"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
