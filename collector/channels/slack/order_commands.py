"""`/holdfast grants` and `/holdfast quarantine`: what is in force, to give it and to end it."""

import time

from collector.channels.slack.desk import Desk
from collector.channels.slack.door import CHANNEL, Said
from collector.channels.slack.elements import Block, preformatted, section
from collector.channels.slack.fitting import fitted
from collector.channels.slack.words import moment, name
from collector.errors import Refusal
from collector.orders.desk import OrderDesk
from collector.orders.ledger import GrantState, KnownGrant, KnownQuarantine
from collector.orders.words import covered_words
from collector.sanitize import clean, visible
from wire.ids import HostId

_LIST_ROOM = 9_000
_MOST_LISTED = 20
_WHAT_LIMIT = 200


async def grants(desk: Desk, said: Said) -> list[Block]:
    """List the grants in force, or revoke one."""
    caller = await desk.door.admit(said.sender)
    orders = _orders(desk)
    match said.words.split():
        case []:
            now_ns = time.time_ns()
            found = [
                one for one in orders.ledger.grants() if one.state(now_ns) is GrantState.IN_FORCE
            ]
            return _listed([_grant_line(orders, one) for one in found], "No grant is in force.")
        case ["revoke", grant, *reason]:
            ended = await orders.revoke(caller, grant, reason=" ".join(reason), via=CHANNEL)
            return [section(f"Grant {ended.grant.order[:8]} covers nothing from now on.")]
    raise _unclear("say which grant to revoke", "/holdfast grants, or /holdfast grants revoke ID")


async def quarantine(desk: Desk, said: Said) -> list[Block]:
    """List the quarantines in force, put a subject under one, or lift one."""
    caller = await desk.door.admit(said.sender)
    orders = _orders(desk)
    match said.words.split():
        case []:
            found = [one for one in orders.ledger.quarantines() if one.lifted is None]
            lines = [_quarantine_line(orders, one) for one in found]
            return _listed(lines, "Nobody is under quarantine.")
        case ["lift", known, *reason]:
            lifted = await orders.lift(caller, known, reason=" ".join(reason), via=CHANNEL)
            return [_done(orders, lifted, "is lifted; its processes run on")]
        case [subject, "on", host, *reason]:
            wanted: str | None = host
        case [subject, *reason]:
            wanted = None
    made = await orders.quarantine(caller, subject, wanted, reason=" ".join(reason), via=CHANNEL)
    return [_done(orders, made, "is under quarantine; hosts deny and stop it as the order comes")]


def _orders(desk: Desk) -> OrderDesk:
    if desk.extras.orders is None:
        raise Refusal(503, "no_orders", "no order can be given here", "use the command line")
    return desk.extras.orders


def _listed(lines: list[str], nothing: str) -> list[Block]:
    if not lines:
        return [section(nothing)]
    blocks = [preformatted(fitted(lines[:_MOST_LISTED], _LIST_ROOM).lines)]
    if (more := len(lines) - _MOST_LISTED) > 0:
        blocks.append(section(f"{more} more are listed by holdfast on the command line."))
    return blocks


def _grant_line(orders: OrderDesk, known: KnownGrant) -> str:
    grant = known.grant
    act = covered_words(grant.covers, _WHAT_LIMIT)
    whose = "" if grant.session else ", every session"
    return (
        f"{grant.order[:8]} {act}: {name(grant.subject)} on {_host(orders, grant.host)}{whose}, "
        f"{len(known.holds)} of {grant.uses} used, until {moment(grant.expires_ns)}, "
        f"by {name(grant.by)}"
    )


def _quarantine_line(orders: OrderDesk, known: KnownQuarantine) -> str:
    first = known.first
    reason = clean(first.reason, _WHAT_LIMIT).text
    return (
        f"{known.id[:8]} {name(first.subject)} {_where(orders, known)}, "
        f"since {moment(first.time_ns)}, by {name(first.by)}: {reason}"
    )


def _done(orders: OrderDesk, known: KnownQuarantine, words: str) -> Block:
    subject = name(known.first.subject)
    return section(f"{subject} {_where(orders, known)} {words} (quarantine {known.id[:8]}).")


def _where(orders: OrderDesk, known: KnownQuarantine) -> str:
    return "everywhere" if known.first.everywhere else f"on {_host(orders, known.first.host)}"


def _host(orders: OrderDesk, host: HostId) -> str:
    return visible(orders.names.name(host, ""))


def _unclear(message: str, remedy: str) -> Refusal:
    return Refusal(422, "validation", message, remedy)
