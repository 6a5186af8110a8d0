"""Which mode a host gets and why: each way to hold, best first, with what stands in its way."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.doctor import remedies
from agent.doctor.facts import NOT_TRIED, Answer, Facts
from rules.modes import HostMode

Mode = HostMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What a way to hold lacks here, and what to do; no remedy where nothing here helps."""

    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to hold: a mode and by what it works; possible if nothing stands in its way."""

    mode: Mode
    by: str
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether this host can do it now."""
        return not self.obstacles


def ways(facts: Facts) -> tuple[Way, ...]:
    """Return every way to hold, best first."""
    base = _base(facts)
    trials = facts.trials
    tracepoints = _trial(trials.raw_tracepoint, "raw tracepoints", "")
    signal = _trial(trials.signal, "signals sent by BPF", "Linux 5.3 or later has them")
    # The guard of gate mode is a program at the end of get_signal().
    guard = _trial(trials.fexit, "fexit programs", _arm(facts))

    gate = _unasked(facts, Mode.GATE) + base + _preemption(facts) + tracepoints + signal
    return (
        Way(mode=Mode.GATE, by="BPF LSM", obstacles=gate + _lsm(facts) + guard),
        Way(mode=Mode.GATE, by="fmod_ret", obstacles=gate + _fmod_ret(facts) + guard),
        Way(
            mode=Mode.STOP,
            by="raw tracepoints",
            obstacles=_unasked(facts, Mode.STOP) + base + tracepoints + signal,
        ),
        Way(
            mode=Mode.AUDIT,
            by="auditd",
            obstacles=_unasked(facts, Mode.AUDIT) + _audit(facts),
        ),
    )


def chosen(found: tuple[Way, ...]) -> Way | None:
    """Return the way that the agent goes, None if this host can hold nothing."""
    return next((way for way in found if way.possible), None)


def why(found: tuple[Way, ...]) -> str:
    """Return in a sentence why this host gets the mode that it gets."""
    way = chosen(found)
    if way is None:
        return "no way to hold is open here yet; what each lacks is said below"
    better = []
    for one in found[: found.index(way)]:
        # The same mode by other means promises the same.
        if one.mode is not way.mode and one.mode not in better:
            better.append(one.mode)
    works = f"{way.by} work here" if way.by.endswith("s") else f"{way.by} works here"
    if not better:
        return f"{works}, and no mode promises more"
    return ". ".join((works, *(_lacks(found, mode) for mode in better)))


def _lacks(found: tuple[Way, ...], mode: Mode) -> str:
    """Return what stands first in the way of each way of a mode, each once."""
    firsts = dict.fromkeys(one.obstacles[0].what for one in found if one.mode is mode)
    return f"Missing for {mode}: " + "; ".join(firsts)


def _unasked(facts: Facts, mode: Mode) -> tuple[Obstacle, ...]:
    """Return that the configuration names another mode, if it does."""
    asked, place = facts.configuration.mode, facts.configuration.place
    if asked in {"auto", mode}:
        return ()
    return (Obstacle(what=f"{place} asks for mode {asked}", remedy=f'mode = "auto" in {place}'),)


def _base(facts: Facts) -> tuple[Obstacle, ...]:
    """Return what is missing of that which every program in the kernel needs."""
    found = []
    tools, kernel = facts.tools, facts.kernel
    if not kernel.types:
        found.append(
            Obstacle(
                what="the kernel's type information, /sys/kernel/btf/vmlinux",
                remedy="run your distribution's own kernel, 5.10 or later, or one that is built "
                "with CONFIG_DEBUG_INFO_BTF=y",
            )
        )
    if not tools.bcc and not tools.kept:
        found.append(Obstacle(what="bcc for /usr/bin/python3", remedy=remedies.bcc(facts.system)))
    if not tools.bpffs:
        found.append(
            Obstacle(
                what=f"a BPF file system at {tools.bpffs_at}",
                remedy=f"sudo mount -t bpf bpf {tools.bpffs_at} (systemd does so at boot; "
                "elsewhere add it to /etc/fstab)",
            )
        )
    if kernel.lockdown == "confidentiality":
        found.append(
            Obstacle(
                what="a kernel that lets BPF read its memory: lockdown is at confidentiality",
                remedy=remedies.boot_parameter(facts.system, tools, kernel, "lockdown=integrity"),
            )
        )
    if facts.trials.bpf is not True:
        found.append(Obstacle(what=f"bpf(2): {facts.trials.bpf}"))
    return tuple(found)


def _preemption(facts: Facts) -> tuple[Obstacle, ...]:
    """Return that the kernel preempts itself, which the programs of gate mode do not bear."""
    if not facts.kernel.preempts:
        return ()
    if facts.kernel.preempts == "rt":
        remedy = "a kernel that is built without PREEMPT_RT"
    else:
        remedy = remedies.boot_parameter(
            facts.system, facts.tools, facts.kernel, "preempt=voluntary"
        )
    what = f"a kernel that does not preempt itself (this one does: {facts.kernel.preempts})"
    return (Obstacle(what=what, remedy=remedy),)


