"""What the agent stands on: packages, mounts, its own files. Pure; one finding a check."""

from agent.doctor import remedies
from agent.doctor.facts import Facts
from agent.doctor.finding import Finding, Level, good
from agent.doctor.modes import Mode


def configuration(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether agent.toml, the identity in it and the subjects in it can be used."""
    check, found = "configuration", facts.configuration
    if not found.problem:
        return good(check, f"{found.place} can be used")
    return Finding(
        check=check,
        level=Level.PROBLEM,
        what=found.problem,
        why="without a configuration the agent does not start, and what is said here about "
        "watched users is not complete",
        remedy=f"mend it, then: sudo holdfast-agent check --config {found.place}",
    )


def own_files(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether only root may write what decides what is held."""
    check, loose = "own_files", facts.configuration.loose
    if not loose:
        return good(check, "only root may write configuration, rules, state and program")
    shown = ", ".join(f"{path} ({who})" for path, who in loose[:8])
    more = f" and {len(loose) - 8} more" if len(loose) > 8 else ""
    return Finding(
        check=check,
        level=Level.PROBLEM,
        what=f"others than root may write {shown}{more}",
        why="who may write the rules, the configuration, the journal or the program decides what "
        "is held",
        remedy="sudo chown root: "
        + " ".join(path for path, _ in loose[:8])
        + " && sudo chmod go-w "
        + " ".join(path for path, _ in loose[:8]),
    )


def running(facts: Facts, mode: Mode | None) -> Finding:
    """Whether the agent that runs does what this host could."""
    check, now = "running", facts.running
    if not now:
        return Finding(
            check=check,
            level=Level.NOTE,
            what="no agent runs here",
            why="what was held before stays held, and the kernel goes on holding if an agent has "
            "been here; nobody is asked",
            remedy="sudo systemctl enable --now holdfast-agent",
        )
    if mode is None or now == mode:
        return good(check, f"the agent runs, in {now} mode")
    return Finding(
        check=check,
        level=Level.WARNING,
        what=f"the agent runs in {now} mode, and this host can do {mode}",
        why="the mode is chosen when the agent starts",
        remedy="sudo systemctl restart holdfast-agent",
    )


def bcc(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether the programs can be compiled, or lie compiled in the cache."""
    check, tools = "bcc", facts.tools
    if tools.bcc:
        return good(check, f"bcc {tools.bcc} for /usr/bin/python3")
    missing = "bcc is not there for /usr/bin/python3"
    if tools.kept:
        return Finding(
            check=check,
            level=Level.NOTE,
            what=f"{missing}, and the programs lie compiled in the cache",
            why="after an upgrade of Holdfast or of the kernel they must be compiled anew",
            remedy=remedies.bcc(facts.system),
        )
    return Finding(
        check=check,
        level=Level.PROBLEM,
        what=missing,
        why="it compiles the programs for this kernel; the bcc of PyPI is another project",
        remedy=remedies.bcc(facts.system),
    )


def types(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether the kernel describes its own structures."""
    check = "types"
    if facts.kernel.types:
        return good(check, "/sys/kernel/btf/vmlinux is there")
    return Finding(
        check=check,
        level=Level.PROBLEM,
        what="/sys/kernel/btf/vmlinux is not there",
        why="the programs are built for exactly the structures of the running kernel",
        remedy="run your distribution's own kernel, 5.10 or later, or one that is built with "
        "CONFIG_DEBUG_INFO_BTF=y",
    )


def bpffs(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether programs can be pinned, so that they outlive the agent."""
    check, tools = "bpffs", facts.tools
    if tools.bpffs:
        return good(check, f"a BPF file system is mounted at {tools.bpffs_at}")
    return Finding(
        check=check,
        level=Level.PROBLEM,
        what=f"no BPF file system is mounted at {tools.bpffs_at}",
        why="the kernel side is pinned there, so that it goes on holding without the agent",
        remedy=f"sudo mount -t bpf bpf {tools.bpffs_at} (systemd does so at boot; elsewhere add "
        "it to /etc/fstab)",
    )


def freezer(facts: Facts, mode: Mode | None) -> Finding:
    """Whether held processes can be frozen."""
    check, tools = "freezer", facts.tools
    if tools.cgroup2:
        return good(check, f"cgroup v2 is mounted at {tools.cgroup2}")
    return Finding(
        check=check,
        level=Level.NOTE if mode is Mode.GATE else Level.WARNING,
        what="no cgroup v2 is mounted",
        why="a held process is stopped and not frozen, so that whoever may send it SIGCONT, a "
        "tracer or an orphaned process group can let it run on; subjects cannot be named by cgroup",
        remedy="systemd.unified_cgroup_hierarchy=1 on the kernel's command line, or: "
        "sudo mount -t cgroup2 none /sys/fs/cgroup/unified",
    )


def auditd(facts: Facts, mode: Mode | None) -> Finding:
    """Whether audit mode could take over where the kernel takes no programs."""
    check, tools = "auditd", facts.tools
    if tools.auditd and tools.auparse:
        runs = "runs" if tools.auditd_runs else "does not run"
        if tools.audit_immutable:
            return Finding(
                check=check,
                level=Level.NOTE,
                what=f"the audit configuration is immutable until the next boot; it has "
                f"{tools.audit_rules} rules with our key",
                why="in audit mode, rules of Holdfast that need others there take a reboot, and "
                "what is in the kernel now stays there until then, also after an uninstall",
                remedy=remedies.AUDIT_IMMUTABLE,
            )
        return good(check, f"auditd is there and {runs}; audit mode is the last resort")
    missing = "auditd" if not tools.auditd else "auparse for /usr/bin/python3"
    if mode in {Mode.GATE, Mode.STOP}:
        return good(check, f"{missing} is not there, and not needed")
    return Finding(
        check=check,
        level=Level.NOTE,
        what=f"{missing} is not there",
        why="audit mode needs it, for kernels that take no BPF programs",
        remedy=remedies.auditd(facts.system),
    )


CHECKS = (configuration, own_files, running, bcc, types, bpffs, freezer, auditd)
