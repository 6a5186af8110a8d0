"""Completes request ids in the shell: from what is pending, quickly, and silent when it fails.

Shells evaluate what a completion prints, so nothing of the held process's text is in it, and
only plain letters of the rule and host.
"""

import re

import typer

from collector.cli.errors import CliError

_PATIENCE_S = 1.5
_ID = re.compile(r"[0-9a-f]{32}")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._-]")


def complete_request(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return open requests that begin with what was typed, each with its rule and host."""
    from collector.cli.client import Centre
    from collector.cli.settings import find_access
    from collector.cli.words import short

    given = {**ctx.find_root().params, **{k: v for k, v in ctx.params.items() if v}}
    # Standard input belongs to the shell while it completes.
    file = None if given.get("token_file") == "-" else given.get("token_file")
    typed = incomplete.lower()
    try:
        with Centre(find_access(given.get("url"), file), timeout_s=_PATIENCE_S) as centre:
            requests = centre.get("/requests", limit=200)["requests"]
        ids = [str(one["request"]) for one in requests]
        return [
            (max(short(name, ids), typed, key=len), _about(one))
            for name, one in zip(ids, requests, strict=True)
            if name.startswith(typed) and _ID.fullmatch(name)
        ]
    except (CliError, KeyError, TypeError):
        return []


def _about(request: dict[str, dict[str, str]]) -> str:
    return _UNSAFE.sub("_", f"{request['rule']['id']} on {request['host_name']}")[:80]
