"""What may be said about redaction: what is off, what counts besides, what never does."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wire.redaction.forms import PRIVATE_KEY, TOKENS

# Forms that are not tokens: by what stands around the secret.
NAMED, LOGIN, HEADER, URL, ENTROPY = "named", "login", "header", "url-password", "entropy"
FORMS: tuple[str, ...] = (*TOKENS, PRIVATE_KEY, NAMED, LOGIN, HEADER, URL, ENTROPY)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_LONGEST = 500
_MOST = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """`off`: forms that are not looked for. `names`: further names of secrets. `patterns`: further
    forms by name. `allow`: what is no secret, if one of these is all of it.
    """

    off: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    patterns: tuple[tuple[str, re.Pattern[str]], ...] = ()
    allow: tuple[re.Pattern[str], ...] = field(default=())


def read(
    off: Iterable[str] = (),
    names: Iterable[str] = (),
    patterns: Mapping[str, str] | None = None,
    allow: Iterable[str] = (),
) -> Settings:
    """Return what is written, checked; raise ValueError that names the key and the remedy."""
    off = tuple(off)
    for form in off:
        if form not in FORMS:
            raise ValueError(f"off: {form[:80]!r} is no form; the forms are {', '.join(FORMS)}")
    words = tuple("-".join(re.findall(r"[a-z0-9]+", name.lower())) for name in names)
    if not all(words):
        raise ValueError("names: one is empty; write names such as x-internal-auth")
    patterns = dict(patterns or {})
    if max(len(patterns), len(words), len(allow := tuple(allow))) > _MOST:
        raise ValueError(f"more than {_MOST} names, patterns or texts to allow; join some by |")
    for name in patterns:
        if not _NAME.fullmatch(name) or name in FORMS:
            raise ValueError(
                f"patterns: {name[:80]!r} is no name for a form; write small letters, digits, -, "
                "at most 40, and no name of a form that is there"
            )
    return Settings(
        off=frozenset(off),
        names=frozenset(words),
        patterns=tuple(
            (name, _compiled(f"patterns.{name}", text)) for name, text in patterns.items()
        ),
        allow=tuple(_compiled("allow", text) for text in allow),
    )


def _compiled(place: str, text: str) -> re.Pattern[str]:
    if len(text) > _LONGEST:
        raise ValueError(f"{place}: has {len(text)} characters, more than {_LONGEST}; shorten it")
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{place}: {text[:80]!r} is no regular expression: {error}") from error
    if pattern.search("") is not None:
        raise ValueError(f"{place}: {text[:80]!r} matches nothing at all; make it match something")
    return pattern
