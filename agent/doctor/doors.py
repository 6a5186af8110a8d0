"""Doors that this kernel's own settings leave open to a watched user. Pure; one finding a check."""

from agent.doctor import remedies
from agent.doctor.facts import Facts
from agent.doctor.finding import Finding, Level, good
from agent.doctor.modes import Mode

_PTRACE = "kernel.yama.ptrace_scope"
_RINGS, _RING_GROUP = "kernel.io_uring_disabled", "kernel.io_uring_group"
_CLONE, _MOST = "kernel.unprivileged_userns_clone", "user.max_user_namespaces"
_CONFINED = "kernel.apparmor_restrict_unprivileged_userns"
_BPF = "kernel.unprivileged_bpf_disabled"
_MODULES = "kernel.modules_disabled"
_FAULTS = "vm.unprivileged_userfaultfd"


def ptrace(facts: Facts, mode: Mode | None) -> Finding:
    """Whether processes of one user may trace each other."""
    check, scope = "ptrace", facts.kernel.number(_PTRACE)
    if scope:
        return good(check, f"{_PTRACE} is {scope}: only a parent traces, or only root")
    if scope is None:
        what = "this kernel has no Yama"
        line = remedies.lsm_line(facts.kernel, "yama")
        known = facts.kernel.lsms is not None
        remedy = (
            remedies.boot_parameter(facts.system, facts.tools, facts.kernel, line)
            if known
            else "mount securityfs to see which LSMs are active; a kernel that is built with "
            "CONFIG_SECURITY_YAMA has it"
        )
    else:
        what = f"{_PTRACE} is 0"
        remedy = remedies.setting(_PTRACE, 1)
    return Finding(
        check=check,
        level=_unless_gated(mode),
        what=f"{what}: any process may trace others of the same user",
        why="a tracer can make another process act for it, one of the same user that is not "
        "watched included, and can take back a stop in the moment before it takes effect",
        remedy=remedy,
    )


def io_uring(facts: Facts, mode: Mode | None) -> Finding:
    """Whether a watched user can have calls made through a ring."""
    check, disabled = "io_uring", facts.kernel.number(_RINGS)
    if disabled == 2:
        return good(check, f"{_RINGS} is 2: nobody makes a ring")
    group = facts.kernel.number(_RING_GROUP)
    if disabled == 1:
        inside = [one.name for one in facts.accounts if group in one.gids]
        if not inside:
            return good(check, f"{_RINGS} is 1: no watched user makes a ring")
        what = f"{_RINGS} is 1, and {', '.join(inside)} is in {_RING_GROUP} {group}"
    elif disabled is None:
        what = "this kernel cannot disable io_uring (Linux 6.6 and later can)"
    else:
        what = f"{_RINGS} is 0: everybody may make a ring"
    return Finding(
        check=check,
        level=_unless_gated(mode),
        what=what,
        why="what is asked for through a ring is no system call that could be held; only the "
        "making of the ring is seen, as the open of [io_uring]",
        remedy='keep a rule that asks about or denies open: "[io_uring]" (the pack '
        "privilege.yaml has one)"
        if disabled is None
        else remedies.setting(_RINGS, 2),
    )


def user_namespaces(facts: Facts, mode: Mode | None) -> Finding:
    """Whether a watched user can become root in a namespace of its own."""
    check, kernel = "user_namespaces", facts.kernel
    for setting, closed in ((_CLONE, 0), (_MOST, 0), (_CONFINED, 1)):
        if kernel.number(setting) == closed:
            return good(check, f"{setting} is {closed}: no user namespaces without privilege")
    if kernel.number(_CONFINED) is not None:
        remedy = remedies.setting(_CONFINED, 1)
    elif kernel.number(_CLONE) is not None:
        remedy = remedies.setting(_CLONE, 0)
    else:
        remedy = remedies.setting(_MOST, 0)
    return Finding(
        check=check,
        level=_unless_gated(mode),
        what="everybody may make user namespaces",
        why="in a mount namespace of its own a process can give any file any path, so that rules "
        "for paths miss it, and it reaches kernel code that only root reaches otherwise",
        remedy=f"{remedy} (rootless containers and browsers' sandboxes need them; else keep the "
        "rules of the pack privilege.yaml about unshare)",
    )


