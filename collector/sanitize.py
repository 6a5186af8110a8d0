r"""Makes hostile text harmless to look at: one sanitiser for every field and every channel.

What could move, hide, reorder or imitate other text becomes a visible escape (\n, \x1b, \u202e),
and the backslash itself is doubled, so that two different texts never look the same. Nothing is
cut without saying how much. `\{...}` is written by this module alone and cannot be forged.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

LIMIT = 2000
_LEAST = 40
REDACTED = r"\{redacted}"

_PLAIN = re.compile(r"[ -\[\]-~]*")
_SAFE_ARGUMENT = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_TOKEN = re.compile(r" {4,}|[^\W\d_]+|.", re.DOTALL)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
# Strong right-to-left letters reorder their neighbours without any control character.
_REORDERING = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "PDF", "PDI"})
# Letters and symbols that are drawn as nothing at all.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159")
# Drawn like an ASCII character, and not folded to it by Unicode's compatibility forms.
_IMITATION = frozenset(
    "\u2044\u2215\u29f8\u2571\u2573\u29f5\u2216\u20e5"  # slashes and backslashes
    "\u2010\u2011\u2012\u2013\u2212\u02d7\u06d4\u2796"  # hyphens and minus
    "\u02d0\u02f8\u2236\ua789\u0589\u05c3"  # colons
    "\u01c0\u01c1\u2223\u2502\u2503\u05c0\u01c3"  # bars and the exclamation mark
    "\u02b9\u02bb\u02bc\u02bd\u02c8\u02ca\u02cb\u02f4\u2032\u2035\u201a\u201b"  # single quotes
    "\u2039\u203a\u02c2\u02c3\u2217\u204e\u223c\u02dc\u2303\u02c6"  # < > * ~ ^
    "\u0131\u0237\u0251\u0261\u026a\u0269\u0299\u1d04\u1d0f\u1d1c\u1d20\u1d21\u1d22"  # Latin
)
_CONFUSABLE = frozenset(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u04bb\u0501\u051b\u051d\u04cf"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0405\u0406\u0408\u04ae"
    "\u03bf\u03bd\u03c1\u03c5\u03b1\u03b9\u03ba\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c"
    "\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u0561\u0570\u0578\u057d\u0585\u0566"
)
# Scripts that nobody mistakes for Latin letters, and that are often written beside them.
_DISTINCT = frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})


Span = tuple[int, int]


class _Unit(NamedTuple):
    """What is shown for one piece of the source; a unit is never cut in two."""

    shown: str
    source: str


@dataclass(frozen=True, slots=True)
class Clean:
    """Text that is safe to show, and how many bytes (UTF-8) of the source it leaves out."""

    text: str
    hidden_bytes: int


def visible(text: str) -> str:
    """Return `text` with everything that is not plainly visible escaped; never cut."""
    if _is_plain(text):
        return text
    return "".join(unit.shown for unit in _units(text))


def harmless(text: str) -> str:
    r"""Return text that was made visible elsewhere, with what is still hostile in it escaped.

    A renderer that trusts nobody uses it on finished text: escapes in it stay as they are, so the
    result is the same text for whatever `visible` or `clean` has given.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter == "\\" else _shown(letter) for letter in text)


def clean(text: str, limit: int = LIMIT, secrets: Sequence[Span] = ()) -> Clean:
    r"""Return `text` made visible in about `limit` characters (at least 40).

    When it is longer, its start and its end are kept, and a mark between them says how many bytes
    are hidden and, if nothing in it is secret, gives the digest of the whole. `secrets` are sorted,
    separate (start, end) spans that are replaced by `\{redacted}`; they do not count as hidden.
    """
    if not secrets and len(text) <= limit and _is_plain(text):
        return Clean(text, 0)
    limit = max(limit, _LEAST)
    units = list(_until(_with_secrets(text, secrets), limit))
    if sum(len(unit.shown) for unit in units) <= limit:
        return Clean("".join(unit.shown for unit in units), 0)
    return _cut(units, text, limit, secrets)


def quote(shown: str) -> str:
    r"""Return a sanitised argument so that its ends are visible, as a shell would take it.

    Text with an escape or a quote becomes bash's $'...' form, which reads \n, \x1b and \u202e
    just as they are meant here.
    """
    if _SAFE_ARGUMENT.fullmatch(shown):
        return shown
    if "\\" not in shown and "'" not in shown:
        return f"'{shown}'"
    escaped = shown.replace("'", r"\'")
    return f"$'{escaped}'"


