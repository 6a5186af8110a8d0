"""The kernel's command line, as each distribution wants it changed; no LSM is ever dropped."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doctor import remedies
from agent.doctor.facts import System
from tests.support.hosts import ALMA, ALPINE, AMAZON, AMAZON_2, DEBIAN, SUSE, UBUNTU, kernel, tools

NAMES = ("landlock", "lockdown", "yama", "integrity", "apparmor", "selinux", "smack", "tomoyo")


@given(
    st.permutations(NAMES).flatmap(lambda names: st.integers(0, 8).map(lambda n: names[:n])),
    st.none() | st.lists(st.sampled_from(("ro", "lsm=yama,apparmor", "lsm=", "security=selinux"))),
)
def test_every_active_lsm_and_every_asked_one_is_in_the_line(
    active: list[str], words: list[str] | None
) -> None:
    """Once each, with bpf, in the order that was asked for."""
    command_line = " ".join(words or ())
    line = remedies.lsm_line(kernel(lsms=tuple(active), command_line=command_line), "bpf")
    named = line.removeprefix("lsm=").split(",")
    assert len(set(named)) == len(named)
    assert set(named) >= {*active, "bpf"}
    asked = [word for word in (words or ()) if word.startswith("lsm=")][-1:]
    kept = [name for one in asked for name in one.removeprefix("lsm=").split(",") if name]
    assert named[: len(kept)] == kept
    assert set(named) == {*active, *kept, "bpf"}


def test_the_line_that_counts_is_the_last_one() -> None:
    """As it does for the kernel."""
    seen = kernel(command_line="lsm=yama,smack ro lsm=landlock,apparmor", lsms=None)
    assert remedies.lsm_line(seen, "bpf") == "lsm=landlock,apparmor,bpf"


GRUB = frozenset({"/etc/default/grub", "/etc/default/grub.d"})
LINE = "lsm=landlock,bpf"


@pytest.mark.parametrize(
    ("system", "boot", "words"),
    [
        (DEBIAN, GRUB, ("/etc/default/grub.d/90-holdfast.cfg", "sudo update-grub")),
        (UBUNTU, GRUB, ("/etc/default/grub.d/90-holdfast.cfg", "sudo update-grub")),
        (ALMA, {*GRUB, "grubby"}, (f"sudo grubby --update-kernel=ALL --args='{LINE}'",)),
        (AMAZON, {*GRUB, "grubby"}, (f"sudo grubby --update-kernel=ALL --args='{LINE}'",)),
        (AMAZON_2, GRUB, ("GRUB_CMDLINE_LINUX", "grub2-mkconfig -o /boot/grub2/grub.cfg")),
        (ALMA, GRUB, ("GRUB_CMDLINE_LINUX", "grub2-mkconfig")),
        (SUSE, GRUB, ("GRUB_CMDLINE_LINUX", "grub2-mkconfig")),
        (DEBIAN, {"/etc/kernel/cmdline"}, ("/etc/kernel/cmdline", "kernel-install add 6.1")),
        (ALPINE, set(), ("this host's boot loader",)),
        (System(), GRUB, ("GRUB_CMDLINE_LINUX",)),
    ],
)
def test_each_system_is_told_its_own_file_and_command(
    system: System, boot: set[str], words: tuple[str, ...]
) -> None:
    """With the whole parameter in it, and a new start at the end."""
    said = remedies.boot_parameter(system, tools(boot=frozenset(boot)), kernel(), LINE)
    for one in (LINE, *words):
        assert one in said
    assert "reboot" in said or "start it anew" in said


def test_a_line_that_is_there_is_replaced_and_not_repeated() -> None:
    """A second lsm= before the first would have no effect."""
    seen = kernel(command_line="ro lsm=landlock,yama")
    said = remedies.boot_parameter(DEBIAN, tools(boot=GRUB), seen, LINE)
    assert "says lsm=landlock,yama, write lsm=landlock,bpf instead" in said
    assert "90-holdfast" not in said


def test_a_family_is_known_by_what_it_is_like() -> None:
    """Derivatives name their parents."""
    systems = (DEBIAN, UBUNTU, ALMA, AMAZON, AMAZON_2, SUSE, ALPINE)
    assert [remedies.family(one) for one in systems] == [
        "debian",
        "debian",
        "rhel",
        "amazon",
        "amazon",
        "suse",
        "other",
    ]
    for ask, system in itertools.product((remedies.bcc, remedies.auditd), systems):
        assert ask(system)
