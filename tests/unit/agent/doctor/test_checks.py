"""Each check on made-up hosts: what is open or missing is found, and what is not is not."""

from dataclasses import replace

import pytest

from agent.doctor.facts import Account, Configuration, Facts
from agent.doctor.finding import Finding, Level
from agent.doctor.report import CHECKS, examine
from tests.support.hosts import AI, TIGHT, host, kernel, settings, tools, trials

REFUSED = "Operation not permitted (EPERM)"
NO_GATE = trials(lsm=REFUSED, fmod_ret=REFUSED, fexit=REFUSED)
BY_CGROUP = replace(AI, by_cgroup=True)


def finding(facts: Facts, check: str) -> Finding:
    """Return what a check says of a host whose version has every mode."""
    (found,) = (one for one in examine(facts).findings if one.check == check)
    return found


def stopping(**changes: object) -> Facts:
    """Return a host that gets stop mode."""
    return host(**{"trials": NO_GATE, "running": "stop", **changes})


def with_user(**changes: object) -> Facts:
    """Return a host whose watched user has something open to it."""
    return host(accounts=(replace(AI, **changes),))  # type: ignore[arg-type]


def test_a_host_in_order_has_nothing_against_it() -> None:
    """Neither a problem nor a warning nor a note, and each check has spoken once."""
    report = examine(host())
    assert [one for one in report.findings if one.level is not Level.OK] == []
    assert report.problems == 0
    names = [one.check for one in report.findings]
    assert len(names) == len(set(names)) == len(CHECKS)


OPEN = [
    # kernel's own settings
    (stopping(kernel=settings(kernel__yama__ptrace_scope="0")), "ptrace", "ptrace_scope = 1"),
    (
        stopping(kernel=kernel(lsms=("landlock",), settings={
            name: value for name, value in TIGHT.items() if "yama" not in name
        })),
        "ptrace",
        "lsm=landlock,yama",
    ),
    (
        stopping(kernel=settings(kernel__io_uring_disabled="0")),
        "io_uring",
        "io_uring_disabled = 2",
    ),
    (
        stopping(kernel=settings(kernel__io_uring_disabled=None)),
        "io_uring",
        "[io_uring]",
    ),
    (
        stopping(
            kernel=settings(kernel__io_uring_disabled="1", kernel__io_uring_group="4242")
        ),
        "io_uring",
        "io_uring_disabled = 2",
    ),
    (
        stopping(kernel=settings(kernel__unprivileged_userns_clone="1")),
        "user_namespaces",
        "unprivileged_userns_clone = 0",
    ),
    (
        stopping(kernel=settings(kernel__unprivileged_userns_clone=None)),
        "user_namespaces",
        "max_user_namespaces = 0",
    ),
    (
        stopping(
            kernel=settings(
                kernel__unprivileged_userns_clone="1",
                kernel__apparmor_restrict_unprivileged_userns="0",
            )
        ),
        "user_namespaces",
        "apparmor_restrict_unprivileged_userns = 1",
    ),
    (host(kernel=settings(fs__protected_hardlinks="0")), "hardlinks", "protected_hardlinks = 1"),
    (host(kernel=settings(fs__protected_symlinks="0")), "symlinks", "protected_symlinks = 1"),
    (host(kernel=settings(fs__protected_fifos="0")), "fifos", "protected_fifos = 1"),
    (host(kernel=settings(fs__protected_regular="0")), "regular", "protected_regular = 1"),
    (
        host(kernel=settings(kernel__unprivileged_bpf_disabled="0")),
        "unprivileged_bpf",
        "unprivileged_bpf_disabled = 1",
    ),
    (
        host(kernel=settings(vm__unprivileged_userfaultfd="1")),
        "userfaultfd",
        "unprivileged_userfaultfd = 0",
    ),
    (stopping(kernel=kernel(x32=True)), "foreign_calls", "syscall.x32"),
    # what the agent stands on
    (stopping(tools=tools(cgroup2="")), "freezer", "cgroup2"),
    (host(running="stop"), "running", "systemctl restart holdfast-agent"),
    # watched users
    (with_user(groups=("ai-worker", "docker")), "groups", "gpasswd -d ai-worker docker"),
    (with_user(sudo=("(root) /usr/bin/apt-get update",)), "sudo", "sudo visudo"),
    (host(accounts=(replace(BY_CGROUP, lingers=True),)), "units", "disable-linger ai-worker"),
    (host(accounts=(replace(BY_CGROUP, manager=True),)), "units", 'users = ["ai-worker"]'),
    (host(accounts=(replace(BY_CGROUP, cron=True),)), "cron", "/etc/cron.deny"),
    (host(accounts=(replace(BY_CGROUP, at=True),)), "at", "/etc/at.deny"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "check", "remedy"), OPEN)