def byte_length(text: str) -> int:
    """Return the length of `text` in UTF-8; a lone surrogate counts as three bytes."""
    return len(text.encode("utf-8", "surrogatepass"))


def short_digest(text: str) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 over `text` in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and "    " not in text


def _cut(units: list[_Unit], text: str, limit: int, secrets: Sequence[Span]) -> Clean:
    """Keep three quarters of the room for the start and one for the end, where tails hide.

    Both are made from their own end, so what lies between is never looked at.
    """
    head = _fitting(units, limit * 3 // 4)
    backwards = _with_secrets(text, secrets, backwards=True)
    tail = _fitting(backwards, limit - limit * 3 // 4)[::-1]
    hidden = byte_length(text) - sum(byte_length(unit.source) for unit in head + tail)
    # Of a text with secrets it would tell whether a guess of them is right.
    digest = "" if secrets else f", sha256 {short_digest(text)}"
    mark = rf"\{{{hidden} bytes hidden{digest}}}"
    shown = ["".join(unit.shown for unit in part) for part in (head, tail)]
    return Clean(shown[0] + mark + shown[1], hidden)


def _until(units: Iterable[_Unit], room: int) -> Iterator[_Unit]:
    """Give units up to and with the first that does not fit into `room` characters."""
    for unit in units:
        yield unit
        room -= len(unit.shown)
        if room < 0:
            return


def _fitting(units: Iterable[_Unit], room: int) -> list[_Unit]:
    """Return the units that fit into `room` characters."""
    found = list(_until(units, room))
    return found if sum(len(unit.shown) for unit in found) <= room else found[:-1]


def _with_secrets(
    text: str, secrets: Sequence[Span], *, backwards: bool = False
) -> Iterator[_Unit]:
    """Give the units of a text as they are asked for, from its start or from its end."""
    ends = [0, *(at for span in secrets for at in span), len(text)]
    parts = list(pairwise(ends))  # plain ones and secrets by turns
    for index in reversed(range(len(parts))) if backwards else range(len(parts)):
        part = text[slice(*parts[index])]
        if index % 2:
            yield _Unit(REDACTED, part)
        else:
            yield from _units(part, backwards=backwards)


def _units(text: str, *, backwards: bool = False) -> Iterator[_Unit]:
    # What makes a token is the same from either end: runs of spaces, runs of letters, the rest.
    for match in _TOKEN.finditer(text[::-1] if backwards else text):
        token = match.group()
        if token[0] == " " and len(token) > 1:
            # A long run of spaces pushes what follows out of sight.
            yield _Unit(rf"\{{{len(token)} spaces}}", token)
            continue
        foreign = not token.isascii() and _imitates_latin(token)
        for letter in token:
            escaped = foreign and not _is_latin(letter)
            yield _Unit(_escape(letter) if escaped else _shown(letter), letter)


def _shown(letter: str) -> str:
    if " " <= letter <= "~":
        return _SHORT.get(letter, letter)
    if not letter.isprintable() or letter in _BLANK or letter in _IMITATION:
        return _escape(letter)
    # Marks stack without end and make one letter look like another that has them built in.
    if unicodedata.category(letter) in ("Mn", "Me"):
        return _escape(letter)
    if unicodedata.bidirectional(letter) in _REORDERING:
        return _escape(letter)
    folded = unicodedata.normalize("NFKC", letter)
    # Full-width, mathematical and superscript letters, ligatures, and twins such as U+212B.
    return letter if folded == letter else _escape(letter)


@lru_cache(maxsize=64)
def _imitates_latin(word: str) -> bool:
    """Say whether a word mixes Latin with look-alike scripts, or is made of look-alikes only."""
    mixed = any(map(_is_latin, word)) and any(
        not _is_latin(letter) and _script(letter) not in _DISTINCT for letter in word
    )
    return mixed or all(letter in _CONFUSABLE for letter in word)


def _is_latin(letter: str) -> bool:
    return letter.isascii() or _script(letter) in _DISTINCT


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def _escape(letter: str) -> str:
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
