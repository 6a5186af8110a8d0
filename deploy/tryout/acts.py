"""The three acts of the demonstration, and how each shows that it has, or has not, happened."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.tryout.board import Board
from deploy.tryout.places import OUTSIDE, USER_HOME

EXPORT = USER_HOME / "outbox" / "customers.csv"
KEY = USER_HOME / ".secrets" / "payment-api.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAct:
    """One act. `happened` looks at the world, not at what Holdfast says of it."""

    task: str
    title: str
    story: str
    rule: str
    before: str  # what is visible while it waits
    after: str  # what is visible once it has happened
    happened: Callable[[Board], bool]


def _key_was_read(board: Board) -> bool:
    ended = board.worker("file", "ended")
    return ended is not None and "not-a-real-key" in ended["output"]


ACTS: tuple[DemoAct, ...] = (
    DemoAct(
        task="command",
        title="a command",
        story="The AI worker runs export-customers --all, a tool that takes the customers out.",
        rule="tryout.customer-export",
        before="not one instruction of it has run: outbox/customers.csv does not exist",
        after="outbox/customers.csv is written",
        happened=lambda board: EXPORT.exists(),
    ),
    DemoAct(
        task="file",
        title="a secret file",
        story="The AI worker opens .secrets/payment-api.key.",
        rule="tryout.payment-key",
        before="the file is open, and the worker has not got one byte of it",
        after="the worker has read the key",
        happened=_key_was_read,
    ),
    DemoAct(
        task="connection",
        title="an outbound connection",
        story=f"The AI worker connects to {OUTSIDE}, which here stands for an address outside.",
        rule="tryout.upload",
        before="the connection is started, and not one byte of the report has left",
        after="the report has arrived",
        happened=lambda board: board.received() > 0,
    ),
)
