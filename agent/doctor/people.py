"""What is open to watched users beside the kernel: groups, sudo, units, cron, at. Pure."""

from collections.abc import Callable, Sequence

from agent.doctor.facts import Account, Facts
from agent.doctor.finding import Finding, Level, good
from agent.doctor.modes import Mode

# Whose members can have others act for them as root, and by what.
_LIKE_ROOT = {
    "docker": "docker.sock",
    "podman": "podman.sock",
    "lxd": "the LXD socket",
    "incus": "the Incus socket",
    "incus-admin": "the Incus socket",
    "libvirt": "the libvirt socket",
    "disk": "the block devices",
    "kmem": "the memory devices",
    "shadow": "the passwords' digests",
}


def groups(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether a watched user is in a group that is as good as root."""
    check = "groups"
    found = [(one, group) for one in facts.accounts for group in one.groups if group in _LIKE_ROOT]
    if not found:
        return good(check, f"{_watched(facts)} in a group that is as good as root")
    said = "; ".join(f"{one.name} is in {group} ({_LIKE_ROOT[group]})" for one, group in found)
    return Finding(
        check=check,
        level=Level.WARNING,
        what=said,
        why="what acts for them is a service of root's that is not watched: a container with the "
        "host's files needs one connection to a socket",
        remedy="; ".join(f"sudo gpasswd -d {one.name} {group}" for one, group in found)
        + ", or keep the rules about those sockets (the pack sockets.yaml)",
    )


def sudo(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether a watched user may become another user."""
    check = "sudo"
    allowed = [one for one in facts.accounts if one.sudo]
    if not allowed:
        return good(check, f"{_watched(facts)} allowed to use sudo")
    everything = [one for one in allowed if any(_is_all(rule) for rule in one.sudo)]
    said = "; ".join(f"{one.name} may run {', '.join(one.sudo)}" for one in allowed)
    return Finding(
        check=check,
        level=Level.PROBLEM if everything else Level.WARNING,
        what=said,
        why="what runs under sudo stays watched, and root can take Holdfast off the host",
        remedy="take the rules out (sudo visudo, and the files in /etc/sudoers.d; see also: "
        "sudo -l -U NAME), or name the few commands that are needed, with their arguments",
    )


def units(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether a service manager of its own runs things for a watched user."""

    def words(one: Account) -> str:
        return "lingers" if one.lingers else "has a service manager that runs now"

    return _elsewhere(
        facts,
        check="units",
        uses=[one for one in facts.accounts if one.lingers or one.manager],
        none="has a service manager",
        words=words,
        means="by systemd-run --user a process is started by a manager",
        remedy=lambda one: f"sudo loginctl disable-linger {one.name}",
    )


def cron(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether a watched user may have cron run something later."""
    return _elsewhere(
        facts,
        check="cron",
        uses=[one for one in facts.accounts if one.cron],
        none="may use cron",
        words=lambda _: "may use cron",
        means="what cron starts later comes from cron",
        remedy=lambda one: f"echo {one.name} | sudo tee -a /etc/cron.deny",
    )


def at(facts: Facts, _mode: Mode | None) -> Finding:
    """Whether a watched user may have atd run something later."""
    return _elsewhere(
        facts,
        check="at",
        uses=[one for one in facts.accounts if one.at],
        none="may use at",
        words=lambda _: "may use at",
        means="what atd starts later comes from atd",
        remedy=lambda one: f"echo {one.name} | sudo tee -a /etc/at.deny",
    )


def _elsewhere(
    facts: Facts,
    *,
    check: str,
    uses: Sequence[Account],
    none: str,
    words: Callable[[Account], str],
    means: str,
    remedy: Callable[[Account], str],
) -> Finding:
    """Judge a way to have a process started by somebody else, outside of one's cgroup."""
    if not uses:
        return good(check, f"no watched user {none}" if facts.accounts else _NOBODY)
    lost = [one for one in uses if one.by_cgroup]
    said = ", ".join(f"{one.name} {words(one)}" for one in uses)
    if not lost:
        return Finding(
            check=check,
            level=Level.NOTE,
            what=said,
            why=f"{means}: it is watched all the same, by its user, in a session of its own that "
            "nobody has logged in to",
            remedy="; ".join(dict.fromkeys(map(remedy, uses))),
        )
    return Finding(
        check=check,
        level=Level.WARNING,
        what=said,
        why=f"{means}, and is not in the cgroup by which "
        f"{', '.join(dict.fromkeys(repr(one.subject) for one in lost))} is known: nothing of it "
        "is watched",
        remedy="name the user too (users = "
        + ", ".join(f'["{one.name}"] in the table of {one.subject!r}' for one in lost)
        + "), or: "
        + "; ".join(dict.fromkeys(map(remedy, lost))),
    )


_NOBODY = "no user of this host is watched"


def _watched(facts: Facts) -> str:
    return "no watched user is" if facts.accounts else f"{_NOBODY}, so none is"


def _is_all(rule: str) -> bool:
    """Return whether a rule as `sudo -l` lists it ends in the command ALL."""
    return rule.split()[-1:] == ["ALL"]


CHECKS = (groups, sudo, units, cron, at)
