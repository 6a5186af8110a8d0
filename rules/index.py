"""How one path pattern can be found by a look-up: the single most selective literal part of it.

Knows what the kernel can look up; hides the choice. Paths of files are resolved, so they can be
found from the front. Names of programs and sockets may be as the caller wrote them (relative,
`..`, doubled slashes), so those patterns are found by a component or by their end.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from rules.globs import Component, is_bare, literal, parse_path

NAME_BYTES = 31
PREFIX_BYTES = 200


class Table(IntEnum):
    """Which name is looked up: an exec looks up both the program and the caller's name for it.

    A rename, a link and a mount look up both of their names.
    """

    EXEC = 1
    OPEN = 2
    UNIX = 3
    CHANGE = 6  # 4 and 5 are slots of their own in the kernel


class Way(Enum):
    """What the kernel compares."""

    EXACT = "exact"
    PREFIX = "prefix"
    COMPONENT = "component"
    SUFFIX = "suffix"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class Index:
    """Where a pattern goes. `relative_too`: relative names may escape it, so all are wanted."""

    way: Way
    key: str = ""
    relative_too: bool = False


_BROAD_TEXT = """
/bin /boot /dev /etc /home /lib /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr
/usr/bin /usr/lib /usr/local /usr/sbin /usr/share /var /var/cache /var/lib /var/log /var/run
/var/tmp
"""
# Too many acts lie below these for a prefix to tell one from another.
_BROAD = frozenset(_BROAD_TEXT.split())
_COMMON_TEXT = """
bin boot build cache config config.json config.toml config.yaml config.yml data default dev dist
etc home include index.js lib lib64 local log main mnt node_modules opt package.json proc root run
sbin settings.json share src srv sys system test tests tmp usr user var .cache .cargo .config .git
.gradle .local .m2 .npm .venv
"""
# Components that are in half of all paths, or in all paths of one kind.
_COMMON = frozenset(_COMMON_TEXT.split())


def index_of(pattern: str, table: Table) -> Index:
    """Return the best index of a path pattern for a table."""
    components = parse_path(pattern)
    if is_bare(pattern):
        return _bare(components)
    if table in (Table.OPEN, Table.CHANGE):
        return _from_the_front(components)
    # A program goes by many short names that other names end with; a socket's end tells enough.
    return _from_the_end(components, by_name=table is Table.EXEC)


def _bare(components: tuple[Component, ...]) -> Index:
    head, whole = _head(components)
    if whole and len(head.encode()) < PREFIX_BYTES:
        return Index(Way.EXACT, head)
    return Index(Way.PREFIX, _cut(head, PREFIX_BYTES))


def _from_the_front(components: tuple[Component, ...]) -> Index:
    head, whole = _head(components)
    if whole and len(head.encode()) < PREFIX_BYTES:
        return Index(Way.EXACT, head)
    if _selective(head):
        return Index(Way.PREFIX, _cut(head, PREFIX_BYTES))
    ending = _ending(components)
    if ending:
        return Index(Way.SUFFIX, ending)
    name = _telling(components)
    if name is not None:
        return Index(Way.COMPONENT, name)
    suffix = _suffix(components)
    if len(suffix) > 1:
        return Index(Way.SUFFIX, suffix)
    if len(head) > 1:
        return Index(Way.PREFIX, _cut(head, PREFIX_BYTES))
    return Index(Way.ANYTHING)


def _from_the_end(components: tuple[Component, ...], *, by_name: bool) -> Index:
    last = _name(components[-1])
    if last is not None and by_name:
        return Index(Way.COMPONENT, last)
    suffix = _suffix(components)
    if len(suffix) > 1:
        return Index(Way.SUFFIX, suffix)
    head, _ = _head(components)
    if not by_name and _selective(head):
        return Index(Way.PREFIX, _cut(head, PREFIX_BYTES), relative_too=True)
    name = _telling(components)
    if name is not None:
        # /opt/name/x may be called x by a process in /opt/name.
        return Index(Way.COMPONENT, name, relative_too=True)
    return Index(Way.ANYTHING)


def _plain(text: str) -> str:
    """Return the text up to a backslash: a byte that is not UTF-8 is shown as an escape."""
    return text.partition("\\")[0]


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def _head(components: tuple[Component, ...]) -> tuple[str, bool]:
    """Return the literal text that every match begins with, and whether it is the whole."""
    head = ""
    for number, component in enumerate(components):
        if component is None:
            return head, False
        for atom in component:
            if not isinstance(atom, str):
                return head, False
            head += _plain(atom)
            if _plain(atom) != atom:
                return head, False
        if number < len(components) - 1:
            head += "/"
    return head, True


def _selective(head: str) -> bool:
    parts = [part for part in head.split("/") if part]
    return len(parts) >= 2 and head.rstrip("/") not in _BROAD and not _is_partial_broad(head)


def _is_partial_broad(head: str) -> bool:
    """Return whether the head ends within a component whose beginning says nothing, as /etc/s."""
    return not head.endswith("/") and len(head.rpartition("/")[2]) < 2


def _name(component: Component) -> str | None:
    """Return the component as the kernel compares names, if it is literal."""
    text = literal(component)
    if not text or "\\" in text:
        return None
    cut = _cut(text, NAME_BYTES)
    # The kernel cuts bytes: a character cut in two cannot be written as text.
    return cut if cut == text or len(cut.encode()) == NAME_BYTES else None


def _telling(components: tuple[Component, ...]) -> str | None:
    """Return the literal component that is in the fewest paths, by the look of it.

    Below a directory there may be much that is read all day; a file's own name is found less often.
    """
    names = [name for c in components if (name := _name(c)) is not None and name not in _COMMON]
    last = _name(components[-1])
    telling = max(names, key=lambda name: len(name) + 4 * name.startswith("."), default=None)
    return last if last in names else telling


def _ending(components: tuple[Component, ...]) -> str:
    """Return the literal components that every match ends with, if there are two or more."""
    tail: list[str] = []
    for component in reversed(components):
        text = literal(component)
        if not text or "\\" in text:
            break
        tail.insert(0, text)
    if len(tail) < 2 or len(tail) == len(components):
        return ""
    # After a leading `**` the path may begin with the tail: a name in no directory.
    slash = "" if len(tail) == len(components) - 1 and components[0] is None else "/"
    return _last_bytes(slash + "/".join(tail))


def _last_bytes(text: str) -> str:
    while len(text.encode()) > NAME_BYTES:
        text = text[1:]
    return text


def _suffix(components: tuple[Component, ...]) -> str:
    """Return the literal text that the last component of every match ends with."""
    last = components[-1]
    if not last or not isinstance(last[-1], str):
        return ""
    text = last[-1].rpartition("\\")[2]
    if text != last[-1]:
        # What follows a backslash may be the digits of an escape.
        return ""
    return _last_bytes(text)
