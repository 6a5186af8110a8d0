"""The mark that stands where a secret was: what sort it was, and a keyed digest of what it was.

«redacted:github-token:0123456789abcdef». Equal secrets of one host have equal marks, and only its
key tells whether a guess is right. So what a text was is settled by the text with its marks, and a
digest of an act that has marks is about that act alone.
"""

import hashlib
import hmac
import re

import msgspec

from wire.acts import Act

TAG_DIGITS = 16
MARK = re.compile(rf"«redacted:[a-z0-9-]{{1,40}}(?::[0-9a-f]{{{TAG_DIGITS}}})?»")
# Anything that a person, or a program, might take for the beginning of one.
IMITATION = re.compile(r"«\s{0,9}redacted[^»]{0,99}»?", re.IGNORECASE)
START = "«redacted:"


def mark(kind: str, secret: str, key: bytes | None) -> str:
    """Return what stands for a secret; without a key, what sort it is and no more."""
    if key is None:
        return f"{START}{kind}»"
    data = b"holdfast redacted 1\0" + secret.encode("utf-8", "surrogatepass")
    return f"{START}{kind}:{hmac.digest(key, data, hashlib.sha256).hex()[:TAG_DIGITS]}»"


def has_marks(act: Act) -> bool:
    """Return whether anything was taken out of an act."""
    return START.encode() in msgspec.json.encode(act)


def count(*texts: str) -> int:
    """Return how many marks are in the texts."""
    return sum(len(MARK.findall(text)) for text in texts if START in text)
