"""Whether the value under a name is a secret: by the last words of the name, and by the value."""

import re
from functools import lru_cache

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET = frozenset(
    "password passwd passphrase passcode passwort pass secret token credential credentials bearer "
    "sshpass".split()
)
# Run together with the word before, as in PGPASSWORD or authtoken.
_ENDINGS = ("password", "passwd", "passphrase", "secret", "token", "apikey", "secretkey")
_KEYS = frozenset(
    "api access secret private auth account signing encryption master session shared client "
    "service deploy storage subscription consumer license ssh".split()
)
# Behind the word that counts.
_BEHIND = frozenset("base value plain prod production dev test staging live old new".split())
_EXACT = frozenset("sig x-amz-signature x-goog-signature rediscli-auth x-auth npm-auth".split())
# Of a password nobody says where it is; of the others many do.
_PASSWORDS = frozenset("password passwd passphrase passcode passwort pass sshpass".split())
_PLACE = re.compile(
    r"(?:file:/*)?(?:~|\.{1,2})?/(?:run|etc|var|home|opt|tmp|mnt|usr|root|secrets?|app|srv|data|dev"
    r"|proc|sys|work\w*|Users)(?:/|$)|\.{1,2}/|~/|@[\w.]+/|(?:env|fd):\w+$|[\w.-]+\.(?:pem|key|json|txt)$"
)
_NOTHING = re.compile(
    r"(?:true|false|yes|no|on|off|null|none|nil|undefined|stdin|prompt|ask|required|-+|\*+|x{3,}|\.+"
    r"|<.*|\{\{.*|%s|//.*|\\?\$[A-Za-z_{].*)",
    re.IGNORECASE | re.DOTALL,
)


@lru_cache(maxsize=4096)
def kind_of(name: str, further: frozenset[str] = frozenset()) -> str:
    """Return what sort of secret has this name, as a mark says it; "" if none has.

    `further` are names, in small letters with - between words, that count besides.
    """
    words: list[str] = [word.lower() for word in _WORDS.findall(name)]
    if (whole := "-".join(words)) in further or whole in _EXACT:
        return "named"
    if name.lstrip("-").lower() == "_auth":  # of npm
        return "auth"
    while len(words) > 1 and (words[-1] in _BEHIND or words[-1].isdigit()):
        words.pop()
    if not words:
        return ""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _SECRET:
        return last
    if last == "key" and before in _KEYS:
        return f"{before}-key"
    if last == "pwd" and before and before != "old":
        return "password"
    found = (ending for ending in _ENDINGS if last.endswith(ending))
    return next(found, "")


def is_secret(kind: str, value: str, *, after_colon: bool = False) -> bool:
    """Return whether a value under a name of this kind is one: no place, no variable, no yes."""
    if not value or _NOTHING.fullmatch(value):
        return False
    if (after_colon or kind not in _PASSWORDS) and _PLACE.match(value):
        return False
    return not (kind in ("token", "secret") and value.isdigit() and len(value) < 6)
