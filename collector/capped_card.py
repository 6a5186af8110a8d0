"""The card of an AI session at its limit: who, what waits, and how much was denied. Pure.

Like any card it has sanitised text without line breaks. Nothing in it could be approved.
"""

from collections import Counter

from collector.approvals.capped import Capped
from collector.card import Card, Fact, summary
from collector.sanitize import clean
from collector.words import count
from wire.acts import Act
from wire.messages import Severity

_NAME_LIMIT = 80
_MOST_LINES = 8


def render_capped(capped: Capped, host_name: str) -> Card:
    """Return the card of a session under the enrolled name of its host."""
    act = capped.of.act
    subject, host = _name(act.subject), _name(host_name)
    severities = [one.opened.rule.severity for one in capped.waiting]
    severities = severities or [capped.of.rule.severity]
    worst = max(severities, key=list(Severity).index)
    return Card(
        title=f"{subject}: an AI session on {host} has reached its limit",
        severity=worst.value,
        state_line=state_words(capped),
        facts=tuple(_facts(capped, host)),
        tree=(),
        happened=(
            "Each further act of this session that would be asked about is denied at once, and "
            "shown nowhere but in the trail."
            if not capped.finished
            else "What the session does now is asked about as before."
        ),
        guarantee=(
            "Nothing can be approved here: each request has its own card. All of them can be "
            "denied, and the subject be put under quarantine."
        ),
        digest="none",
        hidden_bytes=0,
        count=max(1, capped.acts),
    )


def state_words(capped: Capped) -> str:
    """Return how a session stands, in a line."""
    denied = f"{count(capped.denied, 'further act')} denied without asking"
    if capped.finished:
        return f"over: nothing of it waits; {denied}"
    requests = len(capped.waiting)
    inside = f" in {count(requests, 'request')}" if requests != capped.acts else ""
    return f"{count(capped.acts, 'act')} {_wait(capped.acts)}{inside}; {denied}"


def _wait(acts: int) -> str:
    return "waits" if acts == 1 else "wait"


def _facts(capped: Capped, host: str) -> list[Fact]:
    act, opened = capped.of.act, capped.of
    facts = [Fact("User", f"{_name(act.user or 'without a name')} (uid {act.process.uid})")]
    if act.login_uid is not None:
        login = _name(act.login_user or "without a name")
        facts.append(Fact("Login user", f"{login} (uid {act.login_uid})"))
    facts.append(Fact("Watched as", _name(act.subject)))
    if opened.owner:
        facts.append(Fact("Responsible", _name(opened.owner)))
    called = f" (calls itself {_name(opened.session_name)})" if opened.session_name else ""
    facts.append(Fact("Session", _name(act.session) + called))
    facts.append(Fact("Host", f"{host} (id {_name(opened.host)})"))
    facts.append(Fact("Denied beyond its limit", count(capped.denied, "act")))
    lines: Counter[tuple[str, str]] = Counter()
    for one in capped.waiting:
        lines[one.opened.rule.id, _what(one.opened.act)] += len(one.waiting)
    for (rule, what), number in lines.most_common(_MOST_LINES):
        facts.append(Fact("Waits", f"{what} (rule {_name(rule)}): {count(number, 'time')}"))
    if (more := len(lines) - _MOST_LINES) > 0:
        facts.append(Fact("And", f"{more} more that wait, each on its own card"))
    return facts


def _what(act: Act) -> str:
    said = summary(act)
    return f"{said.what} {said.where}".strip()  # safe to show already


def _name(text: str) -> str:
    return clean(text, _NAME_LIMIT).text
