"""The one renderer of a request for people: who, what, where, why, and what has happened so far.

Every channel shows this card. It is pure, all its text is sanitised and without line breaks, and
what it leaves out is counted. Words about the act itself are in happened.py and commandtext.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from collector.actwords import OPERATIONS, SECOND, VERBS, operation_words
from collector.alike import ONE, Alike
from collector.commandtext import Shown, environment_text, one_line, process_text, shown_arguments
from collector.happened import guarantee_words, happened_words
from collector.progress import clock, state_line
from collector.redact import secrets_in
from collector.sanitize import Clean, clean, quote
from collector.words import count
from wire.acts import KINDS_OF_CHANGE, Act, Guarantee, Kind, Process, identity
from wire.messages import Decision, HoldOpened, HoldState, OnDeny, OnTimeout
from wire.redaction import marks
from wire.targets import target

COMMAND_LIMIT = 4000
_TITLE_LIMIT = 120
_LINE_LIMIT = 160
_FACT_LIMIT = 1000

_PATHS = {Kind.EXEC: "File", Kind.MODULE: "File", Kind.OPEN: "Path"} | dict.fromkeys(
    KINDS_OF_CHANGE, "Path"
)
_REFUSED = "the call fails with 'operation not permitted', and the process goes on"
_ON_TIMEOUT = {
    OnTimeout.KILL: "the process is killed",
    OnTimeout.KEEP: "the process stays stopped",
    OnTimeout.RELEASE: "the process is let go",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled line. The label is ours, the text may quote the held process."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a person is shown. `hidden_bytes` counts what the facts leave out.

    `digest` is the digest of the act: a vote that carries it is about exactly this card.
    """

    title: str
    severity: str
    state_line: str
    facts: tuple[Fact, ...]
    tree: tuple[str, ...]
    happened: str
    guarantee: str
    digest: str
    hidden_bytes: int
    count: int = 1  # identical holds that the request is about


@dataclass(frozen=True, slots=True)
class Summary:
    """An act in three short texts, for one row of a table. Long ones carry a mark."""

    who: str
    what: str
    where: str


def summary(act: Act) -> Summary:
    """Return who did what and where, sanitised and redacted."""
    who = clean(act.user or f"uid {act.process.uid}", 40).text
    if act.kind is Kind.ASK:
        return Summary(who, _target(act), "")
    if act.kind is Kind.EXEC:
        where = clean(act.cwd, _TITLE_LIMIT).text
        return Summary(who, _target(act), where)
    program = clean(act.executable or act.process.comm, _TITLE_LIMIT).text
    flags = f" ({clean(', '.join(act.flags), 60).text})" if act.flags else ""
    return Summary(who, f"{act.kind.value}{flags} by {program}", _target(act))


def as_dict(card: Card) -> dict[str, Any]:
    """Return the card as JSON-ready values, keys as the fields are named."""
    # `asdict` would copy each text, and every request that is shown has some thirty of them.
    return {field.name: getattr(card, field.name) for field in fields(card)} | {
        "facts": [{"label": fact.label, "text": fact.text} for fact in card.facts],
        "tree": list(card.tree),
    }


def render(
    opened: HoldOpened,
    states: Sequence[HoldState] = (),
    decision: Decision | None = None,
    alike: Alike = ONE,
    notes: Sequence[str] = (),
) -> Card:
    """Return the card of a hold, with what the host has said since and what people decided.

    `alike`: the identical holds that are one request with it. `notes`: the centre's own remarks.
    """
    act = opened.act
    sheet = _Sheet()
    if alike.words:
        sheet.add("Identical", alike.words)
    if act.kind is Kind.ASK:
        _asked(sheet, act, opened.owner)
    else:
        _who(sheet, act, opened.owner, opened.session_name)
        _what(sheet, act)
        _where(sheet, act, opened)
    _why(sheet, opened)
    _said(sheet, states, decision, alike.noted)
    if words := sheet.redacted_words():
        sheet.add("Redacted", words)
    return Card(
        title=_title(act) + (f" ({alike.count} identical)" if alike.count > 1 else ""),
        severity=opened.rule.severity.value,
        state_line=state_line(opened, states, decision, notes),
        facts=tuple(sheet.facts),
        tree=_tree(act),
        happened=happened_words(act),
        guarantee=guarantee_words(act.guarantee),
        digest=clean(opened.digest, _LINE_LIMIT).text,
        hidden_bytes=sheet.hidden_bytes,
        count=alike.count,
    )


