"""Whether two names may be one person's, however they are written. Pure.

To take two people for one costs a second pair of eyes; to take one for two costs the boundary. So
any form in common counts.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

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


def each_of(text: str) -> list[str]:
    """Return every name in a text that may name several people."""
    return [name.strip() for name in _SEVERAL.split(text) if name.strip()]


def forms_of_list(text: str) -> frozenset[str]:
    """Return the forms of every name in a text that may name several people."""
    return forms_of(each_of(text))


def same_person(one: str, other: str) -> bool:
    """Return whether two names may be one person's."""
    return bool(forms(one) & forms(other))


def apart(several: Sequence[frozenset[str]]) -> list[list[int]]:
    """Return which of these belong to one person each, by their numbers: whoever shares a form.

    Also by way of a third: who is ann here and a.smith there joins both.
    """
    people: dict[int, tuple[list[int], set[str]]] = {}
    whose: dict[str, int] = {}
    for number, mine in enumerate(several):
        joined = sorted({whose[form] for form in mine if form in whose})
        first = joined[0] if joined else number
        numbers, known = people.setdefault(first, ([], set()))
        for other in joined[1:]:
            more, theirs = people.pop(other)
            numbers += more
            known |= theirs
        numbers.append(number)
        known |= mine
        whose.update(dict.fromkeys(known if joined[1:] else mine, first))
    return [sorted(numbers) for numbers, _ in people.values()]


def _plain(text: str) -> str:
    # Folding can undo a normal form, so it is made once more.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()
