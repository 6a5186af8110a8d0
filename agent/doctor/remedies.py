"""What to change, as a command for this very system: packages, settings, the kernel's command line.

Nothing here runs a command; each is shown to a person. An LSM that is active is never left out.
"""

import re

from agent.doctor.facts import Kernel, System, Tools

GRUB, GRUB_PARTS, GRUBBY = "/etc/default/grub", "/etc/default/grub.d", "grubby"
KERNEL_COMMAND_LINE = "/etc/kernel/cmdline"
BOOT_FILES = (GRUB, GRUB_PARTS, KERNEL_COMMAND_LINE)
BOOT_COMMANDS = (GRUBBY,)
_SETTINGS_FILE = "/etc/sysctl.d/90-holdfast.conf"
# Active whatever is asked for, and no name that lsm= takes.
_ALWAYS = "capability"


def family(system: System) -> str:
    """Return debian, amazon, rhel, suse, or other."""
    names = {system.id, *system.like}
    if system.id == "amzn":
        return "amazon"
    for known, members in (
        ("debian", {"debian", "ubuntu"}),
        ("rhel", {"rhel", "fedora", "centos"}),
        ("suse", {"suse", "opensuse", "sles"}),
    ):
        if names & members:
            return known
    return "other"


def bcc(system: System) -> str:
    """Return how to install what compiles the programs, for the system's own Python."""
    return {
        "debian": "sudo apt-get install python3-bpfcc",
        "rhel": "sudo dnf install python3-bcc",
        "amazon": "sudo amazon-linux-extras install BCC"
        if system.version == "2"
        else "sudo dnf install python3-bcc",
        "suse": "sudo zypper install python3-bcc",
    }.get(family(system), "install bcc for /usr/bin/python3 from your distribution, not from PyPI")


AUDIT_IMMUTABLE = (
    "take the line -e 2 out of /etc/audit/rules.d and reboot; or start the agent in mode audit, "
    "put the rules that it then names into /etc/audit/rules.d/holdfast.rules, and reboot"
)


def auditd(system: System) -> str:
    """Return how to install auditd and its Python side."""
    return {
        "debian": "sudo apt-get install auditd python3-audit",
        "rhel": "sudo dnf install audit python3-audit",
        "amazon": "sudo yum install audit audit-libs-python"
        if system.version == "2"
        else "sudo dnf install audit python3-audit",
        "suse": "sudo zypper install audit python3-audit",
    }.get(family(system), "install auditd and its auparse for /usr/bin/python3")


def setting(name: str, value: int) -> str:
    """Return how to set a setting of the kernel, now and at each boot."""
    return f"echo '{name} = {value}' | sudo tee -a {_SETTINGS_FILE} && sudo sysctl --system"


def lsm_line(kernel: Kernel, *wanted: str) -> str:
    """Return the whole lsm= with `wanted` added, and everything in it that is there today.

    The order of the line that is there is kept: some LSMs only work as the first of their kind.
    """
    asked = re.findall(r"(?<!\S)lsm=(\S*)", kernel.command_line)
    names = [name for name in asked[-1].split(",") if name] if asked else []
    for name in (*(kernel.lsms or ()), *wanted):
        if name not in names:
            names.append(name)
    return "lsm=" + ",".join(name for name in names if name != _ALWAYS)


def boot_parameter(system: System, tools: Tools, kernel: Kernel, parameter: str) -> str:
    """Return how to give the kernel a parameter at each boot, for this system's boot loader."""
    key = parameter.partition("=")[0]
    asked = re.findall(rf"(?<!\S)({re.escape(key)}=\S*)", kernel.command_line)
    kind = family(system)
    if GRUBBY in tools.boot and kind in {"rhel", "amazon"}:
        # Also replaces one that is there.
        return f"sudo grubby --update-kernel=ALL --args='{parameter}' && sudo reboot"
    make = {
        "debian": "sudo update-grub",
        "rhel": "sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
        "amazon": "sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
        "suse": "sudo grub2-mkconfig -o /boot/grub2/grub.cfg",
    }.get(kind, "make GRUB's configuration anew")
    if asked and GRUB in tools.boot:
        return (
            f"where {GRUB} or a file in {GRUB_PARTS} says {asked[-1]}, write {parameter} instead; "
            f"then: {make} && sudo reboot"
        )
    if kind == "debian" and GRUB in tools.boot:
        line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {parameter}"'
        return (
            f"sudo mkdir -p {GRUB_PARTS} && echo '{line}' | sudo tee "
            f"{GRUB_PARTS}/90-holdfast.cfg && {make} && sudo reboot"
        )
    if GRUB in tools.boot:
        return (
            f"add {parameter} to GRUB_CMDLINE_LINUX in {GRUB}, inside its quotes; then: {make} && "
            "sudo reboot"
        )
    if KERNEL_COMMAND_LINE in tools.boot:
        return (
            f"add {parameter} to {KERNEL_COMMAND_LINE}"
            f"{f', in place of {asked[-1]}' if asked else ''}; then: sudo kernel-install add "
            f"{kernel.release} /boot/vmlinuz-{kernel.release} && sudo reboot"
        )
    return (
        f"give the kernel {parameter} by this host's boot loader"
        f"{f', in place of {asked[-1]}' if asked else ''}, and start it anew"
    )
