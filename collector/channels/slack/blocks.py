"""A card as a Slack message. Pure: the same request always looks the same, in every state.

Everything that a held process can have written is preformatted rich text. What does not fit is
counted, and a card that hides anything has a link in place of its Approve buttons.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from collector.approvals.record import Outcome, RequestState
from collector.card import Card
from collector.channels.slack.elements import (
    URL_LIMIT,
    Block,
    actions,
    button,
    context,
    header,
    link_button,
    preformatted,
    section,
    size,
)
from collector.channels.slack.fitting import fitted
from wire.ids import RequestId

APPROVE = "holdfast_approve"
APPROVE_FOR = "holdfast_approve_for"
DENY = "holdfast_deny"
DENY_ALL = "holdfast_deny_all"
DETAILS = "holdfast_details"
OPEN_PAGE = "holdfast_open"
OPEN_FORM = "holdfast_form"

# Slack refuses a message of more than about 13 000 characters without saying how it counts.
MESSAGE_ROOM = 11_500
# For a message that Slack has called too long all the same.
SMALL_ROOM = 4_000
# A window may be longer. Its link is reported as a click, with the whole window in it, and the
# collector takes bodies of 64 KiB.
MODAL_ROOM = 18_000

# Green only when the host says that the process runs on, red only when it says that it is gone.
_LIGHTS = {Outcome.RELEASED: "🟢", Outcome.KILLED: "🔴", Outcome.REFUSED: "🔴"}
_OPEN_LIGHT, _ENDED_LIGHT = "🟡", "⚪"
# Names that can be nothing but a name where Slack reads markup.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .-]*[A-Za-z0-9])?(?:@[A-Za-z0-9][A-Za-z0-9.-]*)?")
_MOST_VOTES = 8
# What is no part of the act, which alone is decided upon, may not crowd it out.
_VOTES_ROOM = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What a message shows of a request.

    `digest` is that of the card. `nonce` is empty where a message has no buttons; with `answers`
    False it has only Details. `votes` are lines, oldest first. `for_a_time`: whether a grant can be
    given. `session`: that it is the summary of one. `quarantine` is the address of the form that
    stops the subject. `asked` says who is asked, `stuck` why nobody may approve it; both may be
    empty. `broken` says that the glass was broken, and by whom; `broken_by` is their name.
    """

    request: RequestId
    card: Card
    digest: str
    state: RequestState
    outcome: Outcome | None = None
    finished: bool = False
    nonce: str = ""
    answers: bool = True
    votes: tuple[str, ...] = ()
    link: str = ""
    for_a_time: bool = False
    note: str = ""
    session: bool = False
    quarantine: str = ""
    broken: str = ""
    broken_by: str = ""
    asked: str = ""
    stuck: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Blocks, what notifications say instead, and how many bytes of the act are not shown."""

    blocks: list[Block]
    text: str
    hidden_bytes: int


def message(shown: Showing, room: int = MESSAGE_ROOM) -> Message:
    """Return the message for a request in at most `room` characters of ASCII JSON."""
    top = [header(shown.card.title), _standing(shown), _happened(shown.card)]
    # As if something were hidden, which takes the most room.
    bottom = _bottom(shown, hidden=1_000_000_000)
    lines = [f"{fact.label}: {fact.text}" for fact in shown.card.facts]
    tree = list(shown.card.tree)
    frame = size([*top, preformatted([]), section("Process tree"), preformatted([]), *bottom])
    fit = fitted([*lines, *tree], room - frame - 50)
    hidden = shown.card.hidden_bytes + fit.hidden_bytes
    facts, branches = fit.lines[: len(lines)], fit.lines[len(lines) :]
    blocks = [*top, preformatted(facts)]
    if branches:
        blocks += [section("Process tree"), preformatted(branches)]
    return Message(blocks + _bottom(shown, hidden), notification(shown), hidden)


def notification(shown: Showing) -> str:
    """Return the line of a notification. Slack reads markup in it, so it has our words alone."""
    if shown.session:
        over = "" if shown.state is RequestState.OPEN else " no longer"
        return f"Holdfast: an AI session is{over} at its limit of requests"
    if shown.state is RequestState.OPEN:
        return f"Holdfast: request {shown.request[:8]} of severity {_severity(shown)} waits"
    ended = shown.outcome.value if shown.outcome else shown.state.value
    if shown.broken:
        by = shown.broken_by if _NAME.fullmatch(shown.broken_by) else "somebody"
        # Where the host heard of it too late, it has not let go.
        let_go = shown.state is RequestState.APPROVED and shown.outcome in (None, Outcome.RELEASED)
        did = "was let go by" if let_go else f"is {ended}, too late for"
        return f"Holdfast: request {shown.request[:8]} {did} break-glass by {by}"
    return f"Holdfast: request {shown.request[:8]} is {ended}"


def alarm(request: RequestId, lines: Sequence[str], link: str, block_id: str) -> list[Block]:
    """Return the message that alarms people; `block_id` is what it is found by again."""
    first, *others = lines
    blocks: list[Block] = [section(f"🚨 {first}"), preformatted(others)]
    if link and len(link) <= URL_LIMIT:
        blocks.append(actions([link_button("Open the page", OPEN_PAGE, link)], block_id))
    else:
        blocks.append(context([f"Request {request}"]) | {"block_id": block_id})
    return blocks


def value(request: RequestId, nonce: str) -> str:
    """Return what the buttons of a card begin with: which request, and in which place."""
    return f"{request} {nonce}"


@dataclass(frozen=True, slots=True)
class Carried:
    """What a button carries: which request, in which place, and the digest of its card as shown.

    A button that was posted before there was such a digest has none.
    """

    request: RequestId
    nonce: str
    card: str

    @classmethod
    def parse(cls, text: str) -> "Carried":
        """Read what `str` has written; what is missing of anything else is empty."""
        request, _, rest = text.partition(" ")
        nonce, _, card = rest.partition(" ")
        return cls(RequestId(request), nonce, card)

    def __str__(self) -> str:
        return f"{value(self.request, self.nonce)} {self.card}"


def _severity(shown: Showing) -> str:
    word = shown.card.severity
    return word if word.isalpha() else "unknown"


def _standing(shown: Showing) -> Block:
    light = _OPEN_LIGHT if shown.state is RequestState.OPEN else _ENDED_LIGHT
    if shown.outcome is not None:
        light = _LIGHTS[shown.outcome]
    elif shown.state in (RequestState.APPROVED, RequestState.DENIED) and not shown.finished:
        light = _OPEN_LIGHT
    broken = f"🚨 {shown.broken}\n" if shown.broken else ""
    lines = [f"{broken}{light} {shown.card.state_line}", f"Severity: {_severity(shown)}"]
    if shown.asked:
        lines.append(f"Asked: {shown.asked}")
    if shown.stuck:
        lines.append(f"🚫 Nobody may approve: {shown.stuck}")
    return section("\n".join(lines))


def _happened(card: Card) -> Block:
    return section(f"What has happened: {card.happened}\nGuarantee: {card.guarantee}")


def _bottom(shown: Showing, hidden: int) -> list[Block]:
    blocks: list[Block] = []
    if shown.votes:
        blocks.append(context(fitted(shown.votes[-_MOST_VOTES:], _VOTES_ROOM).lines))
    if hidden:
        how = "open its page" if shown.link else f"use holdfast show {shown.request[:12]}"
        blocks.append(
            section(f"{hidden} bytes hidden: not all of it fits here. To approve it, {how}.")
        )
    if shown.note:
        blocks.append(section(shown.note))
    if buttons := _buttons(shown, hidden):
        blocks.append(actions(buttons, "holdfast"))
    names = [f"Request {shown.request}", f"Digest {shown.card.digest}", f"Card {shown.digest}"]
    blocks.append(context([f"Summary of {shown.request}"] if shown.session else names))
    return blocks


def _buttons(shown: Showing, hidden: int) -> list[dict[str, object]]:
    carried = str(Carried(shown.request, shown.nonce, shown.digest))
    found = []
    if shown.session:
        if shown.state is RequestState.OPEN and shown.nonce and shown.answers:
            found.append(button("Deny all of this session", DENY_ALL, carried, style="danger"))
        return found + _links(shown)
    if shown.state is RequestState.OPEN and shown.nonce and shown.answers:
        if not hidden:
            found.append(button("Approve once", APPROVE, carried, style="primary"))
            if shown.for_a_time:
                found.append(button("Approve for a time", APPROVE_FOR, carried))
        found.append(button("Deny", DENY, carried, style="danger"))
    if shown.nonce:
        found.append(button("Details", DETAILS, carried))
    return found + _links(shown)


def _links(shown: Showing) -> list[dict[str, object]]:
    found = []
    if shown.link and len(shown.link) <= URL_LIMIT:
        found.append(link_button("Open the page", OPEN_PAGE, shown.link))
    if shown.quarantine and len(shown.quarantine) <= URL_LIMIT:
        found.append(link_button("Quarantine", OPEN_FORM, shown.quarantine))
    return found
