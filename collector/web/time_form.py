"""The part of an answer's form that makes it "approve for a time"."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Form

from collector.errors import Refusal
from collector.orders.terms import Scope, Terms


@dataclass(frozen=True, slots=True)
class TimeForm:
    """What was sent, as it was typed."""

    wanted: bool = False
    minutes: str = "15"
    uses: str = "5"
    scope: str = Scope.SESSION.value

    def terms(self) -> Terms:
        """Return it as numbers; raise Refusal for what is none."""
        return Terms(
            minutes=_number(self.minutes, "minutes"),
            uses=_number(self.uses, "uses"),
            # What is no scope of ours is the narrow one.
            scope=Scope.SUBJECT if self.scope == Scope.SUBJECT else Scope.SESSION,
        )


NO_TIME = TimeForm()


def time_form(
    for_a_time: Annotated[str, Form()] = "",
    minutes: Annotated[str, Form()] = NO_TIME.minutes,
    uses: Annotated[str, Form()] = NO_TIME.uses,
    scope: Annotated[str, Form()] = NO_TIME.scope,
) -> TimeForm:
    """Read it from a form; one without it asks for no time."""
    return TimeForm(bool(for_a_time), minutes, uses, scope)


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise Refusal(
            422,
            "grant_limits",
            f"{name} must be a whole number, not {text[:20]!r}",
            "correct it and send it again",
        )
    return int(text)
