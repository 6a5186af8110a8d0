"""`/holdfast` in Slack: one table of subcommands, each with its usage and what it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond

from collector.approvals.capped import Capped, CappedSessions
from collector.approvals.record import Record, RequestState
from collector.capped_card import render_capped
from collector.channels.slack import order_commands
from collector.channels.slack.blocks import message
from collector.channels.slack.desk import Desk
from collector.channels.slack.door import Said, Sender
from collector.channels.slack.elements import Block, preformatted, section
from collector.channels.slack.fitting import fitted
from collector.channels.slack.tell import answer
from collector.channels.slack.words import TROUBLES, decided_words, refusal_words, trouble_words
from collector.errors import Refusal
from collector.identity.people import Caller
from wire.messages import Answer

COMMAND = "/holdfast"
_MOST_LISTED = 20
_LIST_ROOM, _SESSIONS_ROOM = 8_000, 1_500


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One entry of the table. `run` returns blocks, and raises Refusal."""

    usage: str
    does: str
    run: Callable[[Desk, Said], Awaitable[list[Block]]]


class Commands:
    """Runs `/holdfast`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self, ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        """Answer whoever typed it, and nobody else."""
        await ack()
        verb, _, words = str(body.get("text") or "").strip().partition(" ")
        chosen = SUBCOMMANDS.get(verb.lower() or "help")
        try:
            if chosen is None:
                raise Refusal(
                    404,
                    "unknown_command",
                    f"{COMMAND} {verb[:40]} is no command",
                    f"{COMMAND} help lists those there are",
                )
            blocks = await chosen.run(self._desk, Said(words.strip(), Sender.of(body)))
        except TROUBLES as trouble:
            blocks = [section(trouble_words(trouble, self._desk.base_url))]
        await answer(respond, blocks)


async def _help(_: Desk, __: Said) -> list[Block]:
    lines = [f"{COMMAND} {one.usage}: {one.does}" for one in SUBCOMMANDS.values()]
    return [preformatted(lines)]


async def _pending(desk: Desk, said: Said) -> list[Block]:
    await desk.door.admit(said.sender)
    waiting = [one for one in desk.book.register.requests() if one.state is RequestState.OPEN]
    if not waiting:
        return [section("Nothing waits.")]
    fit = fitted([_line(desk, one) for one in waiting[:_MOST_LISTED]], _LIST_ROOM)
    more = len(waiting) - _MOST_LISTED
    rest = f"; {more} more are on the page: {desk.base_url}" if more > 0 else ""
    count = "1 request waits" if len(waiting) == 1 else f"{len(waiting)} requests wait"
    capped = [_capped_line(desk, one) for one in CappedSessions(desk.book).alive()]
    sessions = [preformatted(fitted(capped[:_MOST_LISTED], _SESSIONS_ROOM).lines)] if capped else []
    return [section(f"{count}{rest}"), *sessions, preformatted(fit.lines)]


async def _show(desk: Desk, said: Said) -> list[Block]:
    await desk.door.admit(said.sender)
    record, _ = await _named(desk, said)
    return message(desk.showing(record)).blocks


async def _approve(desk: Desk, said: Said) -> list[Block]:
    return await _decide(desk, said, Answer.APPROVE)


async def _deny(desk: Desk, said: Said) -> list[Block]:
    return await _decide(desk, said, Answer.DENY)


async def _decide(desk: Desk, said: Said, wanted: Answer) -> list[Block]:
    caller = await desk.door.admit(said.sender)
    record, reason = await _named(desk, said)
    return await _decided(desk, caller, record, wanted, reason)


async def _decided(
    desk: Desk, caller: Caller, record: Record, wanted: Answer, reason: str
) -> list[Block]:
    try:
        if desk.reason_needed(record) and not reason:
            raise Refusal(
                422,
                "reason_required",
                "a reason is needed",
                f"write it after the id: {COMMAND} {wanted.value} {record.id[:12]} why",
            )
        decided = await desk.decide(caller, record, wanted, reason)
    except Refusal as refusal:
        return [section(refusal_words(refusal, desk.base_url, caller.name))]
    return [section(decided_words(decided, wanted))]


async def _link(desk: Desk, said: Said) -> list[Block]:
    url = await desk.door.link(said.sender)
    return [section(f"Sign in here to link your Slack account, within ten minutes: {url}")]


async def _named(desk: Desk, said: Said) -> tuple[Record, str]:
    """Return the request that the first word names, and the rest of the words."""
    name, _, rest = said.words.partition(" ")
    if not name:
        raise Refusal(
            422, "validation", "the id of a request is missing", f"{COMMAND} pending lists them"
        )
    return await desk.book.resolve(name), rest.strip()


def _line(desk: Desk, record: Record) -> str:
    card = desk.showing(record).card
    return f"{record.id[:12]} {card.severity} {card.title}, {card.state_line}"


def _capped_line(desk: Desk, capped: Capped) -> str:
    card = render_capped(capped, desk.notices.host_name(capped.of))
    return f"{card.title}: {card.state_line}"


# A further subcommand is one entry here.
SUBCOMMANDS = {
    "pending": Subcommand("pending", "what waits for an answer", _pending),
    "show": Subcommand("show ID", "one request with everything about it", _show),
    "approve": Subcommand("approve ID REASON", "let it run on", _approve),
    "deny": Subcommand("deny ID REASON", "end it", _deny),
    "grants": Subcommand(
        "grants [revoke ID]", "the grants in force, or the end of one", order_commands.grants
    ),
    "quarantine": Subcommand(
        "quarantine [SUBJECT [on HOST] REASON, or lift ID REASON]",
        "who is under quarantine; stop all that a subject does, or let it go on",
        order_commands.quarantine,
    ),
    "link": Subcommand("link", "make this Slack account yours", _link),
    "help": Subcommand("help", "this list", _help),
}
