"""Commands about requests: pending, show, approve, deny, break-glass, comment."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from collector.cli.answering import find, find_open, one_line, prepare, send_answer, shown_card
from collector.cli.complete import complete_request
from collector.cli.errors import UsageError
from collector.cli.run import Run, command
from collector.cli.words import instant, minutes
from collector.words import clock, count

_USES = 5
_MORE = "there are more: add --after"

IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The request, or the start of its id (6 digits or more).",
        autocompletion=complete_request,
    ),
]
IdsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="ID...",
        help="The requests, or the start of each id (6 digits or more).",
        autocompletion=complete_request,
    ),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", "-r", help="Why; kept in the trail.", metavar="TEXT")
]
DigestOption = Annotated[
    str | None,
    typer.Option(
        "--digest", help="Answer only if the act has this digest, as seen earlier.", metavar="HEX"
    ),
]


class State(StrEnum):
    """Which requests to list."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    ALL = "all"


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (pending, show, approve, deny, comment):
        command(app)(function)
    command(app, "break-glass")(break_glass)


def pending(
    run: Run,
    state: Annotated[State, typer.Option(help="Requests in this state.")] = State.OPEN,
    host: Annotated[str | None, typer.Option(help="Only this host, by name or id.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this watched subject.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only this rule, by id.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Opened since; 30m, 2h, 7d or ISO 8601.", metavar="TIME")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="Go on after this request.", metavar="ID")
    ] = None,
) -> None:
    """List the requests that wait for an answer, newest first."""
    page = run.centre.get(
        "/requests",
        state=state.value,
        host=host,
        subject=subject,
        rule=rule,
        since=instant(since, option="--since"),
        limit=limit,
        after=after,
    )
    if run.json:
        run.print_json(page)
        return
    from collector.cli.tables import print_capped, print_pending

    if not page["requests"]:
        run.note("nothing waits for an answer" if state is State.OPEN else "no such request")
        return
    print_pending(run.console, page["requests"])
    print_capped(run.console, page.get("capped", []))
    if page["next"]:
        run.note(f"{_MORE} {page['next']}")


def show(
    run: Run,
    request: IdArgument,
    full: Annotated[
        bool, typer.Option("--full", help="Also every argument and path, whole.")
    ] = False,
) -> None:
    """Show the card of one request: who, what, where, why and what has happened."""
    found = find(run, request)
    if run.json:
        run.print_json(found)
        return
    from collector.cli.cards import print_card, print_full

    print_card(run.console, found)
    if full:
        print_full(run.console, found)


def approve(
    run: Run,
    requests: IdsArgument,
    reason: ReasonOption = None,
    digest: DigestOption = None,
    lasting: Annotated[
        str | None,
        typer.Option(
            "--for", help="Also let the same act pass again for so long: 15m, 2h.", metavar="TIME"
        ),
    ] = None,
    uses: Annotated[
        int | None, typer.Option(min=1, help="With --for: so many times at most.  [default: 5]")
    ] = None,
    whole_subject: Annotated[
        bool,
        typer.Option(
            "--whole-subject", help="With --for: in every session of the subject on that host."
        ),
    ] = False,
) -> None:
    """Let the process run on; of several requests, each by itself."""
    if lasting is None:
        if uses is not None or whole_subject:
            raise UsageError(
                "usage", "--uses and --whole-subject say more about --for", "add --for 15m"
            )
        _decide(run, requests, "approve", reason, digest)
        return
    grant = {
        "minutes": minutes(lasting, option="--for"),
        "uses": _USES if uses is None else uses,
        "scope": "subject" if whole_subject else "session",
    }
    _decide(run, requests, "approve", reason, digest, grant)


def deny(
    run: Run, requests: IdsArgument, reason: ReasonOption = None, digest: DigestOption = None
) -> None:
    """Refuse the act, and the host kills the process; of several requests, each by itself."""
    _decide(run, requests, "deny", reason, digest)


def break_glass(
    run: Run,
    request: IdArgument,
    reason: Annotated[
        str, typer.Option("--reason", "-r", help="What the emergency is.", metavar="TEXT")
    ],
    digest: DigestOption = None,
) -> None:
    """Let the process run on without the others whom the policy asks; they are told."""
    found = find_open(run, request, digest)
    run.say(f"break the glass for {one_line(found)}")
    body = {"reason": reason, "digest": found["digest"], "via": "cli"} | shown_card(found)
    _print_state(run, run.centre.post(f"/requests/{found['request']}/break-glass", body))


def comment(
    run: Run,
    request: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The remark.")],
) -> None:
    """Leave a remark on a request; it decides nothing."""
    found = find(run, request)
    done = run.centre.post(f"/requests/{found['request']}/comments", {"text": text, "via": "cli"})
    if run.json:
        run.print_json(done)
    run.say(f"commented on {one_line(found)}")


def _decide(
    run: Run,
    prefixes: list[str],
    answer: str,
    reason: str | None,
    digest: str | None,
    grant: dict[str, Any] | None = None,
) -> None:
    if len(prefixes) > 1:
        if digest is not None or grant is not None:
            raise UsageError(
                "usage", "--digest and --for are of one act", "give one request, or leave them out"
            )
        from collector.cli.several import decide_several

        decide_several(run, prefixes, answer, reason)
        return
    found = find_open(run, prefixes[0], digest)
    reason = prepare(run, found, answer, reason)
    done = send_answer(run, found, answer, reason, found["digest"], grant)
    _print_state(run, done)
    if grant is not None and not run.json:
        run.say(_grant_words(done))


def _print_state(run: Run, request: dict[str, Any]) -> None:
    if run.json:
        run.print_json(request)
        return
    from collector.cli.cards import state_words

    run.say(state_words(request))
    if request["state"] == "open" and request["votes"]:
        run.say(f"not decided yet: {request['policy']['missing']} must still approve")


def _grant_words(done: dict[str, Any]) -> str:
    made = done.get("granted")
    if made is None and done["state"] == "open":
        return "no grant yet: one is made if all who still approve do so for a time"
    if made is None:
        return "no grant was made: not everybody who approved did so for a time"
    name = made["grant"][:8]
    return (
        f"grant {name}: the same again passes until {clock(made['expires_ns'])}, "
        f"{count(made['uses'], 'time')} at most; `holdfast grants revoke {name}` ends it"
    )
