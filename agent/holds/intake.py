"""From an entry of the kernel's held map to a Hold: what the rules say, and what is asked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.holds.model import Doom, Hold, Limit, Pass, Voice, Why
from agent.release import ProcessId
from agent.rulings import Ruled
from agent.sensor.interface import HeldAct, Resume
from rules.model import Action
from wire.acts import Act, Guarantee, Kind, act_digest
from wire.ids import HoldId, HostId, new_id
from wire.messages import Ground, HoldOpened, KillScope, OnDeny, OnTimeout, RuleFacts
from wire.orders import Quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What every hold of this host says of it. `responsible`: who answers for a subject, by name.

    `holds_per_session` and `holds_per_subject` are how many requests of one may wait at once,
    `denials_per_minute` how many denials of the same are told one by one.
    """

    id: HostId
    name: str
    boot_id: str
    responsible: Mapping[str, str]
    holds_per_session: int = 20
    refuses: bool = False  # it holds calls before they have done anything
    holds_per_subject: int = 100
    denials_per_minute: int = 60


def over_cap(hold: Hold, limit: Limit) -> Hold:
    """Return the hold of an act that nobody is asked about, since enough of its `limit` wait.

    The process alone is killed, whatever the rule's scope: no person has denied anything.
    """
    why = Why(ground=Ground.RULE, reason=hold.rule)
    doom = Doom(why, KillScope.PROCESS, hold.refuse)
    return replace(hold, voice=Voice.QUIET, deadline_boot_ns=0, fate=doom, capped=limit)


def quarantined(hold: Hold, order: Quarantine) -> Hold:
    """Return the hold of an act that nobody is asked about, since its subject is in quarantine."""
    why = Why(ground=Ground.DECISION, by=order.by, reason=order.reason)
    doom = Doom(why, KillScope.PROCESS)
    return replace(hold, voice=Voice.QUIET, deadline_boot_ns=0, fate=doom)


def newly_ruled(ruled: Ruled) -> Pass | Doom | None:
    """Return what newer rules make of an act that waits; None: it waits on.

    So it does where they ask, and where none asks any more: that nobody need be asked must be said
    by a rule, which allows it.
    """
    rule = ruled.rule
    if rule is None or ruled.action not in (Action.DENY, Action.ALLOW):
        return None
    why = Why(ground=Ground.RULE, reason=rule.id)
    return Doom(why, rule.kill) if ruled.action is Action.DENY else Pass(why)


def attempt_words(attempt: Resume) -> str:
    """Return, for people, who tried to let a held process run on, and what came of it."""
    if attempt.ended:
        return (
            f"it was let run on by another (SIGCONT, {attempt.count} by now) before it was frozen, "
            "and the kernel killed it when its next system call returned"
        )
    if attempt.traced:
        return (
            f"process {attempt.by_pid} ({attempt.by_comm!r}, uid {attempt.by_uid}) began to trace "
            f"it, and was killed for that by the kernel, the {attempt.count}. one; it stays held"
        )
    if attempt.trace_refused:
        return (
            f"process {attempt.by_pid} ({attempt.by_comm!r}, uid {attempt.by_uid}) has tried to "
            f"trace it or to reach into its memory, and the kernel refused, the {attempt.count}. "
            "time; it stays held"
        )
    return (
        f"process {attempt.by_pid} ({attempt.by_comm!r}, uid {attempt.by_uid}) sent it SIGCONT, "
        f"the {attempt.count}. time; it stays held"
    )


def _refuses(rule: RuleFacts) -> bool:
    return rule.on_deny is OnDeny.REFUSE


def _can_fail(act: Act) -> bool:
    """Return whether the held call can still fail: a program that is started has taken the old's
    place already.
    """
    return act.kind is not Kind.EXEC and act.guarantee is Guarantee.HELD


def take(
    held: HeldAct, shown: Act, ruled: Ruled, host: Host, *, boot_ns: int, now_ns: int
) -> tuple[Hold, HoldOpened | None]:
    """Return the hold of a held act, and what the centre is told if a person is to be asked.

    `shown` is the act as it may leave the host. Its marks are of the secrets they stand for, so its
    digest is the digest of this act alone. A rule that denies or lets pass decides at once. The
    kernel holds a superset of what rules ask for, so an act that no rule matches passes, on the
    ground of the rules as they are.
    """
    rule = ruled.rule
    hold_id = HoldId(new_id())
    why = Why(ground=Ground.RULE, reason=rule.id if rule else "")
    digest = act_digest(shown)
    # Kept until somebody answers: such a wait has no end that an answer could miss.
    ends = bool(ruled.timeout_ns and rule and rule.on_timeout is not OnTimeout.KEEP)
    deadline = boot_ns + ruled.timeout_ns if ends else 0
    hold = Hold(
        id=hold_id,
        key=held.key,
        process=ProcessId.of(held.act.process),
        session=held.act.session,
        subject=held.act.subject,
        act_boot_ns=held.act.boot_ns,
        boot_id=host.boot_id,
        digest=digest,
        rule=rule.id if rule else "",
        voice=Voice.ASKED,
        refuse=host.refuses and _can_fail(held.act) and rule is not None and _refuses(rule),
        act=held.act,
    )
    if ruled.action is Action.DENY:
        scope = rule.kill if rule else KillScope.PROCESS
        return replace(hold, voice=Voice.STATES, fate=Doom(why, scope, hold.refuse)), None
    if ruled.action is not Action.ASK or rule is None:
        return replace(hold, voice=Voice.QUIET, fate=Pass(why)), None
    opened = HoldOpened(
        hold=hold_id,
        host=host.id,
        host_name=host.name,
        boot_id=host.boot_id,
        opened_ns=now_ns,
        deadline_boot_ns=deadline,
        deadline_ns=now_ns + ruled.timeout_ns if ends else 0,
        rule=rule,
        owner=host.responsible.get(shown.subject, ""),
        act=shown,
        digest=digest,
    )
    asking = replace(hold, deadline_boot_ns=deadline, on_timeout=rule.on_timeout, kill=rule.kill)
    return asking, opened
