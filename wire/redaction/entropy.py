"""Whether a long word is random, as keys are, or was made by a person or is a digest.

What must stay readable: ids of commits, digests and UUIDs, parts of paths, names in any style, and
text in base64, which may be the very script that a reviewer must see.
"""

import base64
import binascii
import math
import re
from collections import Counter
from itertools import pairwise

SHORTEST, LONGEST = 20, 128
WORD = re.compile(
    r"(?:(?<![A-Za-z0-9+/_=.~-])|(?<=^-[A-Za-z]))[A-Za-z0-9+_][A-Za-z0-9+/_-]{19,}={0,2}"
    r"(?![A-Za-z0-9/.])"
)
# What is taken apart by the command itself is content, which is to be read.
DECODES = re.compile(
    r"base64|b64|base32|atob|\bxxd\b|uudecode|gunzip|zcat|\bzlib\b|unhexlify|openssl\s+enc|fromhex"
    r"|-enc(?:odedcommand)?\b|\beval\b",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"(?:sha\d{1,3}|SHA256|md5|blake2[bs]?|etag)[-:=\"'W/]{1,4}$", re.IGNORECASE)
_NAMED = re.compile(r"(?:sha\d{1,3}|md5|blake2[bs]?)[-_]", re.IGNORECASE)
_PUBLIC = ("AAAAB3Nza", "AAAAC3Nza", "AAAAE2Vj", "AAAAGnNr", "MIIB", "MIIC", "MIID")
_LEAST_CHANGES, _LEAST_BITS = 0.34, 3.5


def is_digest(before: str) -> bool:
    """Return whether what stands before a word says that it is a digest."""
    return _DIGEST.search(before[-12:]) is not None


def is_random(word: str) -> bool:
    """Return whether a word that WORD has found is likely to be a key."""
    core = word.rstrip("=")
    if not SHORTEST <= len(core) <= LONGEST or core.startswith(_PUBLIC) or _NAMED.match(core):
        return False
    if core.islower() or core.isupper() or core.isalpha():
        return False
    sorts = [_sort(letter) for letter in core]
    counts = Counter(sorts)
    if min(counts["a"], counts["A"], counts["0"]) < 2:
        return False
    if "/" in core and any(part.isalpha() and part.islower() for part in core.split("/")):
        return False  # a path
    changes = sum(one != other for one, other in pairwise(sorts))
    if changes / (len(core) - 1) < _LEAST_CHANGES or _bits(core) < _LEAST_BITS:
        return False
    return not _is_text(core)


def _sort(letter: str) -> str:
    if letter.isdigit():
        return "0"
    return "a" if letter.islower() else "A" if letter.isupper() else "-"


def _bits(text: str) -> float:
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())


def _is_text(core: str) -> bool:
    """Return whether a word is text in base64."""
    try:
        data = base64.b64decode(
            core + "=" * (-len(core) % 4), altchars=b"-_" if "-" in core or "_" in core else None
        )
    except (binascii.Error, ValueError):
        return False
    return sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in data) >= len(data) * 0.9
