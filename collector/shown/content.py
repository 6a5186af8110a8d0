"""A card as a record: its content in one form, and the digest that a vote names it by. Pure.

The form is for others too: docs/trail-proof.md has it.
"""

import hashlib
import json
from dataclasses import dataclass, field

from collector.card import Card, as_dict

CONTEXT = "holdfast card 1\0"


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A card as it is given to whoever shows it; `content` is canonical JSON of `as_dict`."""

    card: Card
    content: str = field(repr=False)
    digest: str

    @classmethod
    def of(cls, card: Card) -> "ShownCard":
        """Return a card with its content and digest."""
        content = content_of(card)
        return cls(card, content, digest_of(content))


def content_of(card: Card) -> str:
    """Return everything on a card as JSON of one form: no spaces, keys in order."""
    return json.dumps(as_dict(card), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def digest_of(content: str) -> str:
    """Return the digest (hex) of a card's content."""
    return hashlib.sha256(f"{CONTEXT}{content}".encode()).hexdigest()