class _Sheet:
    """The facts as they are gathered, with the running count of what is not shown."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.hidden_bytes = 0
        self.redacted = 0
        self.marks = 0

    def redacted_words(self) -> str:
        """Return how many secrets are not shown; empty if none is."""
        words = []
        if self.marks:
            words.append(f"{count(self.marks, 'value')} that may be secret, taken out by the host")
        if self.redacted:
            words.append(f"{count(self.redacted, 'value')} that may be secret; not shown")
        return "; ".join(words)

    def add(self, label: str, text: str) -> None:
        """Add a line that is safe already."""
        self.facts.append(Fact(label, text))

    def quote(self, label: str, text: str, *, before: str = "", after: str = "") -> None:
        """Add a line that quotes someone else's text."""
        safe = self._safe(text)
        self.add(label, before + safe.text + after)

    def name(self, label: str, text: str, *, after: str = "") -> None:
        """Add a line that names a file; quoted, so that its end is visible."""
        safe = self._safe(text)
        self.add(label, quote(safe.text) + after)

    def _safe(self, text: str) -> Clean:
        secrets = secrets_in(text)
        safe = clean(text, _FACT_LIMIT, secrets)
        self.hidden_bytes += safe.hidden_bytes
        self.redacted += len(secrets)
        self.marks += marks.count(text)
        return safe

    def show(self, label: str, shown: Shown) -> None:
        """Add a line made by commandtext."""
        self.hidden_bytes += shown.hidden_bytes
        self.redacted += shown.redacted
        self.marks += shown.marks
        self.add(label, shown.text)


def _who(sheet: _Sheet, act: Act, owner: str, name: str) -> None:
    user = act.user or "a user without a name"
    sheet.quote("User", user, after=f" (uid {act.process.uid}, gid {act.gid})")
    if act.login_uid is None:
        sheet.add("Login user", "none: not started from a login")
    else:
        login = act.login_user or "a user without a name"
        sheet.quote("Login user", login, after=f" (uid {act.login_uid})")
    sheet.quote("Watched as", act.subject)
    if owner:
        sheet.quote("Responsible", owner)
    elif not launcher_known(act):
        sheet.add(
            "Requester",
            "not known: it comes from no login, and the host names nobody responsible for "
            "the subject; so nobody can be refused as the one who asks",
        )
    called = f" (calls itself {clean(name, _LINE_LIMIT).text})" if name else ""
    sheet.quote("Session", act.session, after=called)


def launcher_known(act: Act) -> bool:
    """Return whether the kernel knows a login that is not the watched user's own."""
    return act.login_uid is not None and act.login_uid != act.process.uid


def _what(sheet: _Sheet, act: Act) -> None:
    if act.kind is Kind.EXEC:
        command = shown_arguments(
            act.argv, COMMAND_LIMIT, block_bytes=act.argv_bytes, cut=act.argv_cut
        )
        sheet.show("Command", command)
        sheet.add("Arguments", command.measure)
        sheet.name("Program", act.executable)
        if act.filename and act.filename != act.executable:
            sheet.name("Called as", act.filename)
        if act.environment:
            sheet.show("Environment", environment_text(act.environment, _FACT_LIMIT))
        return
    sheet.name("Program", act.executable)
    if act.process.argv:
        sheet.show("Started as", shown_arguments(act.process.argv, _FACT_LIMIT))
    if act.kind is Kind.OPEN and act.flags:
        sheet.quote("Opened for", ", ".join(act.flags))
    if act.operation:
        sheet.quote(OPERATIONS.get(act.kind, "Operation"), operation_words(act))
    if act.target is not None:
        sheet.add("Other process", process_text(act.target, act.target.argv, _LINE_LIMIT))
    if act.messages:
        sheet.add("Sent so far", count(act.messages, "datagram"))


def _where(sheet: _Sheet, act: Act, opened: HoldOpened) -> None:
    sheet.quote("Host", opened.host_name, after=f" (id {clean(opened.host, _LINE_LIMIT).text})")
    if act.cwd:
        sheet.name("Directory", act.cwd)
    if act.path:
        notes = "" if act.path_resolved else "; as the program wrote it, not resolved"
        if act.path_cut:
            notes += "; part of it is missing, the host could not read more"
            # How much is missing is not known; it must not look whole.
            sheet.hidden_bytes += 1
        file = f" (device {_device(act.device)}, inode {act.inode})" if act.inode else ""
        sheet.name(_PATHS.get(act.kind, "Socket"), act.path, after=file + notes)
    if act.second_path or act.second_path_cut:
        missing = "; part of it is missing, the host could not read more"
        sheet.hidden_bytes += int(act.second_path_cut)
        notes = missing if act.second_path_cut else ""
        sheet.name(SECOND.get(act.kind, "Second name"), act.second_path, after=notes)
    if act.address:
        sheet.quote("Address", _address(act))
    if act.addresses_cut:
        sheet.hidden_bytes += 1
        sheet.add("More", "the call names further addresses that are not shown")