def hardlinks(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether a file of somebody else can be given a second name."""
    return _protected(
        facts,
        "hardlinks",
        "fs.protected_hardlinks",
        1,
        "a hard link gives a file of somebody else a name that no rule for its path has",
    )


def symlinks(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether links in /tmp lead others astray."""
    return _protected(
        facts,
        "symlinks",
        "fs.protected_symlinks",
        1,
        "a link in /tmp can make a program of somebody who is not watched, root included, act on "
        "a file that it did not mean",
    )


def fifos(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether others can be made to open a watched user's FIFO."""
    return _protected(facts, "fifos", "fs.protected_fifos", 1, _LAID)


def regular(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether others can be made to write into a watched user's file."""
    return _protected(facts, "regular", "fs.protected_regular", 1, _LAID)


_LAID = (
    "what a watched user lays in /tmp under a name that another program uses is opened by that "
    "program as if it were its own, and nothing of that is an act of the watched user"
)


def bpf(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether everybody may load BPF programs."""
    check, disabled = "unprivileged_bpf", facts.kernel.number(_BPF)
    if disabled is None or disabled:
        return good(check, f"{_BPF} is {disabled or 'not there'}: only root loads BPF programs")
    return Finding(
        check=check,
        level=Level.WARNING,
        what=f"{_BPF} is 0: everybody may load BPF programs",
        why="the verifier is all that stands between such a program and the kernel, which is "
        "where Holdfast holds",
        remedy=remedies.setting(_BPF, 1),
    )


def userfaultfd(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether everybody may make the kernel wait for memory that it reads."""
    check, allowed = "userfaultfd", facts.kernel.number(_FAULTS)
    if not allowed:
        return good(check, f"{_FAULTS} is {'not there' if allowed is None else 0}")
    return Finding(
        check=check,
        level=Level.WARNING,
        what=f"{_FAULTS} is {allowed}: everybody may decide when the kernel reads their memory",
        why="an address that a send names can then be another by the time that it is used",
        remedy=remedies.setting(_FAULTS, 0),
    )


def modules(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether root can put code into the kernel while it runs."""
    check, kernel = "modules", facts.kernel
    if kernel.number(_MODULES) is None:
        return good(check, "this kernel takes no modules")
    if kernel.number(_MODULES):
        return good(check, f"{_MODULES} is 1: no module can be loaded any more")
    if kernel.lockdown in {"integrity", "confidentiality"}:
        return good(check, f"lockdown is at {kernel.lockdown}: only signed modules are loaded")
    return Finding(
        check=check,
        level=Level.NOTE,
        what="root may load any kernel module",
        why="who comes to be root can take Holdfast out of the kernel by one; root can unload it "
        "in other ways as well, so this matters only together with those",
        remedy="Secure Boot, or lockdown=integrity on the kernel's command line; or, once "
        f"everything that the host needs is loaded: sudo sysctl {_MODULES}=1",
    )


def foreign_calls(facts: Facts, mode: Mode | None) -> Finding:
    """Whether the kernel takes calls of the x32 interface, which stop mode does not know."""
    check = "foreign_calls"
    if facts.kernel.x32 and mode is not Mode.GATE:
        return Finding(
            check=check,
            level=Level.WARNING,
            what="this kernel takes calls of the x32 interface",
            why=f"the numbers of such calls are not known in {mode or 'this'} mode, so that opens "
            "and connections by them are not seen",
            remedy="where the kernel's command line says syscall.x32=y, take that out and start "
            "anew; else a kernel without CONFIG_X86_X32_ABI",
        )
    both = "32-bit calls are taken, and known" if facts.kernel.ia32 else "no 32-bit calls"
    return good(check, f"{both}; x32 is {'taken, and known' if facts.kernel.x32 else 'off'}")


def _protected(facts: Facts, check: str, setting: str, least: int, why: str) -> Finding:
    value = facts.kernel.number(setting)
    if value is not None and value >= least:
        return good(check, f"{setting} is {value}")
    return Finding(
        check=check,
        level=Level.WARNING,
        what=f"{setting} is {'not there' if value is None else value}",
        why=why,
        remedy=remedies.setting(setting, least) if value is not None else "a later kernel has it",
    )


def _unless_gated(mode: Mode | None) -> Level:
    """In gate mode a rule can hold the act itself, before it happens."""
    return Level.NOTE if mode is Mode.GATE else Level.WARNING


CHECKS = (
    ptrace,
    io_uring,
    user_namespaces,
    hardlinks,
    symlinks,
    fifos,
    regular,
    bpf,
    userfaultfd,
    modules,
    foreign_calls,
)
