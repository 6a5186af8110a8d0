"""Whether two names may be one person's, however they are written. Pure.

To take two people for one costs a second pair of eyes; to take one for two costs the boundary. So
any form in common counts.
"""

import re
import unicodedata
from collections.abc import Iterable

_SEVERAL = re.compile(r"[,;\uff0c\uff1b]|\s(?:and|&)\s", re.IGNORECASE)


def forms(name: str) -> frozenset[str]:
    """Return the ways in which one name may be written: DOMAIN\\alice, alice@example.com, alice."""
    whole = _plain(name)
    account = whole.rpartition("\\")[2]
    found = {whole, whole.partition("@")[0], account, account.partition("@")[0]}
    return frozenset(form for form in map(str.strip, found) if form)


def forms_of(names: Iterable[str]) -> frozenset[str]:
    """Return the forms of several names of one person."""
    return frozenset[str]().union(*map(forms, names))


def forms_of_list(text: str) -> frozenset[str]:
    """Return the forms of every name in a text that may name several people."""
    return forms_of(_SEVERAL.split(text))


def same_person(one: str, other: str) -> bool:
    """Return whether two names may be one person's."""
    return bool(forms(one) & forms(other))


def _plain(text: str) -> str:
    # Folding can undo a normal form, so it is made once more.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()
