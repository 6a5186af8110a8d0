"""Answers requests as they were shown: finds one, asks for a reason, and names its act and card."""

import sys
from typing import Any

from collector.cli.errors import CliError, OverError, UsageError
from collector.cli.run import Run
from collector.cli.words import check_prefix


def find(run: Run, prefix: str) -> dict[str, Any]:
    """Return a request by the start of its id."""
    route = f"/requests/{check_prefix(prefix)}"
    return run.centre.get(route)


def find_open(run: Run, prefix: str, digest: str | None) -> dict[str, Any]:
    """Return a request that waits, about the act of that digest if one is given."""
    found = find(run, prefix)
    if found["state"] != "open":
        raise _over(found)
    if digest is not None and digest != found["digest"]:
        raise CliError(
            "digest_mismatch",
            f"request {found['request']} is about the act {found['digest']}, not {digest}",
            "look at it with `holdfast show` and answer what it shows",
            {"digest": found["digest"]},
        )
    return found


def prepare(run: Run, found: dict[str, Any], answer: str, reason: str | None) -> str:
    """Say what is about to be answered; return the reason, asked for if one is needed."""
    run.say(f"{answer} {one_line(found)}")
    if hidden := found["card"]["hidden_bytes"]:
        run.note(f"{hidden} bytes of it are not on its card; see `holdfast show --full`")
    # Who may not decide is told so by the centre, and not asked for a reason first.
    if not reason and found["policy"]["reason_required"] and found["may_decide"]["allowed"]:
        reason = _ask_reason(run, found)
    return reason or ""


def send_answer(
    run: Run,
    request: dict[str, Any],
    answer: str,
    reason: str,
    digest: str,
    grant: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Answer a request as it was shown; return it as it stands then, or raise CliError."""
    body: dict[str, Any] = {"answer": answer, "reason": reason, "digest": digest, "via": "cli"}
    body |= shown_card(request)
    if grant is not None:
        body["grant"] = grant
    return run.centre.post(f"/requests/{request['request']}/decision", body)


def shown_card(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what names the card of a request or session in an answer to it.

    Nothing where the collector gives no digest of it: an older one takes none either.
    """
    digest = shown.get("card_digest")
    return {"card": digest} if digest else {}


def one_line(request: dict[str, Any]) -> str:
    """Return what a request is about, safe to print."""
    from collector.sanitize import harmless, visible

    rule = request["rule"]
    return (
        f"{request['request'][:8]}: {harmless(request['card']['title'])} "
        f"on {visible(request['host_name'])} (rule {visible(rule['id'])}, {rule['severity']})"
    )


def _over(request: dict[str, Any]) -> OverError:
    decision = request["decision"] or {}
    extra = {
        "request": request["request"],
        "state": request["state"],
        "decided_by": decision.get("by"),
        "answer": decision.get("answer"),
        "decided_ns": decision.get("time_ns"),
        "reason": decision.get("reason"),
    }
    decided = request["state"] in ("approved", "denied")
    code = "already_decided" if decided else request["state"]
    line = request["card"]["state_line"]
    return OverError(
        code,
        f"request {request['request'][:8]} is not open: {line}",
        "nothing is left to decide",
        extra,
    )


def _ask_reason(run: Run, request: dict[str, Any]) -> str:
    if not run.json and run.is_interactive():
        sys.stdout.write("reason: ")
        sys.stdout.flush()
        if reason := sys.stdin.readline().strip():
            return reason
    raise UsageError(
        "reason_required",
        f"policy {request['policy']['id']} asks for a reason; nothing was decided",
        "add --reason TEXT",
    )
