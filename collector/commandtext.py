"""Arguments, processes and environment as text: redacted, sanitised, quoted and measured.

The ends of every argument stay visible, and what does not fit is counted, never dropped.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector.redact import Span, secrets_in_arguments, secrets_in_variable
from collector.sanitize import byte_length, clean, quote
from wire.acts import Process
from wire.redaction import marks

_WHOLE = 1 << 30
_Piece = tuple[str, int]  # what is shown, and how many bytes it hides


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A safe text, what it leaves out, how many secrets it redacts, and its length in words.

    `marks`: how many secrets its host has taken out before.
    """

    text: str
    hidden_bytes: int = 0
    redacted: int = 0
    marks: int = 0
    measure: str = ""


def shown_arguments(
    argv: Sequence[str], limit: int, *, block_bytes: int = 0, cut: bool = False
) -> Shown:
    """Return an argument list in about `limit` characters.

    `block_bytes` is the kernel's exact length of the whole list, each argument with its closing
    NUL; with `cut`, the list here holds less than that. The start and the end are kept.
    """
    spans = secrets_in_arguments(argv)
    sizes = [byte_length(argument) + 1 for argument in argv]
    pieces, hidden = _fitted(lambda at: _argument(argv[at], spans[at], limit), sizes, limit)
    own_bytes = sum(sizes)
    measure = f"{len(argv)} in {block_bytes or own_bytes} bytes"
    if not any(spans):  # it would tell whether a guess of what is hidden is right
        measure += f", sha256 {_digest(argv)}"
    if cut:
        missing = max(block_bytes - own_bytes, 1)
        hidden += missing
        pieces.append(rf"\{{{missing} bytes hidden, the host could not read them}}")
        measure += f" of what is known; {missing} bytes more were not read by the host"
    if hidden:
        measure += f"; {hidden} bytes hidden"
    return Shown(
        text=" ".join(pieces) or "(no arguments)",
        hidden_bytes=hidden,
        redacted=sum(map(len, spans)),
        marks=marks.count(*argv),
        measure=measure,
    )


def one_line(argv: Sequence[str], limit: int) -> str:
    """Return an argument list for a heading; what does not fit is marked, not counted."""
    return shown_arguments(argv, limit).text


def argument_lines(argv: Sequence[str]) -> list[str]:
    """Return every argument on a line of its own, quoted, whole, and redacted as elsewhere."""
    spans = secrets_in_arguments(argv)
    return [
        quote(clean(argument, _WHOLE, secrets).text)
        for argument, secrets in zip(argv, spans, strict=True)
    ]


def process_text(process: Process, argv: Sequence[str], limit: int) -> str:
    """Return pid, user, name and arguments of one process of the tree."""
    name = clean(process.comm, limit).text
    text = f"{process.pid} {quote(name)} (uid {process.uid})"
    return f"{text}: {one_line(argv, limit)}" if argv else text


def environment_text(environment: Mapping[str, str], limit: int) -> Shown:
    """Return NAME=value pairs, sorted by name and quoted as arguments are."""
    pairs: list[tuple[str, list[Span]]] = []
    redacted = 0
    for name, value in sorted(environment.items()):
        spans = secrets_in_variable(name, value)
        redacted += len(spans)
        shift = len(name) + 1
        moved = [(start + shift, end + shift) for start, end in spans]
        pairs.append((f"{name}={value}", moved))
    sizes = [byte_length(text) + 1 for text, _ in pairs]
    taken = marks.count(*(text for text, _ in pairs))
    texts, hidden = _fitted(lambda at: _argument(*pairs[at], limit), sizes, limit)
    return Shown(text=" ".join(texts), hidden_bytes=hidden, redacted=redacted, marks=taken)


def _argument(text: str, spans: Sequence[Span], limit: int) -> _Piece:
    """Return the quoted argument and its hidden bytes."""
    safe = clean(text, max(limit // 2, 40), spans)
    return quote(safe.text), safe.hidden_bytes


def _fitted(
    make: Callable[[int], _Piece], sizes: Sequence[int], limit: int
) -> tuple[list[str], int]:
    """Keep arguments from both ends within `limit` characters; return them and the bytes hidden.

    `sizes` are in bytes. Only those that may be shown are made.
    """
    count = len(sizes)
    head, all_fit = _within(map(make, range(count)), limit + 1)
    if all_fit:
        return [text for text, _ in head], sum(hidden for _, hidden in head)
    head = _within(head, limit * 2 // 3)[0] or [make(0)]
    tail, _ = _within(map(make, range(count - 1, len(head) - 1, -1)), limit // 3)
    middle = sizes[len(head) : count - len(tail)]
    texts = [text for text, _ in head + tail[::-1]]
    if middle:
        mark = rf"\{{{len(middle)} arguments, {sum(middle)} bytes hidden}}"
        texts.insert(len(head), mark)
    return texts, sum(middle) + sum(hidden for _, hidden in head + tail)


def _within(pieces: Iterable[_Piece], room: int) -> tuple[list[_Piece], bool]:
    """Return the first pieces that fit into `room` with a blank after each, and whether all did."""
    found: list[_Piece] = []
    for piece in pieces:
        room -= len(piece[0]) + 1
        if room < 0:
            return found, False
        found.append(piece)
    return found, True


def _digest(argv: Sequence[str]) -> str:
    r"""SHA-256 over the arguments, each with its closing NUL: printf '%s\0' ... | sha256sum."""
    block = b"".join(argument.encode("utf-8", "surrogatepass") + b"\0" for argument in argv)
    return hashlib.sha256(block).hexdigest()
