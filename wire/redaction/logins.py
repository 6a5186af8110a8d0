"""Passwords in the ways that single programs take them: mysql -pX, curl -u name:X, sshpass -p X."""

import re

VALUE = r"(?:[^\s'\"`$();|&<>\\]|\$(?![A-Za-z_({]))+"
_REST = r"[^;|&\n]{0,300}?"

# In a script, or any other text of several words.
_TEXT = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:mysql|mariadb)[\w-]*{_REST}\s-p['\"]?(?P<secret>{VALUE})",
        rf"\bsshpass\s+-p\s*['\"]?(?P<secret>{VALUE})",
        rf"\b(?:curl|wget){_REST}\s(?:-u|-U|--user|--proxy-user)[\s=]*['\"]?[^\s:'\"]+:(?P<secret>{VALUE})",
        rf"\bredis-cli{_REST}\s-a\s+['\"]?(?P<secret>{VALUE})",
        rf"\bopenssl{_REST}\s-pass(?:in|out)?\s+pass:(?P<secret>{VALUE})",
        rf"\b(?:docker|podman)\s+login{_REST}\s-p\s*['\"]?(?P<secret>{VALUE})",
        rf"\bhtpasswd\s+-\w*b{_REST}\s\S+\s+\S+\s+['\"]?(?P<secret>{VALUE})",
    )
)
_PROGRAMS = re.compile(r"mysql|mariadb|sshpass|curl|wget|redis-cli|openssl|login|htpasswd")

_WHOLE = re.compile(r"(?P<secret>.+)", re.DOTALL)
_USER = re.compile(r"[^:\s]+:(?P<secret>.+)", re.DOTALL)
_PERCENT = re.compile(r"[^%\s]+%(?P<secret>.+)", re.DOTALL)
_PAIRS = re.compile(r"(?P<secret>[^=\s]+=.+)", re.DOTALL)
_PASS = re.compile(r"pass:(?P<secret>.+)", re.DOTALL)
# By how the program's name begins: options, and what of the argument behind them is the secret.
_BEHIND: tuple[tuple[str, frozenset[str], re.Pattern[str]], ...] = (
    ("curl", frozenset({"-u", "--user", "-U", "--proxy-user"}), _USER),
    ("curl", frozenset({"-b", "--cookie"}), _PAIRS),
    ("wget", frozenset({"-u", "--user"}), _USER),
    ("sshpass", frozenset({"-p"}), _WHOLE),
    ("redis-cli", frozenset({"-a"}), _WHOLE),
    ("ldap", frozenset({"-w"}), _WHOLE),
    ("sqlcmd", frozenset({"-P"}), _WHOLE),
    ("bcp", frozenset({"-P"}), _WHOLE),
    ("mongo", frozenset({"-p"}), _WHOLE),
    ("smb", frozenset({"-U"}), _PERCENT),
    ("rpcclient", frozenset({"-U"}), _PERCENT),
    ("zip", frozenset({"-P"}), _WHOLE),
    ("unzip", frozenset({"-P"}), _WHOLE),
    ("openssl", frozenset({"-passin", "-passout", "-pass"}), _PASS),
    ("openssl", frozenset({"-k", "-K"}), _WHOLE),
    ("ipmitool", frozenset({"-P"}), _WHOLE),
    ("snmp", frozenset({"-A", "-X"}), _WHOLE),
    ("docker", frozenset({"-p"}), _WHOLE),
    ("podman", frozenset({"-p"}), _WHOLE),
)
# The secret follows the letter at once.
_ATTACHED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("mysql", re.compile(r"-p(?P<secret>.+)", re.DOTALL)),
    ("mariadb", re.compile(r"-p(?P<secret>.+)", re.DOTALL)),
    ("sshpass", re.compile(r"-p(?P<secret>.+)", re.DOTALL)),
    ("7z", re.compile(r"-p(?P<secret>.+)", re.DOTALL)),
    ("ldap", re.compile(r"-w(?P<secret>.+)", re.DOTALL)),
    ("curl", re.compile(r"-u[^:\s]+:(?P<secret>.+)", re.DOTALL)),
    ("redis-cli", re.compile(r"-a(?P<secret>.+)", re.DOTALL)),
    ("xfreerdp", re.compile(r"/p:(?P<secret>.+)", re.DOTALL)),
)


_STARTS = tuple({*(one[0] for one in _BEHIND), *(one[0] for one in _ATTACHED)})


def is_known(argument: str) -> bool:
    """Return whether an argument names a program that takes passwords in a way of its own."""
    return argument.rpartition("/")[2].startswith(_STARTS)


def in_text(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) of each password in the command lines of a text."""
    if _PROGRAMS.search(text) is None:
        return []
    return [match.span("secret") for pattern in _TEXT for match in pattern.finditer(text)]


def in_argument(
    program: str, before: str, argument: str, argv: tuple[str, ...]
) -> tuple[int, int] | None:
    """Return where in an argument of `program` a password is, by the option before it or in it."""
    for start, options, pattern in _BEHIND:
        if program.startswith(start) and before in options:
            if start in ("docker", "podman") and "login" not in argv:
                continue  # -p is a port there
            match = pattern.fullmatch(argument)
            return None if match is None else match.span("secret")
    for start, pattern in _ATTACHED:
        if program.startswith(start) and (match := pattern.fullmatch(argument)) is not None:
            return match.span("secret")
    return None