def test_a_door_that_is_open_is_a_warning_with_its_exact_remedy(
    facts: Facts, check: str, remedy: str
) -> None:
    """It names why it matters, and no other check complains."""
    found = finding(facts, check)
    assert found.level is Level.WARNING, found
    assert remedy in found.remedy
    assert len(found.why) > 30
    report = examine(facts)
    assert [one.check for one in report.findings if one.level is Level.WARNING] == [check]
    assert report.problems == 0


BROKEN = [
    (host(configuration=Configuration(place="a.toml", problem="a.toml: it is gone")),
     "configuration", "holdfast-agent check --config a.toml"),
    (host(configuration=Configuration(place="a.toml", loose=(("/etc/holdfast", "everybody"),))),
     "own_files", "sudo chmod go-w /etc/holdfast"),
    (host(tools=tools(bcc="")), "bcc", "python3-bpfcc"),
    (host(kernel=kernel(types=False)), "types", "CONFIG_DEBUG_INFO_BTF=y"),
    (host(tools=tools(bpffs=False)), "bpffs", "sudo mount -t bpf"),
    (with_user(sudo=("(ALL : ALL) NOPASSWD: ALL",)), "sudo", "sudo visudo"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "check", "remedy"), BROKEN)
def test_what_must_be_mended_is_a_problem(facts: Facts, check: str, remedy: str) -> None:
    """And the command fails for it."""
    found = finding(facts, check)
    assert found.level is Level.PROBLEM, found
    assert remedy in found.remedy
    assert examine(facts).problems == 1


def test_a_host_that_can_hold_nothing_is_a_problem_by_itself() -> None:
    """Even where each single thing is in order."""
    facts = host(trials=trials(raw_tracepoint=REFUSED), tools=tools(auditd_runs=False))
    report = examine(facts)
    assert report.way is None
    assert report.count(Level.PROBLEM) == 0
    assert report.problems == 1


@pytest.mark.parametrize(
    ("facts", "check"),
    [
        (host(kernel=settings(kernel__yama__ptrace_scope="0")), "ptrace"),
        (host(kernel=settings(kernel__io_uring_disabled="0")), "io_uring"),
        (host(kernel=settings(kernel__unprivileged_userns_clone="1")), "user_namespaces"),
        (host(tools=tools(cgroup2="")), "freezer"),
        (host(kernel=settings(kernel__modules_disabled="0")), "modules"),
        (host(running=""), "running"),
        (host(tools=tools(bcc="", kept=True)), "bcc"),
        (with_user(cron=True), "cron"),
        (with_user(at=True), "at"),
        (with_user(lingers=True), "units"),
    ],
)
def test_what_a_rule_or_the_mode_deals_with_is_a_note(facts: Facts, check: str) -> None:
    """In gate mode such an act can be held itself; a user is watched wherever it runs."""
    assert finding(facts, check).level is Level.NOTE


@pytest.mark.parametrize(
    ("facts", "check"),
    [
        (stopping(kernel=settings(kernel__io_uring_disabled="1")), "io_uring"),
        (stopping(kernel=settings(
            kernel__unprivileged_userns_clone=None, user__max_user_namespaces="0")),
         "user_namespaces"),
        (stopping(kernel=settings(
            kernel__unprivileged_userns_clone=None,
            kernel__apparmor_restrict_unprivileged_userns="1")), "user_namespaces"),
        (host(kernel=kernel(
            lockdown="integrity", settings={**TIGHT, "kernel.modules_disabled": "0"})), "modules"),
        (host(kernel=settings(kernel__modules_disabled=None)), "modules"),
        (host(kernel=settings(kernel__unprivileged_bpf_disabled=None)), "unprivileged_bpf"),
        (host(kernel=kernel(x32=True)), "foreign_calls"),
        (host(tools=tools(auditd="")), "auditd"),
        (host(accounts=()), "sudo"),
    ],
)  # fmt: skip
def test_a_door_that_something_else_closes_is_closed(facts: Facts, check: str) -> None:
    """By any of the settings that can."""
    assert finding(facts, check).level is Level.OK


def test_without_any_mode_auditd_is_asked_for() -> None:
    """It is what is left for a kernel without BPF."""
    facts = host(trials=trials(bpf=REFUSED), tools=tools(auditd=""))
    found = finding(facts, "auditd")
    assert found.level is Level.NOTE
    assert "auditd" in found.remedy


def test_several_users_are_named_with_what_is_open_to_each() -> None:
    """And a user that is watched as such is not called lost."""
    other = Account(name="bot", uid=4243, subject="bot", by_cgroup=True, cron=True)
    found = finding(host(accounts=(replace(AI, cron=True), other)), "cron")
    assert found.what == "ai-worker may use cron, bot may use cron"
    assert 'users = ["bot"]' in found.remedy
    assert "ai-worker" not in found.remedy
