"""What the reader says, as values: a frame is four bytes of length and so much JSON."""

import struct
from collections.abc import Iterator

import msgspec

from agent.errors import RecordError

_LENGTH = struct.Struct("=I")
_LARGEST = 1 << 20


class PathRecord(msgspec.Struct, frozen=True):
    """One name that a call looked up. Texts have one character per byte."""

    name: str | None
    kind: str  # NORMAL, CREATE, PARENT, DELETE, UNKNOWN
    inode: int
    major: int
    minor: int


class Event(msgspec.Struct, frozen=True, tag_field="type", tag="event", kw_only=True):
    """One call of a watched user, from all records of its event. See man 8 auditctl."""

    serial: int
    time_ns: int  # since the epoch, to the millisecond, when the call began
    call: str  # its name, by the architecture of the caller
    ok: bool
    exit: int | None
    args: tuple[int, int, int, int]
    items: int  # how many PATH records there should be
    pid: int
    ppid: int
    uid: int
    euid: int
    gid: int
    egid: int
    login: int | None
    comm: str
    exe: str | None
    paths: tuple[PathRecord, ...]
    cwd: str | None = None
    address: str | None = None  # a struct sockaddr in hex
    open_flags: int | None = None
    socketcall: tuple[int, ...] | None = None
    argv: tuple[str, ...] | None = None
    argv_bytes: int = 0
    argv_whole: bool = False


class Connected(msgspec.Struct, frozen=True, tag_field="type", tag="connected"):
    """Records come through. `missed` is how many events did not meanwhile, None if unknown."""

    away_s: float
    missed: int | None


class Away(msgspec.Struct, frozen=True, tag_field="type", tag="away"):
    """No records come, and why; it goes on trying."""

    why: str


class Missing(msgspec.Struct, frozen=True, tag_field="type", tag="missing"):
    """So many more events were made by the kernel and never came."""

    count: int


class Lost(msgspec.Struct, frozen=True, tag_field="type", tag="lost"):
    """The kernel's own count of records that it could not deliver, since boot."""

    count: int


class Garbled(msgspec.Struct, frozen=True, tag_field="type", tag="garbled"):
    """A record that cannot be read."""

    why: str


class RulesChanged(msgspec.Struct, frozen=True, tag_field="type", tag="rules"):
    """Somebody has added or removed a rule with our key; we ourselves, perhaps."""


Frame = Event | Connected | Away | Missing | Lost | Garbled | RulesChanged
_decode = msgspec.json.Decoder(Frame).decode


class Frames:
    """Puts frames together from what a pipe gives."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole by now; raise RecordError for what is none."""
        self._rest += data
        while len(self._rest) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._rest)
            if size > _LARGEST:
                raise RecordError(f"the audit reader says a frame of {size} bytes")
            end = _LENGTH.size + size
            if len(self._rest) < end:
                return
            raw, self._rest = self._rest[_LENGTH.size : end], self._rest[end:]
            try:
                yield _decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordError(f"the audit reader says what is no frame: {error}") from error


def raw(text: str) -> bytes:
    """Return the bytes that a text of a frame stands for."""
    return text.encode("latin-1")


def shown(text: str) -> str:
    """Return a text of a frame as acts have it: UTF-8, other bytes as escapes."""
    return raw(text).decode("utf-8", "backslashreplace")
