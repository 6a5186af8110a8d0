"""Made-up hosts for doctor: a stock Debian 12 with nothing wrong, and changes to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.doctor.facts import (
    Account,
    Answer,
    Configuration,
    Facts,
    Kernel,
    System,
    Tools,
    Trials,
)

DEBIAN = System(id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)")
UBUNTU = System(id="ubuntu", like=("debian",), version="24.04", name="Ubuntu 24.04.1 LTS")
ALMA = System(
    id="almalinux", like=("rhel", "centos", "fedora"), version="9.4", name="AlmaLinux 9.4"
)
AMAZON = System(id="amzn", like=("fedora",), version="2023", name="Amazon Linux 2023")
AMAZON_2 = System(id="amzn", like=("centos", "rhel", "fedora"), version="2", name="Amazon Linux 2")
SUSE = System(id="sles", like=("suse",), version="15.6", name="SUSE Linux Enterprise Server 15")
ALPINE = System(id="alpine", version="3.20", name="Alpine Linux v3.20")

TIGHT: Mapping[str, str] = {
    "fs.protected_fifos": "1",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    "kernel.io_uring_disabled": "2",
    "kernel.io_uring_group": "-1",
    "kernel.modules_disabled": "1",
    "kernel.unprivileged_bpf_disabled": "2",
    "kernel.unprivileged_userns_clone": "0",
    "kernel.yama.ptrace_scope": "1",
    "net.core.bpf_jit_enable": "1",
    "user.max_user_namespaces": "15000",
    "vm.unprivileged_userfaultfd": "0",
}
LSMS = ("lockdown", "capability", "landlock", "yama", "apparmor")
AI = Account(name="ai-worker", uid=4242, subject="ai-worker", groups=("ai-worker",), gids=(4242,))


def kernel(**changes: Any) -> Kernel:
    """Return Debian's kernel, with `bpf` among the active LSMs."""
    made = Kernel(
        release="6.1.0-56-amd64",
        command_line="BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-amd64 root=/dev/vda1 ro quiet",
        lsms=(*LSMS, "bpf"),
        lockdown="none",
        options={"CONFIG_BPF_LSM": "y"},
        settings=TIGHT,
        ia32=True,
    )
    return replace(made, **changes)


def settings(**changes: str | None) -> Kernel:
    """Return that kernel with other settings; a double underscore stands for a dot, None: gone."""
    new = {name.replace("__", "."): value for name, value in changes.items()}
    merged = {**TIGHT, **new}
    return kernel(settings={name: value for name, value in merged.items() if value is not None})


def trials(**changes: Answer) -> Trials:
    """Return what a kernel says that takes everything."""
    made = Trials(bpf=True, raw_tracepoint=True, signal=True, lsm=True, fmod_ret=True, fexit=True)
    return replace(made, **changes)


def host(**changes: Any) -> Facts:
    """Return a host that can do everything and has no door open."""
    made = Facts(
        system=DEBIAN,
        kernel=kernel(),
        trials=trials(),
        tools=Tools(
            bcc="0.26.0",
            bpffs=True,
            cgroup2="/sys/fs/cgroup",
            auditd="/usr/sbin/auditd",
            auditd_runs=True,
            auparse=True,
            boot=frozenset({"/etc/default/grub", "/etc/default/grub.d"}),
        ),
        configuration=Configuration(place="/etc/holdfast/agent.toml"),
        accounts=(AI,),
        running="gate",
    )
    return replace(made, **changes)


def tools(**changes: Any) -> Tools:
    """Return that host's tools with changes."""
    return replace(host().tools, **changes)
