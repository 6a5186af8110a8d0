"""What is attached: a system call tracepoint costs every process, so none is that no rule needs."""

from pathlib import Path

import pytest

from agent.errors import SensorError
from agent.sensor.interface import Subject
from agent.sensor.programs import attached
from tests.support.loading import attached_by_the_kernel, program_ids
from tests.support.watched import NO_RULES, PINS, Watched

pytestmark = pytest.mark.kernel

ALWAYS = {
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
    ("on_signal", "signal_generate"),
}
OPEN = {("on_open_return", "sys_exit")}
NETWORK = {("on_network_return", "sys_exit"), ("on_socket_state", "inet_sock_set_state")}
CGROUPS = {("on_cgroup_mkdir", "cgroup_mkdir"), ("on_cgroup_rmdir", "cgroup_rmdir")}
CASES = {
    "exec: { path: tiny }": set(),
    "open: { path: /none }": OPEN,
    "connect: { port: 25 }": NETWORK,
}


def rule(match: str) -> str:
    """Return a rule file with one rule."""
    return (
        "rules:\n  - id: one\n    description: One.\n    severity: info\n"
        f"    match: {{ {match} }}\n    action: observe\n"
    )


def wait_attached(expected: set[tuple[str, str]]) -> None:
    """Return once the kernel has these links to our programs and no other, as our pins say."""
    assert attached(PINS) == {program for program, _ in expected}
    ids = program_ids(PINS)
    # The kernel takes a link apart a moment after its pin is gone.
    while attached_by_the_kernel(ids) != expected:
        pass


@pytest.mark.parametrize("match", CASES)
def test_only_what_the_rules_need_is_attached(watched: Watched, match: str) -> None:
    """The kernel's own list of links says so, not only our pins; dropped rules take theirs away."""
    wait_attached(ALWAYS)
    watched.rules(rule(match))
    wait_attached(ALWAYS | CASES[match])
    watched.rules(NO_RULES)
    wait_attached(ALWAYS)


def test_rules_about_both_share_one_program_where_calls_end(watched: Watched) -> None:
    """Each program on a tracepoint costs every call, so that there is never a second one."""
    second = rule("connect: { port: 25 }").removeprefix("rules:\n").replace("id: one", "id: two")
    both = rule("open: { path: /none }") + second
    watched.rules(both)
    wait_attached(
        ALWAYS | {("on_call_return", "sys_exit"), ("on_socket_state", "inet_sock_set_state")}
    )
    watched.rules(rule("open: { path: /none }"))
    wait_attached(ALWAYS | OPEN)


def test_the_coming_and_going_of_cgroups_is_followed_only_where_one_is_watched(
    watched: Watched,
) -> None:
    """Two more tracepoints, and none when users are watched again."""
    try:
        watched.again([Subject(index=1, name="unit", cgroups=("/holdfast-test",))])
        wait_attached(ALWAYS | CGROUPS)
    finally:
        watched.again()
    wait_attached(ALWAYS)


def test_rules_that_do_not_fit_leave_the_old_ones_in_force(watched: Watched) -> None:
    """A rule set too large for the kernel's tables is refused, and nothing has changed by it."""
    watched.rules(rule("open: { path: '*.key' }"))
    (watched.place / "old.key").touch()
    (watched.place / "new.0001").touch()
    code = f"for name in ('old.key', 'new.0001'): open('{watched.place}/' + name)"
    endings = ", ".join(f"'*.{n:04}'" for n in range(5000))
    with pytest.raises(SensorError, match="do not fit"):
        watched.rules(rule(f"open: {{ path: [{endings}] }}"))
    assert watched.run(code).end() == 0
    assert [Path(act.path).name for act in watched.acts()] == ["old.key"]
    watched.rules(rule("open: { path: '*.0001' }"))
    assert watched.run(code).end() == 0
    assert [Path(act.path).name for act in watched.acts()] == ["new.0001"]