def _asked(sheet: _Sheet, act: Act, owner: str) -> None:
    """Say what is asked for; all of it is in the words of who asks."""
    sheet.quote("Asked by", act.user)
    sheet.quote("Answers for it", owner)
    sheet.quote("Action", act.executable)
    sheet.name("Resource", act.path)
    if act.environment:
        sheet.show("Details", environment_text(act.environment, COMMAND_LIMIT))


def _why(sheet: _Sheet, opened: HoldOpened) -> None:
    rule, asked = opened.rule, opened.act.kind is Kind.ASK
    sheet.quote("Rule", rule.id)
    # In the words of the host's configuration, which may well be about passwords.
    description = clean(rule.description, _FACT_LIMIT)
    sheet.hidden_bytes += description.hidden_bytes
    sheet.add("Why", description.text)
    sheet.quote("Severity", rule.severity.value)
    # Only what is held before it happens can be refused; elsewhere a refusal is a kill.
    refused = rule.on_deny is OnDeny.REFUSE and opened.act.guarantee is Guarantee.HELD
    if refused:
        sheet.add("If denied", _REFUSED)
    if opened.deadline_ns > 0:
        silence = "it expires, which is no approval" if asked else _ON_TIMEOUT[rule.on_timeout]
        if refused and rule.on_timeout is OnTimeout.KILL:
            silence = _REFUSED
        sheet.add("If nobody answers", silence)
    # Last, and said to be what it is: the facts above are what was seen.
    if opened.claim:
        whose = "who asks" if asked else "the AI"
        when = "" if asked else f" (said at {clock(opened.claim_ns)})"
        sheet.quote(f"Says why (claim of {whose}, not checked)", opened.claim, after=when)


def _said(
    sheet: _Sheet, states: Sequence[HoldState], decision: Decision | None, noted: str
) -> None:
    if decision is not None and decision.reason:
        sheet.quote("Reason given", decision.reason)
    # That the session is at its limit stands on the card of the session.
    own = (state for state in states if state.capped is None)
    details = [state.detail for state in sorted(own, key=lambda one: one.sequence)]
    last = next((detail for detail in reversed(details) if detail), noted)
    if last:
        sheet.quote("Host says", last)


def _title(act: Act) -> str:
    who = clean(act.user or f"uid {act.process.uid}", 40).text
    return f"{who}: {VERBS[act.kind]} {_target(act)}"


def _target(act: Act) -> str:
    """Return what an act is aimed at: the command, the file or the address."""
    if act.kind is Kind.ASK:
        action = clean(act.executable, _TITLE_LIMIT).text
        return f"{action} on {_safe(act.path)}"
    if act.kind is Kind.EXEC:
        return one_line(act.argv or (act.filename or act.executable,), _TITLE_LIMIT)
    if act.kind in (Kind.OPEN, Kind.CONNECT, Kind.SEND, Kind.LISTEN):
        return _safe(act.path or _address(act))
    return _safe(target(act))


def _safe(text: str) -> str:
    return clean(text, _TITLE_LIMIT, secrets_in(text)).text


def _tree(act: Act) -> tuple[str, ...]:
    """Return one line per process, oldest ancestor first; the actor's begins with an arrow."""
    if act.kind is Kind.ASK:
        return ()
    lines = []
    chain: list[Process] = [*reversed(act.ancestors), act.process]
    for depth, process in enumerate(chain):
        actor = depth == len(chain) - 1
        argv = act.argv if actor and act.kind is Kind.EXEC and act.argv else process.argv
        first = "  (first watched)" if identity(process) == act.session else ""
        text = process_text(process, argv, _LINE_LIMIT)
        indent = "  " * depth
        lines.append(f"{indent}{'→ ' if actor else ''}{text}{first}")
    return tuple(lines)


def _address(act: Act) -> str:
    transport = f"{act.transport.value} " if act.transport else ""
    host = f"[{act.address}]" if ":" in act.address else act.address
    return f"{transport}{host}:{act.port}" if act.port else f"{transport}{host}"


def _device(device: int) -> str:
    # Linux's own split of st_dev, whatever system the card is rendered on.
    major = (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
    minor = device & 0xFF | (device >> 12) & ~0xFF & 0xFFFFFFFF
    return f"{major}:{minor}"
