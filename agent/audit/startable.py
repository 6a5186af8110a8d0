"""Whether this host can serve mode `audit`, and which of its settings stand in the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import procfs
from agent.audit.family import Family
from agent.audit.reader import netlink
from agent.errors import SensorError
from agent.sensor.interface import Subject

_SMALL_BACKLOG = 1024
_IMMUTABLE = 2
_PANIC = 2

Notice = tuple[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """The kernel's audit state. `pid` is the audit daemon."""

    pid: int
    immutable: bool
    lost: int
    notices: tuple[Notice, ...]


def is_immutable() -> bool:
    """Return whether no audit rule comes or goes until the next boot; False where nobody says."""
    try:
        return netlink.status().get("enabled") == _IMMUTABLE
    except OSError:
        return False


def check_startable(subjects: Sequence[Subject]) -> State:
    """Return the state; raise SensorError that names what to change."""
    for one in subjects:
        if not (one.uids or one.gids):
            raise SensorError(
                f"subject {one.name}: audit cannot tell who is in a cgroup; name its users or "
                "groups, or use a kernel on which the other modes run"
            )
    own = _login()
    if own is not None and any(own in one.uids for one in subjects):
        raise SensorError(
            "the agent was started from a login of a watched user, and audit would report the "
            "agent itself; start it as a service: systemctl start holdfast-agent"
        )
    try:
        found = netlink.status()
    except OSError as error:
        raise SensorError(f"audit: {error.strerror}; mode audit cannot run here") from error
    if not found["pid"]:
        raise SensorError("no audit daemon runs; start it: systemctl start auditd (docs/audit.md)")
    if not found["enabled"]:
        raise SensorError("audit is turned off; turn it on: auditctl -e 1")
    return State(
        pid=found["pid"],
        immutable=found["enabled"] == _IMMUTABLE,
        lost=found["lost"],
        notices=tuple(_notices(found, subjects)),
    )


def _notices(found: dict[str, int], subjects: Sequence[Subject]) -> Iterator[Notice]:
    limit = found["backlog_limit"]
    if limit < _SMALL_BACKLOG:
        yield (
            "audit_backlog",
            f"the kernel queues {limit} audit records only, and loses what comes beyond; put "
            "-b 8192 into /etc/audit/rules.d/audit.rules",
        )
    if found["failure"] == _PANIC:
        yield "audit_panics", "this kernel panics when it loses an audit record (auditctl -s)"
    if found["rate_limit"]:
        yield "audit_rate", f"the kernel drops more than {found['rate_limit']} records a second"
    for one in subjects:
        if one.cgroups:
            yield "audit_cgroups", f"{one.name!r}: its cgroups are not watched, its users are"


def unseen(family: Family, daemon: int) -> list[Notice]:
    """Return a notice of subjects' processes that audit may not see, since they are too old.

    The kernel sets a process up for audit when it is forked, once audit was first turned on.
    """
    arguments = Path("/proc/cmdline").read_text(encoding="utf-8", errors="replace").split()
    began = procfs.stat(daemon)
    if "audit=1" in arguments or began is None:
        return []
    old = [
        str(one.pid)
        for one in family.running()
        if one.start_ns // procfs.TICK_NS < began.start_ticks
    ]
    if not old:
        return []
    return [
        (
            "audit_unseen",
            f"processes {', '.join(old[:20])} are older than the audit daemon; if audit was never "
            "on before, they are not seen: start them anew, or boot with audit=1",
        )
    ]


def _login() -> int | None:
    try:
        found = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if found == 0xFFFFFFFF else found
