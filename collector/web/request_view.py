"""A request for its page: the card's facts by who, what, where and why, and its full text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from collector import actwords
from collector.api.models import RequestOut
from collector.approvals.record import Record
from collector.card import summary
from collector.commandtext import argument_lines, environment_text
from collector.sanitize import clean, visible
from collector.web.words import Status, status
from wire.acts import KINDS_OF_CHANGE, KINDS_WITHOUT_FILE, Act, Kind
from wire.targets import target

_WHOLE = 1 << 24
_DEEPEST = 12
_NAME_LIMIT = 60
_TARGET_LIMIT = 4000
# A path alone would not say what is done.
_BY_THEIR_TARGET = frozenset((*KINDS_OF_CHANGE, *KINDS_WITHOUT_FILE)) - {Kind.LISTEN}
_GROUPS = ("Who", "What", "Where", "Why")
# Where a fact of the card belongs; what is not named here is about what is done.
_WHO = (
    *("Asked by", "Answers for it", "User", "Login user", "Watched as"),
    *("Responsible", "Requester", "Session"),
)
_WHERE = (
    *("Host", "Directory", "File", "Path", "Socket", "Address", "More"),
    *actwords.SECOND.values(),
    "Other process",
)
_WHY = ("Rule", "Why", "If denied", "If nobody answers", "Reason given")
# Shown elsewhere on the page: as its heading, as a badge, and above the facts.
_ELSEWHERE = ("Command", "Severity")
# Long and quoted from the process: set as code.
_CODE = (
    "Program",
    "Called as",
    "Started as",
    "Environment",
    "Directory",
    "File",
    "Path",
    "Socket",
    "Resource",
    *actwords.SECOND.values(),
)


@dataclass(frozen=True, slots=True)
class FactView:
    """One labelled line; `code` says that it quotes a file or a command."""

    label: str
    text: str
    code: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """One process of the tree; the last one acts."""

    depth: int
    text: str
    acts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """Everything of a request that its page shows, safe to show.

    `target` is what is held, as the card has it; `name` is that in a word or two, for a heading.
    `heading` stands above what is held. `unread` says that the host could not read all of it.
    """

    out: RequestOut
    card: dict[str, Any]
    status: Status
    name: str
    target: str
    heading: str
    groups: tuple[tuple[str, tuple[FactView, ...]], ...]
    tree: tuple[Branch, ...]
    full: tuple[tuple[str, str], ...]
    arguments: tuple[str, ...]
    unread: bool


def request_view(record: Record, out: RequestOut) -> RequestView:
    """Return the view of a request that was shown with its card."""
    card = out.card or {}
    act = record.opened.act
    return RequestView(
        out=out,
        card=card,
        status=status(record),
        name=_name(act),
        target=_target(card["facts"], act, card["title"]),
        heading=actwords.HEADINGS[act.kind],
        groups=_grouped(card["facts"]),
        tree=_branches(card["tree"]),
        full=tuple(_full(act, record.opened.rule.description)),
        arguments=tuple(argument_lines(act.argv or act.process.argv)),
        unread=act.argv_cut or act.path_cut or act.second_path_cut or act.addresses_cut,
    )


def _name(act: Act) -> str:
    if act.kind is Kind.EXEC:
        return clean(act.executable.rpartition("/")[2] or act.executable, _NAME_LIMIT).text
    return summary(act).where


def _target(facts: Sequence[dict[str, str]], act: Act, title: str) -> str:
    """Return the command, file or address that is held, as the card has it."""
    if act.kind in _BY_THEIR_TARGET:
        return clean(target(act), _TARGET_LIMIT).text
    wanted = ("Command",) if act.kind is Kind.EXEC else ("Path", "Socket", "Address", "Resource")
    found = {fact["label"]: fact["text"] for fact in facts}
    return next((found[label] for label in wanted if label in found), title)


def _grouped(
    facts: Sequence[dict[str, str]],
) -> tuple[tuple[str, tuple[FactView, ...]], ...]:
    groups: dict[str, list[FactView]] = {name: [] for name in _GROUPS}
    for fact in facts:
        label = fact["label"]
        if label not in _ELSEWHERE:
            groups[_group(label)].append(FactView(label, fact["text"], label in _CODE))
    return tuple((name, tuple(found)) for name, found in groups.items() if found)


def _group(label: str) -> str:
    for name, labels in (("Who", _WHO), ("Where", _WHERE), ("Why", _WHY)):
        if label in labels:
            return name
    if label.startswith("Says why"):
        return "Why"
    return "What"


def _branches(lines: Sequence[str]) -> tuple[Branch, ...]:
    """Return the tree with its indent as a number: a style of its own would be an inline style."""
    branches = []
    for number, line in enumerate(lines):
        text = line.lstrip(" ")
        acts = number == len(lines) - 1
        branches.append(
            Branch(min(number, _DEEPEST), text.removeprefix("→ ") if acts else text, acts)
        )
    return tuple(branches)


def _full(act: Act, description: str) -> list[tuple[str, str]]:
    """Return what the card may have cut, whole, but for the arguments."""
    named = (
        ("Program", act.executable),
        ("Called as", act.filename),
        ("Path", act.path),
        (actwords.SECOND.get(act.kind, "Second name"), act.second_path),
        ("Operation", act.operation),
        ("Directory", act.cwd),
    )
    found = [(label, visible(text)) for label, text in named if text]
    for name, value in sorted((act.environment or {}).items()):
        found.append(("Environment", environment_text({name: value}, _WHOLE).text))
    found.append(("Why", visible(description)))
    return found
