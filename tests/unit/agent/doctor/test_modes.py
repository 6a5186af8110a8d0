"""Which mode a made-up host gets, why, and what exactly it lacks for a better one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doctor.facts import Answer, Configuration, Facts, Trials
from agent.doctor.modes import PROMISES, Mode, Way, chosen, ways, why
from agent.sensor.choose import best
from rules.modes import KINDS
from tests.support.hosts import (
    ALMA,
    AMAZON,
    LSMS,
    UBUNTU,
    host,
    kernel,
    settings,
    tools,
    trials,
)
from wire.acts import KINDS_OF_PROCESSES, Kind

NO_LSM = "it attaches and is never called: bpf is not an active LSM"
REFUSED = "Operation not permitted (EPERM)"
# Ubuntu: BPF LSM is built and not active, and its AppArmor must stay.
AS_UBUNTU: dict[str, Any] = {
    "system": UBUNTU,
    "kernel": kernel(release="6.8.0-45-generic", lsms=LSMS),
    "trials": trials(lsm=NO_LSM),
}
ONLY_TRACEPOINTS = host(trials=trials(lsm=REFUSED, fmod_ret=REFUSED, fexit=REFUSED))


def gets(facts: Facts) -> tuple[Mode, str] | None:
    """Return the mode and means that a host gets."""
    way = chosen(ways(facts))
    return (way.mode, way.by) if way else None


def lacks(facts: Facts, mode: Mode, by: str) -> list[tuple[str, str]]:
    """Return what a way lacks on a host, each with its remedy."""
    (way,) = (one for one in ways(facts) if one.mode is mode and one.by == by)
    return [(one.what, one.remedy) for one in way.obstacles]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (host(), (Mode.GATE, "BPF LSM")),
        (host(**AS_UBUNTU), (Mode.GATE, "fmod_ret")),
        (ONLY_TRACEPOINTS, (Mode.STOP, "raw tracepoints")),
        (host(trials=trials(fexit=REFUSED)), (Mode.STOP, "raw tracepoints")),
        (
            host(trials=trials(lsm=REFUSED, fmod_ret=REFUSED, signal=REFUSED)),
            (Mode.AUDIT, "auditd"),
        ),
        (host(kernel=kernel(types=False)), (Mode.AUDIT, "auditd")),
        (host(kernel=kernel(lockdown="confidentiality")), (Mode.AUDIT, "auditd")),
        (host(tools=tools(bpffs=False)), (Mode.AUDIT, "auditd")),
        (host(tools=tools(bcc="")), (Mode.AUDIT, "auditd")),
        (host(tools=tools(bcc="", kept=True)), (Mode.GATE, "BPF LSM")),
        (host(tools=tools(bcc="", auditd="")), None),
        (host(tools=tools(bcc="", auparse=False)), None),
        (host(tools=tools(bcc="", auditd_runs=False)), None),
    ],
)
def test_a_host_gets_the_best_that_nothing_stands_against(
    facts: Facts, expected: tuple[Mode, str] | None
) -> None:
    """By what was tried and what is there, never by a version."""
    assert gets(facts) == expected


def test_a_host_without_bpf_gets_audit_mode_and_hears_why() -> None:
    """The agent then takes the same way, so doctor offers it."""
    facts = host(kernel=kernel(types=False))
    assert gets(facts) == (Mode.AUDIT, "auditd")
    assert why(ways(facts)).startswith("auditd works here. Missing for gate: ")
    assert "Missing for stop: " in why(ways(facts))


def test_bpf_is_added_to_the_active_lsms_and_none_is_dropped() -> None:
    """On Ubuntu by a part of GRUB's configuration; capability is active whatever is asked for."""
    assert lacks(host(**AS_UBUNTU), Mode.GATE, "BPF LSM") == [
        (
            "bpf among the active LSMs (lockdown,capability,landlock,yama,apparmor)",
            "sudo mkdir -p /etc/default/grub.d && echo "
            "'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=lockdown,landlock,yama,apparmor,bpf\"' "
            "| sudo tee /etc/default/grub.d/90-holdfast.cfg && sudo update-grub && sudo reboot",
        )
    ]


def test_a_kernel_that_is_built_without_it_is_not_told_to_change_its_command_line() -> None:
    """No parameter helps; the other way does."""
    facts = host(kernel=kernel(lsms=LSMS, options={"CONFIG_BPF_LSM": "n"}), trials=trials(lsm="no"))
    ((what, remedy),) = lacks(facts, Mode.GATE, "BPF LSM")
    assert what == "CONFIG_BPF_LSM in this kernel"
    assert "fmod_ret" in remedy
    assert "lsm=" not in remedy


