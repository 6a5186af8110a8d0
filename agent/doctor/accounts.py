"""Reads which users the subjects match, and what is open to them beside the kernel. Reads only."""

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from agent.config import SubjectConfig
from agent.doctor.facts import Account
from agent.sensor.labels import cgroup_mount

_ETC, _LINGER, _RUNTIME = Path("/etc"), Path("/var/lib/systemd/linger"), Path("/run/user")
_BIN = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_SUDO_S = 10
# Of a large group the first are shown; what is open to one is as a rule open to all.
_MOST = 50


def of(subjects: Sequence[SubjectConfig]) -> tuple[Account, ...]:
    """Return every user that the subjects match, root not among them, by name."""
    found: dict[int, Account] = {}
    for subject in subjects:
        for uid, by_cgroup in _uids(subject):
            known = found.get(uid)
            # Named as a user by any subject, it is watched wherever it is.
            if uid and (known is None or (known.by_cgroup and not by_cgroup)):
                found[uid] = Account(
                    name=_name(uid), uid=uid, subject=subject.name, by_cgroup=by_cgroup
                )
    some = sorted(found.values(), key=lambda one: one.name)[:_MOST]
    return tuple(_with_what_is_open(one) for one in some)


def _uids(subject: SubjectConfig) -> Iterator[tuple[int, bool]]:
    """Yield the user ids of a subject, and whether only a cgroup tells of them."""
    for user in subject.users:
        try:
            yield (user if isinstance(user, int) else pwd.getpwnam(user).pw_uid), False
        except KeyError:
            continue  # the configuration's own finding
    for group in subject.groups:
        try:
            entry = grp.getgrgid(group) if isinstance(group, int) else grp.getgrnam(group)
        except KeyError:
            continue
        members = set(entry.gr_mem)
        for one in pwd.getpwall():
            if one.pw_gid == entry.gr_gid or one.pw_name in members:
                yield one.pw_uid, False
    mount = cgroup_mount()
    for cgroup in subject.cgroups if mount else ():
        yield from (
            (uid, True) for uid in _inside(Path(f"{mount}{cgroup.removeprefix(str(mount))}"))
        )


def _inside(cgroup: Path) -> set[int]:
    """Return whose processes are in a cgroup, and below it, now."""
    uids = set()
    for directory, _, _ in os.walk(cgroup):
        try:
            numbers = Path(directory, "cgroup.procs").read_text(encoding="ascii").split()
            uids |= {Path(f"/proc/{number}").stat().st_uid for number in numbers}
        except OSError:  # a process, or the cgroup, has ended meanwhile
            continue
    return uids


def _with_what_is_open(account: Account) -> Account:
    name = account.name
    try:
        gids = os.getgrouplist(name, pwd.getpwuid(account.uid).pw_gid)
    except KeyError:  # a number without a name; then neither group nor sudo knows it
        return account
    return replace(
        account,
        groups=tuple(sorted(_group(gid) for gid in gids)),
        gids=tuple(sorted(gids)),
        sudo=_sudo(name),
        lingers=(_LINGER / name).exists(),
        manager=(_RUNTIME / str(account.uid) / "systemd").exists(),
        cron=shutil.which("crontab", path=_BIN) is not None
        and allowed("cron", name, otherwise=True),
        at=shutil.which("at", path=_BIN) is not None and allowed("at", name, otherwise=False),
    )


def allowed(what: str, name: str, *, otherwise: bool, etc: Path = _ETC) -> bool:
    """Return whether WHAT.allow and WHAT.deny let a user use it; `otherwise` without either."""
    for suffix, listed_may in (("allow", True), ("deny", False)):
        try:
            names = (etc / f"{what}.{suffix}").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        return (name in names.split()) is listed_may
    return otherwise


def _sudo(name: str) -> tuple[str, ...]:
    sudo = shutil.which("sudo", path=_BIN)
    if sudo is None:
        return ()
    try:
        done = subprocess.run(
            [sudo, "-n", "-l", "-U", name],
            capture_output=True,
            text=True,
            timeout=_SUDO_S,
            check=False,
            env={"PATH": _BIN, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return sudo_rules(done.stdout)


def sudo_rules(listed: str) -> tuple[str, ...]:
    """Return the rules in what `sudo -l -U NAME` prints; sudo may have broken long ones."""
    _, marker, text = listed.partition("may run the following commands on ")
    rules: list[str] = []
    for line in text.splitlines()[1:] if marker else ():
        if line.startswith("     ") and rules:
            rules[-1] += f" {line.strip()}"
        elif line.startswith("    "):
            rules.append(line.strip())
    return tuple(rules)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
