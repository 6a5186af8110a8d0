"""`holdfast ask`: asks for approval, waits for the end of it, and says it by an exit code.

Whatever goes wrong is no approval: 0 means that people approved, and nothing else does.
"""

import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer

from collector.cli.errors import AccessError, CliError, NotFoundError, UnreachableError, UsageError
from collector.cli.run import Run, command

APPROVED, DENIED, EXPIRED, WITHDRAWN = 0, 3, 4, 5
_EXITS = {"approved": APPROVED, "denied": DENIED, "expired": EXPIRED, "cancelled": WITHDRAWN}
_UNKNOWN = 1
_WAIT_S = 20
_AGAIN_S = 2.0
# How long after the deadline the end may still be on its way.
_LATEST_S = 120.0
_SPAN = re.compile(r"([1-9][0-9]{0,6})([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app)(ask)


def ask(
    run: Run,
    action: Annotated[str, typer.Option(help="A word for what is done, as deploy.")],
    resource: Annotated[str, typer.Option(help="What it is done to, as production/web.")],
    why: Annotated[str, typer.Option(help="Why; reviewers see it as your claim.")],
    severity: Annotated[
        str, typer.Option(help="info, low, medium, high or critical, within the centre's bounds.")
    ] = "medium",
    timeout: Annotated[
        str | None,
        typer.Option(help="How long to wait: 90s, 30m, 2h; default: the centre's.", metavar="TIME"),
    ] = None,
    detail: Annotated[
        list[str] | None,
        typer.Option(help="A fact for the reviewer; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    on_behalf_of: Annotated[
        list[str] | None,
        typer.Option(
            "--for", help="Who has it asked; may not approve it. May be repeated.", metavar="PERSON"
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Sent again with the same key it is the same ask.", metavar="TEXT"),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Print the id and do not wait.")
    ] = False,
) -> None:
    """Ask for approval and wait: exit 0 approved, 3 denied, 4 expired, 5 withdrawn."""
    from wire.redaction.redactor import Redactor

    redactor = Redactor()
    body = {
        "action": action,
        "resource": redactor.text(resource),
        "why": redactor.text(why),
        "severity": severity,
        "timeout_s": None if timeout is None else _seconds(timeout),
        "details": redactor.variables(_details(detail or [])),
        "on_behalf_of": on_behalf_of or [],
    }
    try:
        found = _asked(run, body, key, wait=not no_wait)
    except (AccessError, NotFoundError) as error:
        # Their own exit codes say here how an ask has ended.
        raise CliError(error.code, error.message, error.remedy, error.extra) from error
    if run.json:
        run.print_json(found)
    elif no_wait:
        sys.stdout.write(f"{found['ask']}\n")
    else:
        _tell(run, found)
    if not no_wait:
        raise typer.Exit(_EXITS.get(found["state"], _UNKNOWN))


def _asked(run: Run, body: dict[str, Any], key: str | None, *, wait: bool) -> dict[str, Any]:
    """Return the ask, with `wait` once it has ended; withdraw it if this command ends before."""
    found = None
    try:
        with _end_put_off():
            found = _open(run, body, key)
        return _wait(run, found) if wait else found
    except BaseException:
        if found is not None:
            _withdraw(run, found)  # nobody waits for it any more: nobody need decide it
        raise


@contextmanager
def _end_put_off() -> Iterator[None]:
    """Put Ctrl-C and SIGTERM off until it is known which ask it is; a second one counts at once."""
    ended: list[int] = []

    def later(number: int, frame: FrameType | None) -> None:
        if ended:
            raise KeyboardInterrupt
        ended.append(number)

    signals = (signal.SIGINT, signal.SIGTERM)
    for one in signals:
        signal.signal(one, later)
    try:
        yield
    finally:
        for one in signals:
            signal.signal(one, _interrupted)
    if ended:
        raise KeyboardInterrupt


def _open(run: Run, body: dict[str, Any], key: str | None) -> dict[str, Any]:
    """Open the ask; if it is not known whether it was stored, send it again with the same key."""
    import secrets

    own = secrets.token_hex(16)
    body = {**body, "key": key or own}
    for _ in range(3):
        try:
            return run.centre.post("/asks", body)
        except UnreachableError as error:
            if error.code != "answer_unconfirmed":
                raise
            last = error
            time.sleep(_AGAIN_S)
        except CliError as error:
            # Our own earlier sending was stored, and decided before we heard of it.
            if error.code == "ask_over" and key is None:
                return run.centre.get(f"/asks/{error.extra['ask']}")
            raise
    raise last


def _wait(run: Run, found: dict[str, Any]) -> dict[str, Any]:
    """Return the ask once it has ended."""
    _announce(run, found)
    left_s = max(0, found["deadline_ns"] - found["opened_ns"]) / 1e9
    latest = time.monotonic() + left_s + _LATEST_S
    while found["state"] == "open":
        try:
            found = run.centre.get(f"/asks/{found['ask']}", wait=_WAIT_S)
        except UnreachableError:
            if time.monotonic() > latest:
                raise
            time.sleep(_AGAIN_S)
    return found


def _withdraw(run: Run, found: dict[str, Any]) -> None:
    try:
        run.centre.post(f"/asks/{found['ask']}/withdraw", {})
        run.note("withdrawn")
    except CliError as error:
        run.fail(error)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _announce(run: Run, found: dict[str, Any]) -> None:
    from collector.sanitize import visible

    run.note(f"asked as {found['ask'][:8]}: {visible(found['link'])}")
    if found["state"] != "open":
        return
    if unknown := found.get("unknown"):
        names = visible(", ".join(unknown))
        run.note(f"nobody who is known is {names}: they are not kept from approving it themselves")
    if found["stuck"]:
        run.note(f"nobody may approve it: {visible(found['stuck'])}")
    else:
        run.note(f"waiting: {visible(found['missing'])} must approve")


def _tell(run: Run, found: dict[str, Any]) -> None:
    from collector.sanitize import harmless, visible

    reason = f": {visible(found['reason'])}" if found["reason"] else ""
    run.say(harmless(found["state_line"]) + reason)


def _seconds(text: str) -> int:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            "bad_time",
            f"--timeout {text[:64]!r} is not a length of time",
            "give 90s, 30m, 2h or 1d",
        )
    return int(match[1]) * _UNITS[match[2]]


def _details(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise UsageError(
                "bad_detail", f"--detail {text[:80]!r}", "give each as NAME=VALUE, each name once"
            )
        found[name] = value
    return found
