"""A request on a terminal: its card, in full or brief, its full text, and its summary.

The try-out uses this as well. It trusts nobody's text: whatever comes from the API is made
harmless once more, and none of it is ever read as markup.
"""

import re
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from collector.sanitize import clean, harmless, visible
from collector.words import clock, count, left

COLOURS = {
    "info": "cyan",
    "low": "cyan",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}
_WHOLE = 1 << 24
_DEEPEST_INDENT = 20
_PLACE_LIMIT = 60
# The badge beside the title says it.
_SAID_ELSEWHERE = ("Severity",)
# What identifies rather than explains; one key away while a question stands.
_FOR_THE_FULL_TEXT = ("Arguments", "Session")
_FILE = re.compile(r" \(device \d+:\d+, inode \d+\)")


def print_card(console: Console, request: dict[str, Any], *, brief: bool = False) -> None:
    """Print a request as the API gives it (with its `card`), as wide as the terminal.

    A `brief` card is for a question: ids, digests, inodes and the values of the environment are
    behind its key for the full text.
    """
    card = request["card"]
    console.print(Rule(style="dim"))
    console.print(_headline(card), overflow="fold")
    table = _grid()
    if not brief:
        _identity(table, request)
    _row(table, "State", _state(request), "bold")
    for fact in card["facts"]:
        if fact["label"] in _SAID_ELSEWHERE or (brief and fact["label"] in _FOR_THE_FULL_TEXT):
            continue
        text = _in_brief(fact, request["act"]) if brief else fact["text"]
        if (
            brief
            and fact["label"] == "File"
            and {"label": "Program", "text": text} in card["facts"]
        ):
            continue  # only its inode was news
        _row(table, harmless(fact["label"]), harmless(text))
    if card["tree"]:
        table.add_row(Text("Processes"), _tree(card["tree"]))
    _row(table, "Happened", harmless(card["happened"]), "bold")
    _row(table, "Promise", harmless(card["guarantee"]))
    if not brief:
        _row(table, "Digest", harmless(card["digest"]))
        _row(table, "Card", visible(request.get("card_digest") or "no digest of it"))
    _asked(table, request)
    for comment in request["comments"]:
        said = f"{visible(comment['by'])}, {clock(comment['time_ns'])}: {visible(comment['text'])}"
        _row(table, "Comment", said)
    console.print(table)
    if card["hidden_bytes"]:
        warn_hidden(console, request)


def print_summary(console: Console, request: dict[str, Any]) -> None:
    """Print who, what, where and how long in few lines, for right above a question."""
    act = request["act"]
    place = f"in {clean(act['cwd'], _PLACE_LIMIT).text}" if act["cwd"] else ""
    if act["kind"] != "exec":
        place = f"by {clean(act['executable'] or act['process']['comm'], _PLACE_LIMIT).text}"
    rest = left(request["deadline_ns"], time.time_ns())
    until = f"{rest} left" if request["deadline_ns"] else rest
    where = f"{visible(request['request'])[:8]} on {clean(request['host_name'], 40).text} {place}"
    console.print(_headline(request["card"]), overflow="fold")
    console.print(Text.assemble(where.rstrip(), ", ", (until, "bold")), overflow="fold")


def print_full(console: Console, request: dict[str, Any]) -> None:
    """Print what the card may have cut, whole: each argument and variable, and the paths."""
    from collector.commandtext import argument_lines, environment_text

    act = request["act"]
    argv = act["argv"] if act["kind"] == "exec" else act["process"]["argv"]
    table = _grid()
    for number, argument in enumerate(argument_lines(argv)):
        _row(table, f"Argument {number}", argument)
    for label, name in (("Program", "executable"), ("Called as", "filename")):
        if act[name]:
            _row(table, label, visible(act[name]))
    second = (("Second name", "second_path"), ("Operation", "operation"))
    for label, name in (("Path", "path"), *second, ("Directory", "cwd")):
        if act[name]:
            _row(table, label, visible(act[name]))
    for name, value in sorted((act.get("environment") or {}).items()):
        _row(table, "Environment", environment_text({name: value}, _WHOLE).text)
    _row(table, "Why", visible(request["rule"]["description"]))
    console.print(table)
    if any(act[f"{part}_cut"] for part in ("argv", "path", "second_path", "addresses")):
        console.print(
            Text("The host itself could not read all of it; that part is in no record.", "bold red")
        )