@pytest.mark.parametrize(
    ("facts", "what", "remedy"),
    [
        (host(tools=tools(bcc="")), "bcc for /usr/bin/python3", "apt-get install python3-bpfcc"),
        (host(system=ALMA, tools=tools(bcc="")), "bcc for", "sudo dnf install python3-bcc"),
        (host(tools=tools(bpffs=False)), "at /sys/fs/bpf", "mount -t bpf bpf /sys/fs/bpf"),
        (host(kernel=kernel(types=False)), "btf/vmlinux", "CONFIG_DEBUG_INFO_BTF=y"),
        (
            host(system=AMAZON, kernel=kernel(lockdown="confidentiality"),
                 tools=tools(boot=frozenset({"grubby"}))),
            "lockdown is at confidentiality",
            "sudo grubby --update-kernel=ALL --args='lockdown=integrity' && sudo reboot",
        ),
        (host(trials=trials(raw_tracepoint=REFUSED)), f"raw tracepoints: {REFUSED}", ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_remedy(facts: Facts, what: str, remedy: str) -> None:
    """For this very distribution."""
    found = [one for one in lacks(facts, Mode.STOP, "raw tracepoints") if what in one[0]]
    assert len(found) == 1
    assert remedy in found[0][1]


def test_a_compiler_that_is_switched_off_is_the_remedy_of_what_needs_it() -> None:
    """Neither LSM nor fmod_ret programs attach without it."""
    facts = host(
        kernel=settings(net__core__bpf_jit_enable="0"),
        trials=trials(lsm="error 524", fmod_ret="error 524"),
    )
    for by in ("BPF LSM", "fmod_ret"):
        ((what, remedy),) = lacks(facts, Mode.GATE, by)
        assert "524" in what
        assert "net.core.bpf_jit_enable = 1" in remedy


def test_auditing_that_is_switched_off_is_no_way() -> None:
    """Whether auditd runs or not."""
    facts = host(kernel=kernel(command_line="ro audit=0"))
    ((what, remedy),) = lacks(facts, Mode.AUDIT, "auditd")
    assert "audit=0" in what
    assert "audit=1" in remedy


def test_what_was_not_tried_counts_as_not_possible() -> None:
    """A loader that is older, or failed, has tried nothing."""
    assert gets(host(trials=Trials(bpf="the trial failed"))) == (Mode.AUDIT, "auditd")


def test_why_says_what_each_way_of_a_better_mode_lacks() -> None:
    """In one sentence."""
    found = ways(host(**{**AS_UBUNTU, "trials": trials(lsm=NO_LSM, fmod_ret=REFUSED)}))
    assert why(found) == (
        "raw tracepoints work here. Missing for gate: bpf among the active LSMs "
        f"(lockdown,capability,landlock,yama,apparmor); fmod_ret programs: {REFUSED}"
    )
    assert why(ways(host())) == "BPF LSM works here, and no mode promises more"
    assert "no way to hold" in why((Way(mode=Mode.STOP, by="x", obstacles=found[0].obstacles),))


ANSWER = st.sampled_from([True, REFUSED])


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("raw_tracepoint", "signal", "lsm", "fmod_ret", "fexit"), ANSWER)
    ),
    st.sampled_from(["", "full"]),
)
def test_doctor_says_what_the_agent_would_choose(said: dict[str, Answer], preempts: str) -> None:
    """Whatever the kernel takes and refuses; both ask the same trial."""
    facts = host(trials=trials(**said), kernel=kernel(preempts=preempts))
    way = chosen(ways(facts))
    assert way is not None
    choice = best(said, preempts)
    means = {"lsm": "BPF LSM", "fmod_ret": "fmod_ret", "stop": "raw tracepoints"}
    expected = means[choice.side.name] if choice.side else "auditd"
    assert (way.mode, way.by) == (choice.mode, expected)


def test_a_kernel_that_preempts_itself_is_told_how_not_to() -> None:
    """Gate mode needs it, stop mode does not."""
    facts = host(kernel=kernel(preempts="full"))
    ((what, remedy),) = lacks(facts, Mode.GATE, "BPF LSM")
    assert "full" in what
    assert "preempt=voluntary" in remedy
    assert gets(facts) == (Mode.STOP, "raw tracepoints")
    ((_, remedy),) = lacks(host(kernel=kernel(preempts="rt")), Mode.GATE, "BPF LSM")
    assert "without PREEMPT_RT" in remedy


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("gate", Mode.GATE), ("stop", Mode.STOP), ("audit", Mode.AUDIT), ("auto", Mode.GATE)],
)
def test_a_mode_that_is_asked_for_is_the_only_one(asked: str, expected: Mode) -> None:
    """And the others say why not; one that cannot be is none at all."""
    asking = Configuration(place="/etc/holdfast/agent.toml", mode=asked)
    way = chosen(ways(host(configuration=asking)))
    assert way is not None
    assert way.mode is expected
    refused = host(configuration=asking, trials=trials(lsm=REFUSED, fmod_ret=REFUSED))
    assert (gets(refused) is None) is (asked == "gate")


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_promises_something_of_what_its_rules_are_in_effect_for(mode: Mode) -> None:
    """What a file suffers by an open is seen as that open, also where it is no act of its own."""
    seen = {kind for kind, (guarantee, _) in PROMISES[mode].kinds.items() if guarantee != "no"}
    assert PROMISES[mode].kinds.keys() == {kind.value for kind in KINDS_OF_PROCESSES}
    assert seen - {"create", "truncate"} == KINDS[mode] - {Kind.CREATE, Kind.TRUNCATE}


def test_every_mode_says_what_it_promises_of_every_kind_of_act() -> None:
    """The same kinds in each, in the same order; gate holds all of them, audit none."""
    kinds = [list(promise.kinds) for promise in PROMISES.values()]
    assert kinds.count(kinds[0]) == len(kinds)
    assert len(kinds[0]) == 19
    assert {one for one, _ in PROMISES[Mode.GATE].kinds.values()} == {"held"}
    assert {one for one, _ in PROMISES[Mode.AUDIT].kinds.values()} == {"late", "no"}
    assert {one for one, _ in PROMISES[Mode.STOP].kinds.values()} == {
        "held",
        "stopped",
        "late",
        "no",
    }
