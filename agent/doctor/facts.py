"""The facts of a host that the checks judge: plain values, read by agent.doctor.host alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Answer = Literal[True] | str
"""True, or in words why not."""

NOT_TRIED = "not tried"

# The kernel's own settings that are looked at; one that this kernel does not have is not in
# Kernel.settings.
SETTINGS = (
    "fs.protected_fifos",
    "fs.protected_hardlinks",
    "fs.protected_regular",
    "fs.protected_symlinks",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.io_uring_disabled",
    "kernel.io_uring_group",
    "kernel.modules_disabled",
    "kernel.unprivileged_bpf_disabled",
    "kernel.unprivileged_userns_clone",
    "kernel.yama.ptrace_scope",
    "net.core.bpf_jit_enable",
    "user.max_user_namespaces",
    "vm.unprivileged_userfaultfd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The distribution, as os-release names it. `like` are the families that it says it is of."""

    id: str = ""
    like: tuple[str, ...] = ()
    version: str = ""
    name: str = "an unknown system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the running kernel says of itself.

    `lsms`: the active ones in their order, None where securityfs is not mounted. `options`: its
    build options (CONFIG_…), empty where they are not to be read. `lockdown`: none, integrity,
    confidentiality, or empty. `preempts`: the model by which the kernel preempts itself, empty if
    it does not. `ia32` and `x32`: whether it takes calls of those interfaces.
    """

    release: str
    machine: str = "x86_64"
    command_line: str = ""
    lsms: tuple[str, ...] | None = None
    lockdown: str = ""
    preempts: str = ""
    types: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    ia32: bool = False
    x32: bool = False

    def number(self, setting: str) -> int | None:
        """Return a setting as a number, None if this kernel does not have it."""
        text = self.settings.get(setting, "")
        return int(text) if text.lstrip("-").isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """What came of attaching the smallest program of each kind."""

    bpf: Answer = NOT_TRIED
    raw_tracepoint: Answer = NOT_TRIED
    signal: Answer = NOT_TRIED
    lsm: Answer = NOT_TRIED
    fmod_ret: Answer = NOT_TRIED
    fexit: Answer = NOT_TRIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the agent stands on.

    `bcc`: its version under the system's Python, empty without; `kept`: compiled programs are in
    the cache, so that a start needs no bcc. `bpffs`: mounted where the agent pins. `cgroup2`: where
    it is mounted, empty without. `auditd`: its program, empty without.
    `audit_immutable`: no audit rule comes or goes until the next boot; `audit_rules`: how many
    there are with our key. `boot`: which files and
    commands of boot loaders are here.
    """

    bcc: str = ""
    kept: bool = False
    bpffs: bool = False
    bpffs_at: str = "/sys/fs/bpf"
    cgroup2: str = ""
    auditd: str = ""
    auditd_runs: bool = False
    audit_immutable: bool = False
    audit_rules: int = 0
    auparse: bool = False
    boot: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """agent.toml as far as it can be read. `problem` says what is wrong, empty if nothing is.

    `mode` is the one that it asks for, or auto. `loose` are paths that somebody else than root may
    write, with who may.
    """

    place: str
    problem: str = ""
    mode: str = "auto"
    loose: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user that a subject matches, and what is open to it.

    `by_cgroup`: only a cgroup names it, so what it starts elsewhere is not watched. `sudo`: the
    rules that sudo itself lists for it, with the user and the command each. `lingers`: its units
    run without a login; `manager`: its service manager runs now. `cron` and `at`: whether it may
    use them.
    """

    name: str
    uid: int
    subject: str
    by_cgroup: bool = False
    groups: tuple[str, ...] = ()
    gids: tuple[int, ...] = ()
    sudo: tuple[str, ...] = ()
    lingers: bool = False
    manager: bool = False
    cron: bool = False
    at: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the checks look at. `running`: the mode of the agent that runs, or empty."""

    system: System
    kernel: Kernel
    trials: Trials
    tools: Tools
    configuration: Configuration
    accounts: tuple[Account, ...] = ()
    running: str = ""
