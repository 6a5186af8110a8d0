"""Reads the facts of this very host. Changes nothing; what cannot be read is left out."""

import ctypes
import gzip
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent import config as configs
from agent import control, procfs
from agent import identity as identities
from agent.audit.kernelrules import KernelRules
from agent.audit.startable import is_immutable
from agent.config import AgentConfig
from agent.doctor import accounts, remedies
from agent.doctor.facts import SETTINGS, Configuration, Facts, Kernel, System, Tools
from agent.doctor.owners import loose
from agent.doctor.trial import attach_trials
from agent.errors import AgentError
from agent.sensor.labels import cgroup_mount
from agent.sensor.preemption import of_this_kernel
from agent.subjects import resolve

_SYSTEM_PYTHON = "/usr/bin/python3"
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"
_BPFFS = Path("/sys/fs/bpf")
_LIMIT_S = 120
_X32_GETPID = 0x4000_0000 | 39


def facts(place: Path) -> Facts:
    """Return the facts of this host, with agent.toml at `place`. Takes a second; run as root."""
    config, configuration = _configuration(place)
    return Facts(
        system=_system(),
        kernel=_kernel(),
        trials=attach_trials(),
        tools=_tools(config),
        configuration=configuration,
        accounts=accounts.of(config.subjects) if config else (),
        running=_running(config),
    )


def _configuration(place: Path) -> tuple[AgentConfig | None, Configuration]:
    try:
        config = configs.load(place)
    except AgentError as error:
        return None, Configuration(place=str(place), problem=str(error))
    problems = []
    for look in (
        lambda: identities.load(config.identity),
        lambda: resolve(config.subjects, place=str(place)),
    ):
        try:
            look()
        except AgentError as error:
            problems.append(str(error))
    return config, Configuration(
        place=str(place),
        problem="; ".join(problems),
        mode=config.mode,
        loose=loose(_own(config)),
    )


def _own(config: AgentConfig) -> Iterator[Path]:
    """Yield everything that decides what is held, and the program itself."""
    yield from (config.place.absolute(), config.identity, config.state, config.run, config.cache)
    for rules in config.rules:
        yield rules
        if rules.is_dir():
            yield from sorted(rules.glob("*.yaml"))
    yield Path(configs.__file__).parent
    yield Path(sys.prefix)


def _running(config: AgentConfig | None) -> str:
    if config is None:
        return ""
    try:
        return str(control.ask(config.socket, {"do": "status"}).get("mode", ""))
    except AgentError:
        return ""


def _system() -> System:
    try:
        said = platform.freedesktop_os_release()
    except OSError:
        return System()
    return System(
        id=said.get("ID", ""),
        like=tuple(said.get("ID_LIKE", "").split()),
        version=said.get("VERSION_ID", ""),
        name=said.get("PRETTY_NAME", said.get("NAME", "")),
    )


def _kernel() -> Kernel:
    lsms = _text("/sys/kernel/security/lsm")
    lockdown = _text("/sys/kernel/security/lockdown") or ""
    command_line = _text("/proc/cmdline") or ""
    found = {name: _text(f"/proc/sys/{name.replace('.', '/')}") for name in SETTINGS}
    return Kernel(
        release=platform.release(),
        machine=platform.machine(),
        command_line=command_line,
        lsms=None if lsms is None else tuple(lsms.split(",")),
        lockdown=next((word[1:-1] for word in lockdown.split() if word.startswith("[")), ""),
        preempts=of_this_kernel(),
        types=Path("/sys/kernel/btf/vmlinux").exists(),
        options=_options(platform.release()),
        settings={name: text for name, text in found.items() if text is not None},
        ia32=Path("/proc/sys/abi/vsyscall32").exists()
        and not {"ia32_emulation=0", "ia32_emulation=off"} & set(command_line.split()),
        x32=platform.machine() == "x86_64" and _takes_x32(),
    )


def _takes_x32() -> bool:
    """Ask for the own process id by the x32 interface, which does nothing else."""
    return bool(ctypes.CDLL(None).syscall(_X32_GETPID) == os.getpid())


def _options(release: str) -> dict[str, str]:
    """Return the build options of the running kernel, {} where nothing tells them."""
    text = _text(f"/boot/config-{release}")
    if text is None:
        with suppress(OSError, EOFError, UnicodeError):
            text = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode("ascii")
    lines = (line.partition("=") for line in (text or "").splitlines() if line[:1] == "C")
    return {name: value for name, _, value in lines}


def _tools(config: AgentConfig | None) -> Tools:
    at = config.bpffs.parent if config else _BPFFS
    cgroup2 = cgroup_mount()
    there = {path for path in remedies.BOOT_FILES if Path(path).exists()}
    there |= {name for name in remedies.BOOT_COMMANDS if shutil.which(name, path=_SBIN)}
    return Tools(
        bcc=_asked("from bcc import lib, __version__; print(__version__)"),
        kept=config is not None and config.cache.is_dir() and any(config.cache.iterdir()),
        bpffs=_is_on_bpffs(at),
        bpffs_at=str(at),
        cgroup2=str(cgroup2) if cgroup2 else "",
        auditd=shutil.which("auditd", path=_SBIN) or "",
        auditd_runs=_auditd_runs(),
        audit_immutable=is_immutable(),
        audit_rules=_audit_rules(config),
        auparse=bool(_asked("import auparse; print(True)")),
        boot=frozenset(there),
    )


def _asked(source: str) -> str:
    """Return what a line of Python says under the system's own, empty if it fails."""
    try:
        done = subprocess.run(
            [_SYSTEM_PYTHON, "-I", "-B", "-c", source],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
            env={"PATH": _SBIN, "LANG": "C.UTF-8"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _is_on_bpffs(directory: Path) -> bool:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    while not directory.is_mount():
        directory = directory.parent
    # The last one that was mounted there hides those before it.
    return [fields[2] for fields in mounts if fields[1] == str(directory)][-1:] == ["bpf"]


def _auditd_runs() -> bool:
    number = (_text("/run/auditd.pid") or "").strip()
    return number.isdecimal() and procfs.stat(int(number)) is not None


def _audit_rules(config: AgentConfig | None) -> int:
    if config is None or not shutil.which("auditctl", path=_SBIN):
        return 0
    try:
        return len(KernelRules(config.audit_key).there())
    except AgentError:
        return 0


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
