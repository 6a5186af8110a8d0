"""The settings that a case runs under, and the rules of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.approver import Approver
from tests.support.deputy import Deputy
from tests.support.house import House, house, place_for_all
from tests.support.inside import PATIENCE
from wire.acts import Kind

OBSERVE, HOLD = "observe", "hold then approve"
SETTINGS = (OBSERVE, HOLD)

# Everything that the watched user does, whatever and wherever.
_ALL = {
    "exec": "path: '/**'",
    "open": "path: ['/**', '[[]io_uring]']",
    "connect": "address: [0.0.0.0/0, '::/0']",
    "create": "path: '/**'",
    "truncate": "path: '/**'",
    "delete": "path: '/**'",
    "rename": "path: '/**'",
    "link": "path: '/**'",
    "symlink": "path: '/**'",
    "chmod": "path: '/**'",
    "chown": "path: '/**'",
    "mount": "operation: '*'",
    "listen": "address: [0.0.0.0/0, '::/0']",
    "trace": "operation: '*'",
    "identity": "operation: '*'",
    "bpf": "operation: '*'",
    "namespace": "operation: '*'",
}
# What a case does in its own directory, with the sockets of this host, and what has no place.
_OF_A_CASE = {
    **_ALL,
    "exec": "cwd: ['{work}/**']",
    **dict.fromkeys(
        ("create", "truncate", "delete", "rename", "link", "symlink", "chmod", "chown"),
        "path: '{work}/**'",
    ),
    "open": "path: ['{work}/**', '[[]io_uring]']",
    "connect": "address: [127.0.0.0/8, '::1']",
    "listen": "address: [127.0.0.0/8, '::1']",
}
_SOCKETS = {OBSERVE: "'**'", HOLD: "['{work}/**', '@holdfast-test-*']"}


@dataclass(frozen=True, slots=True)
class Watching:
    """A Holdfast that watches under one setting. `person` approves what is asked."""

    setting: str
    home: House
    mode: str
    person: Approver | Deputy


def rules(setting: str, work: Path) -> str:
    """Return the rules of a setting, for every kind of act that rules can be about."""
    conditions = _ALL if setting == OBSERVE else _OF_A_CASE
    action = "observe" if setting == OBSERVE else "ask"
    known = {str(kind) for kind in Kind}
    told = [(kind, kind, text) for kind, text in conditions.items() if kind in known]
    told.append(("sockets", "connect", f"path: {_SOCKETS[setting]}"))
    return "rules:\n" + "".join(
        f"""
  - id: transparency.{name}
    description: The {name} of a case.
    severity: low
    match: {{{kind}: {{{text.replace("{work}", str(work))}}}}}
    action: {action}
"""
        for name, kind, text in told
    )


@contextmanager
def watching(setting: str, work: Path) -> Iterator[Watching]:
    """Have a whole Holdfast with the rules of a setting; `work` is where the cases run."""
    with place_for_all() as place, house(place, rules(setting, work), keys=_MORE) as home:
        assert home.agent is not None
        ready = dict(
            word.split("=", 1) for word in home.agent.wait_for("ready host=").split() if "=" in word
        )
        with (Approver if PATIENCE == 1 else Deputy)(home) as person:
            yield Watching(setting, home, ready["mode"], person)


# A case may act many times at once, and what comes beyond the limit is denied.
_MORE = "holds_per_session = 200\nholds_per_subject = 400\n"
