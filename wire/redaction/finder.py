"""Finds secrets: in a text, in the arguments of a command, in a variable. Pure, and in linear time.

Where a shell may read a text, only words that no shell would act on count as the value of a name:
a "password" with `$(`, `;` or a pipe in it stays in sight, since it may be the very command that a
reviewer must see. Where none does, the whole argument is the value.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from wire.redaction import entropy, forms, logins, names
from wire.redaction.marks import IMITATION, MARK
from wire.redaction.settings import ENTROPY, HEADER, LOGIN, NAMED, URL, Settings
from wire.wrappers import hands_on_text

_VALUE = re.compile(logins.VALUE)
_SEPARATOR = r"(?:\s{1,3}=>?\s{1,3}|=|\s{0,3}:\s{0,3})"
# Each name is looked at from its start only, so a long run of letters is passed once.
_ASSIGNED = re.compile(
    rf"(?<![\w.-])(?P<name>[\w.-]+)(?:\\?[\"'])?(?P<separator>{_SEPARATOR})(?P<quote>\\?[\"'])?"
)
_OPTION = re.compile(r"(?<![\w.-])(?P<name>--?[A-Za-z][\w.-]*)\s+(?P<quote>[\"'])?(?=[^\s-])")
_WHOLE_NAME = re.compile(r"(?P<name>-{0,2}[A-Za-z_][\w.-]*)=")
_WHOLE_OPTION = re.compile(r"--?[A-Za-z][\w.-]*")
_HEADER = re.compile(
    r"(?<![\w-])(?P<name>(?:proxy-)?authorization|(?:set-)?cookie|x-api-key|api-key|apikey"
    r"|x-auth-token|x-vault-token|private-token|job-token|x-amz-security-token)"
    r"[\"']?\s{0,3}:\s{0,3}[\"']?(?:(?:basic|bearer|token|apikey|digest|negotiate)\s+)?",
    re.IGNORECASE,
)
_BEARER = re.compile(rf"\bbearer\s+(?P<secret>{logins.VALUE})", re.IGNORECASE)
_MORE_COOKIES = re.compile(rf"(?:;\s?[\w.-]+={logins.VALUE})*")
_LOGIN_IN_URL = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/:@'\"?#]*:)?(?P<secret>[^\s/@'\"`$();|&<>\\]+)@"
)
# One of these is in every text that has anything to be found, in small letters.
_HINT = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|bearer|cookie|sig|redacted|xox|hooks\.slack|://|mysql"
    r"|mariadb|redis-cli|curl|wget|login|openssl"
)
_NAMES = re.compile(r"pass|pwd|secret|token|key|cred|auth|bearer|cookie|sig")
_LONG = re.compile(r"[\w+-]{20}|xox|hooks\.slack")
# What `config set NAME VALUE` names may be a setting.
_NAMING = re.compile(r"[._]")
_SETS = frozenset({"set", "config", "configure", "login", "put", "add"})
# Arguments that hand a variable to a container, not to a shell.
_VARIABLE = frozenset({"-e", "--env", "--build-arg"})
_LONGEST_KEPT = 2048
_LONGEST_NAME = 32  # of a program


class Found(NamedTuple):
    """A secret from `start` to `end` of its text, and what sort it is."""

    start: int
    end: int
    kind: str


class Finder:
    """Looks for what its settings say. `again`: texts may hold marks already, which stay."""

    def __init__(self, settings: Settings | None = None, *, again: bool = False) -> None:
        self._settings = settings or Settings()
        self._again = again
        self._on = {
            form: form not in self._settings.off
            for form in (NAMED, LOGIN, HEADER, URL, ENTROPY, forms.PRIVATE_KEY)
        }
        self._always = bool(self._settings.patterns or self._settings.names)
        # Without a hint a long word is only that.
        self._is_plain = lru_cache(maxsize=4096)(
            lambda text: not (self._always or _HINT.search(text.lower()) or forms.has_hint(text))
        )
        self._kept = lru_cache(maxsize=8192)(self._look)

    def in_text(self, text: str, *, whole: bool = False, random: bool = True) -> tuple[Found, ...]:
        """Return the sorted, separate secrets of a text.

        `whole`: no shell reads it, and a name at its start names all of the rest. `random`: words
        may be secrets only since they look random.
        """
        if not self._may_have(text):
            return ()
        look = self._look if len(text) > _LONGEST_KEPT else self._kept
        return look(text, whole, random)

    def has_nothing(self, path: str) -> bool:
        """Return whether nothing is to be found in a path; quick for many of one directory."""
        directory, _, name = path.rpartition("/")
        if self._is_plain(directory) and not self._may_have(name):
            return True
        return not self.in_text(path, random=False)

    def in_arguments(
        self, argv: Sequence[str], *, cut: bool = False
    ) -> tuple[tuple[Found, ...], ...]:
        """Return the secrets of each argument of a command; `cut`: the end of it is missing."""
        argv = tuple(argv)
        if not cut and not any(logins.is_known(one) or self._may_have(one) for one in argv):
            return ((),) * len(argv)
        found = self._in_each(argv, random=True)
        if cut and argv and (begun := forms.BEGUN.search(argv[-1])) is not None:
            last = self._kept_out(argv[-1], [*found[-1], _found(begun, "cut")])
            return (*found[:-1], last)
        if any(one.kind == ENTROPY for spans in found for one in spans) and any(
            entropy.DECODES.search(argument) for argument in argv
        ):
            return self._in_each(argv, random=False)
        return found

    def _in_each(self, argv: tuple[str, ...], *, random: bool) -> tuple[tuple[Found, ...], ...]:
        found: list[tuple[Found, ...]] = []
        # The last program named so far: sudo, env and ssh are given another one's arguments.
        program, before, shell, sets = "", "", False, False
        for argument in argv:
            whole = not shell or before in _VARIABLE
            span = None
            if program and self._on[LOGIN]:
                span = logins.in_argument(program, before, argument, argv)
            if span is not None:
                found.append(self._kept_out(argument, [Found(*span, LOGIN)]))
            else:
                names_it = not argument.startswith("-") and (
                    _WHOLE_OPTION.fullmatch(before) or (sets and _NAMING.search(before))
                )
                found.append(
                    (self._under(before, argument, whole=whole) if names_it else ())
                    or self.in_text(argument, whole=whole, random=random)
                )
            if logins.is_known(argument):
                program = argument.rpartition("/")[2]
            shell = shell or _is_reader(argument)
            sets = sets or argument in _SETS
            before = argument
        return tuple(found)

    def in_variable(self, name: str, value: str) -> tuple[Found, ...]:
        """Return the secrets of an environment variable's value."""
        return self._under(name, value) or self.in_text(value)

    # -- parts --------------------------------------------------------------------------------

    def _under(self, name: str, value: str, *, whole: bool = True) -> tuple[Found, ...]:
        if not self._on[NAMED]:
            return ()
        kind = names.kind_of(name, self._settings.names)
        if not kind or not names.is_secret(kind, value):
            return ()
        if not whole and _VALUE.fullmatch(value) is None:
            return ()
        return self._kept_out(value, [Found(0, len(value), kind)])

    # -- one text -----------------------------------------------------------------------------

    def _may_have(self, text: str) -> bool:
        """Return False for a text in which nothing can be found; most have nothing."""
        return (
            _HINT.search(text.lower()) is not None or _LONG.search(text) is not None or self._always
        )

    def _look(self, text: str, whole: bool, random: bool) -> tuple[Found, ...]:
        found = [] if self._again else [_found(m, "imitation") for m in IMITATION.finditer(text)]
        is_long = _LONG.search(text) is not None
        if is_long:
            found += [_found(*one) for one in forms.in_text(text, self._settings.off)]
        if self._on[forms.PRIVATE_KEY] and "-----BEGIN" in text:
            found += [_found(match, forms.PRIVATE_KEY) for match in forms.KEY_BLOCK.finditer(text)]
        for name, pattern in self._settings.patterns:
            found += [_found(match, name) for match in pattern.finditer(text) if match.group()]
        if _NAMES.search(text.lower()) is not None or self._settings.names:
            if self._on[NAMED]:
                found += self._named(text, whole)
            if self._on[HEADER]:
                found += _headers(text, whole)
        if self._on[URL] and "://" in text:
            found += _in_urls(text)
        if self._on[LOGIN]:
            found += [Found(*span, LOGIN) for span in logins.in_text(text)]
        separate = self._kept_out(text, found) if found else ()
        if not (random and is_long and self._on[ENTROPY]):
            return separate
        # What looks random only says less than what is known by its form or name.
        others = [
            _found(match, ENTROPY)
            for match in entropy.WORD.finditer(text)
            if entropy.is_random(match.group())
            and not entropy.is_digest(text[max(0, match.start() - 12) : match.start()])
            and not any(one.start < match.end() and match.start() < one.end for one in separate)
        ]
        return self._kept_out(text, [*separate, *others]) if others else separate

    def _named(self, text: str, whole: bool) -> list[Found]:
        if whole and (match := _WHOLE_NAME.match(text)) is not None:
            kind = names.kind_of(match["name"], self._settings.names)
            if kind and names.is_secret(kind, text[match.end() :]):
                return [Found(match.end(), len(text), kind)]
        found = []
        for pattern in (_ASSIGNED, _OPTION):
            for match in pattern.finditer(text):
                kind = names.kind_of(match["name"], self._settings.names)
                if not kind:
                    continue
                end = _end(text, match.end(), match["quote"] or "", whole)
                colon = pattern is _ASSIGNED and ":" in match["separator"]
                if colon and text[match.start() - 1 : match.start()] == "/":
                    continue  # the end of a path, as in from:to
                if names.is_secret(kind, text[match.end() : end], after_colon=colon):
                    found.append(Found(match.end(), end, kind))
        return found

    def _kept_out(self, text: str, found: list[Found]) -> tuple[Found, ...]:
        """Return what was found in order and separate, without what is allowed, or is a mark."""
        allowed = self._settings.allow
        merged: list[Found] = []
        for one in sorted(found):
            if allowed and any(p.fullmatch(text, one.start, one.end) for p in allowed):
                continue
            if merged and one.start < merged[-1].end:
                last = merged[-1]
                merged[-1] = last._replace(end=max(last.end, one.end))
            elif one.start < one.end:
                merged.append(one)
        if not self._again or "«" not in text:
            return tuple(merged)
        marks = [match.span() for match in MARK.finditer(text)]
        return tuple(part for one in merged for part in _without(one, marks))


