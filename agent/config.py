"""agent.toml: what is watched, by which rules, and where the agent keeps its things.

Knows the keys and their defaults; hides TOML. Every error names the file, the key and the remedy.
"""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.errors import ConfigError
from agent.redaction import RedactionTable
from agent.redaction import read as read_redaction
from wire.redaction.settings import Settings

DEFAULT_CONFIG = Path("/etc/holdfast/agent.toml")
DEFAULT_IDENTITY = Path("/etc/holdfast/host.toml")
# What a label's name has room for in the kernel's map, its final zero not counted.
_LONGEST_NAME = 63
# What the kernel's held map has room for, of all sessions together.
_MOST_HOLDS = 512
_MOST_DENIALS = 100_000
_MODES = ("auto", "gate", "stop", "audit")
_LARGEST = 1 << 20
_LONGEST_RESPONSIBLE = 1000
_PLACES = ("identity", "state", "run", "bpffs", "cache", "audit_socket")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,31}")


class _Subject(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    name: str
    users: tuple[str | int, ...] = ()
    groups: tuple[str | int, ...] = ()
    cgroups: tuple[str, ...] = ()
    responsible: str = ""
    owner: str = ""  # what `responsible` was called before


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    rules: tuple[str, ...]
    subjects: tuple[_Subject, ...]
    identity: str = str(DEFAULT_IDENTITY)
    state: str = "/var/lib/holdfast-agent"
    run: str = "/run/holdfast-agent"
    why: str = ""
    bpffs: str = "/sys/fs/bpf/holdfast"
    cache: str = "/var/cache/holdfast-agent"
    mode: str = "auto"
    spool_limit_mib: int = 256
    holds_per_session: int = 20
    holds_per_subject: int = 100
    denials_per_minute: int = 60
    audit_socket: str = "/run/audispd_events"
    audit_key: str = "holdfast"
    redaction: RedactionTable = RedactionTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectConfig:
    """One watched subject as it is written: names of users and groups are not yet resolved."""

    name: str
    users: tuple[str | int, ...] = ()
    groups: tuple[str | int, ...] = ()
    cgroups: tuple[str, ...] = ()
    responsible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What agent.toml says. `place` is the file, for messages."""

    place: Path
    identity: Path
    state: Path
    run: Path
    why: Path
    bpffs: Path
    cache: Path
    mode: str
    rules: tuple[Path, ...]
    spool_limit_mib: int
    holds_per_session: int
    holds_per_subject: int
    denials_per_minute: int
    audit_socket: Path
    audit_key: str
    subjects: tuple[SubjectConfig, ...]
    redaction: Settings

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.run / "agent.sock"

    @property
    def audit_left(self) -> Path:
        """The file that says which audit rules an agent may have left in the kernel."""
        return self.state / "audit-rules"

    @property
    def names(self) -> frozenset[str]:
        """The names of what is watched."""
        return frozenset(subject.name for subject in self.subjects)

    @property
    def nobodys(self) -> tuple[str, ...]:
        """The subjects that nobody is named responsible for."""
        return tuple(subject.name for subject in self.subjects if not subject.responsible)

    @property
    def lock(self) -> Path:
        """The file that a living agent holds locked."""
        return self.state / "agent.lock"


S = TypeVar("S", bound=msgspec.Struct)


def read_toml(path: Path, shape: type[S]) -> S:
    """Return the file at `path` as `shape`; raise ConfigError naming file, key and remedy."""
    try:
        raw: dict[str, Any] = tomllib.loads(_read(path).decode("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file; see docs/agent.md for one") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror or error}; give a file that this user may "
            "read"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not TOML: nested too deep; mend it") from error
    except ValueError as error:  # also of numbers with thousands of digits, and of other encodings
        raise ConfigError(
            f"{path}: not TOML: {_why(error)}; mend it, or save it as UTF-8"
        ) from error
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        keys = ", ".join(field.name for field in msgspec.structs.fields(shape))
        raise ConfigError(f"{path}: {error}; the keys are {keys} (docs/agent.md)") from error


def _why(error: ValueError) -> str:
    return str(error).partition(";")[0]  # behind it Python tells how to lift its own limit


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK a FIFO would hold up the start for good.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(f"it is larger than {_LARGEST >> 20} MiB")
    return data


def load(path: Path) -> AgentConfig:
    """Return the configuration in `path`; relative paths in it are relative to its directory."""
    file = read_toml(path, _File)
    _check_paths(path, file)
    if not file.rules:
        raise ConfigError(f"{path}: rules: names no file; name a rule file or a directory of them")
    if not file.subjects:
        raise ConfigError(f"{path}: subjects: nobody is watched; add a [[subjects]] table")
    if not 1 <= file.spool_limit_mib <= 1 << 20:
        raise ConfigError(f"{path}: spool_limit_mib: must be 1 or more (MiB)")
    for key in ("holds_per_session", "holds_per_subject"):
        if not 1 <= getattr(file, key) <= _MOST_HOLDS:
            raise ConfigError(
                f"{path}: {key}: must be from 1 to {_MOST_HOLDS}, which is what a host has room for"
            )
    if not 1 <= file.denials_per_minute <= _MOST_DENIALS:
        raise ConfigError(
            f"{path}: denials_per_minute: must be from 1 to {_MOST_DENIALS}; what is denied beyond "
            "it is denied as well, and told together"
        )
    if file.mode not in _MODES:
        raise ConfigError(
            f"{path}: mode: {file.mode[:80]!r} is none; write one of {', '.join(_MODES)}"
        )
    if not _KEY.fullmatch(file.audit_key):
        raise ConfigError(
            f"{path}: audit_key: {file.audit_key[:80]!r} is no key of audit rules; write letters, "
            "digits, - and _, at most 31"
        )
    _check_subjects(path, file.subjects)
    return _made(path, file)


def places(path: Path, raw: Mapping[str, object]) -> AgentConfig:
    """Return what a broken configuration says of places, else the usual ones, and nothing more.

    `raw` is what could be read of it. Nobody is watched by it and no rule is in it.
    """
    named = {
        key: text
        for key in (*_PLACES, "why")
        if isinstance(text := raw.get(key), str) and _is_path(text)
    }
    return _made(path, msgspec.convert({"rules": (), "subjects": (), **named}, _File))


def _made(path: Path, file: _File) -> AgentConfig:
    here = path.absolute().parent
    return AgentConfig(
        place=path,
        identity=here / file.identity,
        state=here / file.state,
        run=here / file.run,
        why=here / file.why if file.why else (here / file.run).with_name("holdfast-why"),
        bpffs=here / file.bpffs,
        cache=here / file.cache,
        mode=file.mode,
        rules=tuple(here / rule for rule in file.rules),
        spool_limit_mib=file.spool_limit_mib,
        holds_per_session=file.holds_per_session,
        holds_per_subject=file.holds_per_subject,
        denials_per_minute=file.denials_per_minute,
        audit_socket=here / file.audit_socket,
        audit_key=file.audit_key,
        redaction=read_redaction(path, file.redaction),
        subjects=tuple(
            SubjectConfig(
                name=subject.name,
                users=subject.users,
                groups=subject.groups,
                cgroups=subject.cgroups,
                responsible=(subject.responsible or subject.owner).strip(),
            )
            for subject in file.subjects
        ),
    )


def _check_paths(path: Path, file: _File) -> None:
    named = [(name, getattr(file, name)) for name in _PLACES]
    for name, text in (*named, *(("rules", rule) for rule in file.rules)):
        if not _is_path(text):
            raise ConfigError(
                f"{path}: {name}: {text[:80]!r} is not a path; write one or remove the key"
            )


def _is_path(text: str) -> bool:
    # What the kernel takes at most; a longer one would fail in each place that uses it.
    longest = max((len(part.encode()) for part in text.split("/")), default=0)
    return bool(text) and "\0" not in text and longest <= 255 and len(text.encode()) < 4000


def _check_subjects(path: Path, subjects: tuple[_Subject, ...]) -> None:
    seen: set[str] = set()
    for number, subject in enumerate(subjects, start=1):
        place = f"{path}: subjects[{number}]"
        if not subject.name or not subject.name.isprintable():
            raise ConfigError(
                f"{place}: name: {subject.name!r} is empty or has control characters; give a short "
                "plain name"
            )
        length = len(subject.name.encode())
        if length > _LONGEST_NAME:
            raise ConfigError(
                f"{place}: name: {subject.name!r} has {length} bytes (UTF-8), and the kernel keeps "
                f"{_LONGEST_NAME}; give a shorter name"
            )
        if subject.name in seen:
            raise ConfigError(f"{place}: name: {subject.name!r} is used twice; names are unique")
        seen.add(subject.name)
        for text in (*subject.users, *subject.groups, *subject.cgroups):
            if isinstance(text, str) and not (text and text.isprintable()):
                raise ConfigError(
                    f"{place}: {subject.name!r} matches by {text!r}, which is empty or has control "
                    "characters; write the name of a user, group or cgroup"
                )
        if subject.responsible and subject.owner:
            raise ConfigError(
                f"{place}: {subject.name!r} has both responsible and owner, which is its old name; "
                "keep responsible"
            )
        _check_responsible(place, subject)
        if not (subject.users or subject.groups or subject.cgroups):
            raise ConfigError(
                f"{place}: {subject.name!r} matches nobody; give users, groups or cgroups"
            )


def _check_responsible(place: str, subject: _Subject) -> None:
    who = subject.responsible or subject.owner
    if not who.isprintable() or len(who) > _LONGEST_RESPONSIBLE:
        raise ConfigError(
            f"{place}: responsible: {who[:80]!r} is longer than {_LONGEST_RESPONSIBLE} characters, "
            "or has control characters; write names or addresses, with commas between them"
        )


def responsible_words(subject: str) -> str:
    """Return what is said at the start of a subject that nobody is named responsible for."""
    return (
        f"nobody is responsible for {subject!r}: where its processes come from no login (a unit, "
        "cron), the centre cannot know whose requests they are, and any reviewer may approve them. "
        f"Name who answers for it: responsible, in the [[subjects]] table of {subject!r}"
    )