def _lsm(facts: Facts) -> tuple[Obstacle, ...]:
    kernel = facts.kernel
    if facts.trials.lsm is True:
        return ()
    if kernel.options and kernel.options.get("CONFIG_BPF_LSM") != "y":
        return (
            Obstacle(
                what="CONFIG_BPF_LSM in this kernel",
                remedy="a kernel that is built with it; fmod_ret, which does without, serves as "
                "well",
            ),
        )
    if kernel.lsms is not None and "bpf" not in kernel.lsms:
        line = remedies.lsm_line(kernel, "bpf")
        return (
            Obstacle(
                what=f"bpf among the active LSMs ({','.join(kernel.lsms)})",
                remedy=remedies.boot_parameter(facts.system, facts.tools, kernel, line),
            ),
        )
    return _trial(facts.trials.lsm, "BPF LSM programs", _jit(kernel.number(_JIT)) or _arm(facts))


def _fmod_ret(facts: Facts) -> tuple[Obstacle, ...]:
    remedy = _jit(facts.kernel.number(_JIT)) or _arm(facts)
    return _trial(facts.trials.fmod_ret, "fmod_ret programs", remedy)


def _audit(facts: Facts) -> tuple[Obstacle, ...]:
    found = []
    if not facts.tools.auditd or not facts.tools.auparse:
        missing = "auditd" if not facts.tools.auditd else "auparse for /usr/bin/python3"
        found.append(Obstacle(what=missing, remedy=remedies.auditd(facts.system)))
    elif not facts.tools.auditd_runs:
        found.append(Obstacle(what="a running auditd", remedy="sudo systemctl enable --now auditd"))
    if facts.tools.audit_immutable and not facts.tools.audit_rules:
        found.append(
            Obstacle(
                what="an audit configuration that takes rules: this one is immutable until the "
                "next boot (auditctl -s: enabled 2)",
                remedy=remedies.AUDIT_IMMUTABLE,
            )
        )
    if "audit=0" in facts.kernel.command_line.split():
        found.append(
            Obstacle(
                what="auditing: the kernel's command line says audit=0",
                remedy=remedies.boot_parameter(facts.system, facts.tools, facts.kernel, "audit=1"),
            )
        )
    return tuple(found)


_JIT = "net.core.bpf_jit_enable"


def _jit(enabled: int | None) -> str:
    return remedies.setting(_JIT, 1) if enabled == 0 else ""


def _arm(facts: Facts) -> str:
    return "on arm64 they need Linux 6.4 or later" if facts.kernel.machine == "aarch64" else ""


def _trial(answer: Answer, what: str, remedy: str) -> tuple[Obstacle, ...]:
    if answer is True:
        return ()
    words = "was not tried" if answer == NOT_TRIED else answer
    return (Obstacle(what=f"{what}: {words}", remedy=remedy),)


# What each mode promises of each kind of act: a guarantee of wire.acts, or "no", and words.
HELD, STOPPED, LATE, UNSEEN = "held", "stopped", "late", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a mode promises, in words, and for each kind of act."""

    words: str
    kinds: Mapping[str, tuple[str, str]]


_BY_OPEN = ("create", "truncate")
_NAMES = ("delete", "rename", "link", "symlink")
_OTHERS = ("chmod", "chown", "mount", "listen", "trace", "identity", "module", "bpf", "namespace")
_NOT_SEEN = dict.fromkeys((*_NAMES, *_OTHERS), (UNSEEN, "not an act in this mode"))
_OPENED = dict.fromkeys(
    _BY_OPEN, (LATE, "by an open it has happened; by a call of its own it is not seen")
)

PROMISES: Mapping[Mode, Promise] = {
    Mode.GATE: Promise(
        words="a boundary: the act has not happened until somebody answers, and a stray SIGCONT "
        "meets the gate again",
        kinds={
            "exec": (HELD, "not one instruction of the new program has run"),
            "open": (HELD, "nothing is opened, and nothing truncated by it"),
            "connect": (HELD, "no packet has left"),
            "send": (HELD, "no packet has left"),
            **dict.fromkeys((*_BY_OPEN, *_NAMES, *_OTHERS), (HELD, "the call has not happened")),
        },
    ),
    Mode.STOP: Promise(
        words="a pause, not a boundary: for programs that do not work against it",
        kinds={
            "exec": (HELD, "not one instruction of the new program has run"),
            "open": (STOPPED, "opened, and nothing read or written by it yet"),
            "connect": (STOPPED, "the connection is begun, and nothing is sent on it"),
            "send": (LATE, "the datagram, or what TCP Fast Open carries, has left"),
            **_OPENED,
            **_NOT_SEEN,
        },
    ),
    Mode.AUDIT: Promise(
        words="noticing, with a stop soon after: every act has happened when auditd tells of it; "
        "who is in a cgroup it cannot tell, so subjects are watched by users and groups alone",
        kinds={
            **dict.fromkeys(
                ("exec", "open", "connect", "send"), (LATE, "it has happened, in part or whole")
            ),
            **_OPENED,
            **_NOT_SEEN,
        },
    ),
}