def _is_reader(argument: str) -> bool:
    name = argument.rpartition("/")[2]
    return len(name) <= _LONGEST_NAME and hands_on_text(name)


def _found(match: re.Match[str], kind: str) -> Found:
    return Found(match.start(), match.end(), kind)


def _end(text: str, start: int, quote: str, whole: bool) -> int:
    """Return where a value ends: at its closing quote where no shell reads it, else with a word."""
    if quote and whole:
        end = text.find(quote, start)
        return len(text) if end < 0 else end
    match = _VALUE.match(text, start)
    return start if match is None else match.end()


def _headers(text: str, whole: bool) -> list[Found]:
    found = []
    for match in _HEADER.finditer(text):
        kind, start = match["name"].lower(), match.end()
        end = len(text) if whole and match.start() == 0 else _end(text, start, "", whole)
        if end > start and "cookie" in kind:
            more = _MORE_COOKIES.match(text, end)
            end = end if more is None else more.end()
        if names.is_secret("header", text[start:end]):
            found.append(Found(start, end, kind))
    found += [
        Found(*match.span("secret"), "bearer")
        for match in _BEARER.finditer(text)
        if len(match["secret"]) >= 12 or not match["secret"].isalpha()
    ]
    return found


def _in_urls(text: str) -> list[Found]:
    return [
        Found(*match.span("secret"), URL)
        for match in _LOGIN_IN_URL.finditer(text)
        if ":" in match.group().partition("://")[2] or len(match["secret"]) >= 20
    ]


def _without(one: Found, marks: list[tuple[int, int]]) -> list[Found]:
    """Return the parts of a find that are in no mark."""
    parts, start = [], one.start
    for first, last in marks:
        if last <= start or first >= one.end:
            continue
        if start < first:
            parts.append(one._replace(start=start, end=first))
        start = max(start, last)
    if start < one.end:
        parts.append(one._replace(start=start))
    return parts