def state_words(request: dict[str, Any]) -> str:
    """Return where a request with a card stands, as the card says it."""
    return harmless(str(request["card"]["state_line"]))


def warn_hidden(console: Console, request: dict[str, Any]) -> None:
    """Print that the card lacks something, and where to read it."""
    hidden = count(request["card"]["hidden_bytes"], "byte")
    words = f"{hidden} not shown: read the full text with f, or `holdfast show --full"
    console.print(
        Text(f"{words} {visible(request['request'])[:8]}`, before you approve", "bold red")
    )


def print_left_out(console: Console, request: dict[str, Any]) -> None:
    """Print what a brief card lacks, but for what `print_full` prints whole."""
    card = request["card"]
    table = _grid()
    _identity(table, request)
    for fact in card["facts"]:
        if fact["label"] in _FOR_THE_FULL_TEXT or _FILE.search(fact["text"]):
            _row(table, harmless(fact["label"]), harmless(fact["text"]))
    _row(table, "Digest", harmless(card["digest"]))
    console.print(table)


def _headline(card: dict[str, Any]) -> Text:
    severity = harmless(str(card["severity"]))
    badge = (f" {severity} ", COLOURS.get(severity, "bold"))
    return Text.assemble(badge, " ", (harmless(card["title"]), "bold"))


def _identity(table: Table, request: dict[str, Any]) -> None:
    _row(table, "Request", f"{visible(request['request'])}, opened {clock(request['opened_ns'])}")


def _in_brief(fact: dict[str, str], act: dict[str, Any]) -> str:
    """Return a fact's text without what the full text has: values of variables, inodes."""
    if fact["label"] == "Environment" and act.get("environment"):
        return ", ".join(map(visible, sorted(act["environment"]))) + " (f shows the values)"
    if act.get("inode") and (found := list(_FILE.finditer(fact["text"]))):
        # The last one is the card's own; whatever is before it is part of the file's name.
        return fact["text"][: found[-1].start()] + fact["text"][found[-1].end() :]
    return fact["text"]


def _tree(lines: Sequence[str]) -> Group:
    """Return the process tree, each line folded under its own beginning."""
    shown = []
    for line in lines:
        safe = harmless(line)
        indent = min(len(safe) - len(safe.lstrip(" ")), _DEEPEST_INDENT)
        text = Text(safe.lstrip(" "), overflow="fold")
        shown.append(Padding(text, (0, 0, 0, indent), expand=False))
    return Group(*shown)


def _time(vote: dict[str, Any]) -> str:
    """Return for which time an approval is; empty if for this once."""
    wanted = vote.get("grant")
    if not wanted:
        return ""
    whom = ", every session of the subject" if wanted["scope"] == "subject" else ""
    return f" for {count(wanted['minutes'], 'minute')}, {count(wanted['uses'], 'use')}{whom}"


def _asked(table: Table, request: dict[str, Any]) -> None:
    """Add who has voted, and who is still asked."""
    for vote in request["votes"]:
        said = f"{visible(vote['by'])}: {vote['answer']}{_time(vote)} at {clock(vote['time_ns'])}"
        _row(table, "Vote", said + (f": {visible(vote['reason'])}" if vote["reason"] else ""))
    policy = request["policy"]
    if request["state"] == "open":
        _row(table, "Asked", f"{visible(policy['missing'])} (policy {visible(policy['id'])})")
        if policy["stuck"]:
            _row(table, "Attention", f"nobody may approve it: {visible(policy['stuck'])}", "bold")
        if unknown := policy.get("unknown"):
            names = visible(", ".join(unknown))
            _row(table, "Attention", f"asked by nobody who is known: {names}; is it you?", "bold")


def _state(request: dict[str, Any]) -> str:
    words = state_words(request)
    if request["state"] == "open" and request["deadline_ns"]:
        words += f" ({left(request['deadline_ns'], time.time_ns())} left)"
    return words


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _row(table: Table, label: str, text: str, style: str = "") -> None:
    table.add_row(Text(label), Text(text, style, overflow="fold"))
