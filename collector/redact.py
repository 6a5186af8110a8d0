"""Finds obvious secrets in arguments and environment, as spans to be shown as redacted.

Only words that no shell would act on are hidden: a "password" with `$(`, `;` or a pipe in it
stays in sight, since it may be the very command that a reviewer must see.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

Span = tuple[int, int]

_NAME = (
    r"[A-Za-z0-9_.-]{0,64}(?:pass(?:word|wd|phrase)?|mysql_pwd|db_?pwd|secret|token|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|credentials?|auth[_-]?key|bearer)"
)
# Nothing that ends a word or that a shell expands; long enough for keys, too short for a script.
_VALUE = r"[^\s'\"`$();|&<>\\]{1,512}"

_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # --password=x, PGPASSWORD=x, "token": "x", password: x
        rf"\b{_NAME}[\"']?\s*[=:]\s*[\"']?(?P<secret>{_VALUE})",
        rf"\b(?:authorization|cookie|x-api-key)\s*:\s*(?:(?:basic|bearer|token)\s+)?"
        rf"(?P<secret>{_VALUE})",
        rf"\bbearer\s+(?P<secret>{_VALUE})",
        r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"]{0,256}:(?P<secret>[^\s/@'\"`$();|&<>\\]{1,512})@",
    )
) + tuple(
    re.compile(rf"(?<![A-Za-z0-9])(?P<secret>{pattern})(?![A-Za-z0-9])")
    for pattern in (
        r"(?:AKIA|ASIA)[A-Z0-9]{16}",
        r"gh[pousr]_[A-Za-z0-9]{30,255}",
        r"github_pat_[A-Za-z0-9_]{30,255}",
        r"glpat-[A-Za-z0-9_-]{20,255}",
        r"xox[abposr]-[A-Za-z0-9-]{10,255}",
        r"sk-[A-Za-z0-9_-]{20,255}",
        r"AIza[A-Za-z0-9_-]{35}",
        r"eyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{0,1000}",
    )
)
_OPTION = re.compile(rf"--?{_NAME}", re.IGNORECASE)
_WHOLE_VALUE = re.compile(_VALUE)
_CURL_USER = frozenset({"-u", "--user", "-U", "--proxy-user"})
_USER_PASSWORD = re.compile(rf"[^:\s]+:(?P<secret>{_VALUE})")
_SECRET_NAME = re.compile(rf"{_NAME}", re.IGNORECASE)


def secrets_in(text: str) -> list[Span]:
    """Return the sorted, separate (start, end) spans of `text` that hold a secret."""
    found = sorted(
        match.span("secret") for pattern in _PATTERNS for match in pattern.finditer(text)
    )
    merged: list[Span] = []
    for start, end in found:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def secrets_in_arguments(argv: Sequence[str]) -> Sequence[list[Span]]:
    """Return the spans of each argument; `--password x` hides the argument after it as well."""
    return _secrets_in_arguments(tuple(argv))


# One card shows its command in three places.
@lru_cache(maxsize=8)
def _secrets_in_arguments(argv: tuple[str, ...]) -> Sequence[list[Span]]:
    is_curl = bool(argv) and argv[0].rpartition("/")[2] == "curl"
    spans: list[list[Span]] = []
    option = ""
    for argument in argv:
        login = _USER_PASSWORD.fullmatch(argument) if is_curl and option in _CURL_USER else None
        if login is not None:
            spans.append([login.span("secret")])
        elif _OPTION.fullmatch(option) and not argument.startswith("-"):
            spans.append(_whole_or_part(argument))
        else:
            spans.append(secrets_in(argument))
        option = argument
    return spans


def secrets_in_variable(name: str, value: str) -> list[Span]:
    """Return the spans of an environment variable's value that hold a secret."""
    return _whole_or_part(value) if _SECRET_NAME.fullmatch(name) else secrets_in(value)


def _whole_or_part(value: str) -> list[Span]:
    return [(0, len(value))] if _WHOLE_VALUE.fullmatch(value) else secrets_in(value)
