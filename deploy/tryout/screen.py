"""Draws a card, as the collector has rendered it, on the terminal."""

import textwrap

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.tryout.board import Facts

_COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "cyan", "info": "blue"}


def draw_card(console: Console, card: Facts) -> None:
    """Print the card; its text is sanitised already, and none of it is read as markup."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for fact in card["facts"]:
        facts.add_row(Text(fact["label"]), Text(fact["text"]))
    facts.add_row(Text("Process tree"), Text("\n".join(_watched_part(card["tree"]))))
    colour = _COLOURS.get(card["severity"], "white")
    body = Group(
        facts,
        Text(""),
        Text(card["happened"], style="bold"),
        Text(card["guarantee"]),
    )
    console.print(
        Panel(
            body,
            title=Text(card["title"], style="bold"),
            title_align="left",
            subtitle=Text(f"{card['severity']}, {card['state_line']}"),
            subtitle_align="left",
            border_style=colour,
        )
    )


def _watched_part(tree: list[str]) -> list[str]:
    """Return the tree from the parent of the first watched process on; the rest is the machine's.

    The command line and the API show all of it.
    """
    first = next((n for n, line in enumerate(tree) if "(first watched)" in line), 0)
    above = max(first - 1, 0)
    part = textwrap.dedent("\n".join(tree[above:])).splitlines()
    return [f"… below {above} others", *part] if above else part
