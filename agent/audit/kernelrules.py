"""Our rules in the kernel, by auditctl: added one by one, and taken out again, never another's."""

import logging
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from agent.errors import SensorError

log = logging.getLogger("holdfast.agent.audit")

_PLACES = "/usr/sbin:/sbin"
_LIMIT_S = 30
_IMMUTABLE = "immutable mode"  # as every version of auditctl says it


class KernelRules:
    """The audit rules with one key."""

    def __init__(self, key: str) -> None:
        self._end = f" -F key={key}"
        self._wanted: tuple[str, ...] = ()

    def there(self) -> list[str]:
        """Return our rules as they are in the kernel; raise SensorError."""
        lines = (line.strip() for line in _auditctl("-l").splitlines())
        return [line for line in lines if line.endswith(self._end)]

    def missing(self) -> list[str]:
        """Return what was put in force and is not in the kernel any more."""
        there = {_same(line) for line in self.there()}
        return [line for line in self._wanted if _same(line) not in there]

    def has(self, wanted: Sequence[str]) -> bool:
        """Return whether these are in the kernel already, as where nothing can be changed."""
        there = {_same(line) for line in self.there()}
        return all(_same(line) in there for line in wanted)

    def put(self, wanted: Sequence[str]) -> None:
        """Have exactly these of ours: new ones first, then old ones go; raise SensorError.

        If one is refused, those that were there stay in force and no new one does.
        """
        before = {_same(line): line for line in self.there()}
        wants = {_same(line) for line in wanted}
        added = []
        try:
            for line in wanted:
                if _same(line) not in before:
                    _auditctl(*line.split(" "))
                    added.append(line)
        except SensorError:
            self._delete(added)
            raise
        self._wanted = tuple(wanted)
        self._delete(line for same, line in before.items() if same not in wants)

    def mend(self) -> int:
        """Put back what another has taken out; return how many; raise SensorError."""
        missing = self.missing()
        for line in missing:
            _auditctl(*line.split(" "))
        return len(missing)

    def remove(self) -> None:
        """Take all of ours out; raise SensorError."""
        self._wanted = ()
        self._delete(self.there())

    @staticmethod
    def _delete(lines: Iterable[str]) -> None:
        for line in lines:
            _auditctl("-d", *line.split(" ")[1:])


def _same(line: str) -> frozenset[str]:
    """Return a rule for comparison: versions of auditctl list calls in an order of their own."""
    return frozenset(line.replace("-S ", "").replace(",", " ").split())


def _auditctl(*words: str) -> str:
    program = shutil.which("auditctl", path=_PLACES)
    if program is None:
        raise SensorError("auditctl is not installed; install auditd (Debian) or audit (RHEL)")
    try:
        done = subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=_LIMIT_S,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SensorError(f"auditctl {' '.join(words)}: {error}") from error
    # That it can change nothing is a success to some versions of auditctl.
    if words[0] != "-l" and _IMMUTABLE in done.stdout + done.stderr:
        raise SensorError(
            "the audit configuration is immutable (auditctl -s: enabled 2): no rule comes or "
            "goes until the host boots. Change the rules in /etc/audit/rules.d, and reboot"
        )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SensorError(f"auditctl {' '.join(words)}: {said[0] if said else 'refused'}")
    return done.stdout
