"""Commands about oneself: login, logout, whoami, completion."""

import getpass
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from collector.cli.errors import AccessError
from collector.cli.run import Run, command
from collector.cli.settings import (
    Access,
    check_token,
    config_file,
    find_url,
    forget,
    read_token,
    store,
)


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (login, logout, whoami, completion):
        command(app)(function)


def login(
    run: Run,
    device: Annotated[
        bool | None,
        typer.Option(
            "--device/--token",
            help="Sign in at the identity provider, or give a token.",
        ),
    ] = None,
) -> None:
    """Sign in, and store the centre's address and your token after trying them.

    Where the centre has an identity provider, you sign in there. Otherwise the token is asked
    for, or read from --token-file or from standard input.
    """
    url = find_url(run.url)
    if run.token_file:
        token = read_token(run.token_file)
    elif _at_provider(url, device):
        from collector.cli.device import sign_in

        token = sign_in(run, url)
    elif sys.stdin.isatty():
        token = check_token(getpass.getpass(f"token for {url}: "), place="what you typed")
    else:
        token = read_token("-")
    access = Access(url, token, "login")
    me = _who(access)
    path = config_file()
    store(access, path)
    if run.json:
        run.print_json({**me, "url": url, "file": str(path)})
    run.say(f"signed in to {url} as {_shown(me)}; stored in {path}")


def logout(run: Run) -> None:
    """End the token that `holdfast login` got at the identity provider, and forget it."""
    access = run.access()
    ended = False
    try:
        ended = run.centre.post("/auth/logout", {})["ended"] is True
    except AccessError as error:
        if error.code != "unauthorized":
            raise
    gone = forget(config_file())
    if run.json:
        run.print_json({"ended": ended, "forgotten": gone, "url": access.url})
    what = "the token is ended" if ended else "the token was an administrator's, or over already"
    where = f"forgotten in {config_file()}" if gone else f"it is in {access.source}"
    run.say(f"signed out of {access.url}: {what}; {where}")


def whoami(run: Run) -> None:
    """Say who the token makes you, and where it comes from."""
    access = run.access()
    me = run.centre.get("/whoami")
    if run.json:
        run.print_json({**me, "url": access.url, "source": access.source})
    run.say(f"{_shown(me)} at {access.url} (token from {access.source})")


def completion(
    run: Run,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell: bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell, for packages; see also --install-completion."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(
        prog_name="holdfast", complete_var="_HOLDFAST_COMPLETE", shell=shell.value
    )
    if run.json:
        run.print_json({"shell": shell.value, "script": script})
    else:
        sys.stdout.write(script + "\n")


def _at_provider(url: str, device: bool | None) -> bool:
    """Say whether to sign in at the provider: if told so, or if a person is there and it offers."""
    if device is not None:
        return device
    from collector.cli.device import offers_sign_in

    return sys.stdin.isatty() and offers_sign_in(url)


def _who(access: Access) -> dict[str, Any]:
    from collector.cli.client import Centre

    with Centre(access) as centre:
        return centre.get("/whoami")


def _shown(me: dict[str, Any]) -> str:
    from collector.sanitize import visible

    logins = ", ".join(map(visible, me["logins"])) or "none"
    return f"{visible(me['name'])}, {visible(me['role'])} (login users: {logins})"
