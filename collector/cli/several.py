"""Answers several requests with one command: all are looked at first, then each has its result."""

from typing import Any

from collector.cli.answering import find_open, prepare, shown_card
from collector.cli.client import refused
from collector.cli.errors import CliError
from collector.cli.run import Run


def decide_several(run: Run, prefixes: list[str], answer: str, reason: str | None) -> None:
    """Answer every request; raise CliError before any is answered if one cannot be found or is
    not open, and after all are if one was refused, with the exit code of the first refusal."""
    answers: dict[str, dict[str, Any]] = {}
    for prefix in prefixes:
        found = find_open(run, prefix, None)
        if found["request"] in answers:
            continue
        # A reason that was typed for the first holds for the others too.
        reason = prepare(run, found, answer, reason)
        answers[found["request"]] = {
            "request": found["request"],
            "answer": answer,
            "reason": reason,
            "digest": found["digest"],
        } | shown_card(found)
    body = {"answers": list(answers.values()), "via": "cli"}
    tell_results(run, run.centre.post("/requests/decisions", body))


def tell_results(run: Run, done: dict[str, Any]) -> None:
    """Say what came of each answer; raise CliError if one was refused, as `decide_several` does."""
    if run.json:
        run.print_json(done)
    failures = [error for one in done["results"] if (error := _result(run, one)) is not None]
    if failures:
        raise type(failures[0])(
            "some_refused",
            f"{len(failures)} of {len(done['results'])} answers were refused",
            "the others stand; see above for each",
            {"refused": [one["request"] for one in done["results"] if one["error"]]},
        )


def _result(run: Run, result: dict[str, Any]) -> CliError | None:
    from collector.cli.cards import state_words
    from collector.sanitize import harmless

    short = result["request"][:8]
    if result["error"] is not None:
        error = refused(result["error"], result["status"])
        run.say(f"{short} refused: {harmless(error.message)}")
        return error
    request = result["result"]
    run.say(f"{short} {state_words(request)}")
    if request["state"] == "open" and request["votes"]:
        run.say(f"{short} not decided yet: {request['policy']['missing']} must still approve")
    return None
