"""Commands of `holdfast-collector` about who is let in: tokens, and people who have signed in."""

import time
from pathlib import Path
from typing import Annotated

import typer

from collector import config as configuration
from collector.errors import StateError
from collector.identity.machines import Scope, create_machine_token
from collector.identity.people import Role, TokenKind, create_token, list_tokens, revoke_token
from collector.identity.signed_in import list_people, remove_person

tokens = typer.Typer(help="Tokens of people and machines that use the API.", no_args_is_help=True)
people = typer.Typer(help="People who signed in with the identity provider.", no_args_is_help=True)

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="HOLDFAST_COLLECTOR_CONFIG",
        help="collector.toml, as written by init.",
    ),
]


@tokens.command("create")
def token_create(
    name: Annotated[
        str | None, typer.Option(help="Who it is, best an address: alice@example.com.")
    ] = None,
    role: Annotated[
        Role | None, typer.Option(help="viewer reads; reviewer and admin also decide.")
    ] = None,
    login: Annotated[
        list[str] | None,
        typer.Option(help="A login user on hosts that is this person; may be repeated."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="A group of theirs that policies can name; may be repeated."),
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="Instead of --name: a program, which never decides.")
    ] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What the machine may do; may be repeated.")
    ] = None,
    responsible: Annotated[
        list[str] | None,
        typer.Option(help="Who answers for what the machine asks; may be repeated."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="How long it lives; a person's default: for ever.")
    ] = None,
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Make a token; it is printed this once and kept only as a digest."""
    database = _database(config)
    if machine is not None:
        if name is not None or role is not None or login or group:
            raise StateError(
                "--machine: a machine has no --name, --role, --login or --group; leave them out"
            )
        made = create_machine_token(
            database,
            name=machine,
            scopes=scope or (),
            days=days,
            responsible=responsible or (),
        )
    elif name is None or role is None or scope or responsible:
        raise StateError(
            "token create: give --name and --role for a person, or --machine, --scope and --days"
        )
    else:
        made = create_token(
            database, name=name, role=role, logins=login or (), groups=group or (), days=days
        )
    typer.echo(made)


@tokens.command("list")
def token_list(config: ConfigFile = configuration.DEFAULT_FILE) -> None:
    """List tokens: id, state, role or "machine", name, login users or scopes."""
    now = time.time_ns()
    for token in list_tokens(_database(config)):
        machine = token.kind is TokenKind.MACHINE
        what = token.kind.value if machine else token.role.value
        rest = ",".join(token.scopes if machine else token.logins)
        typer.echo("\t".join((token.id, token.state(now), what, token.name, rest)).rstrip())


@tokens.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As shown by `token list`.")],
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """End a token at once."""
    ended = revoke_token(_database(config), token_id)
    typer.echo(f"{token_id} is revoked" if ended else f"{token_id} was revoked already")


@people.command("list")
def person_list(config: ConfigFile = configuration.DEFAULT_FILE) -> None:
    """List who has signed in: name, role, last time (UTC), groups."""
    for person in list_people(_database(config)):
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(person.signed_in_ns // 10**9))
        columns = (person.name, person.role.value, when, ",".join(person.groups))
        typer.echo("\t".join(columns).rstrip())


@people.command("remove")
def person_remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As shown by `person list`.")],
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Forget a person, and end their sessions, links and tokens of `holdfast login` at once."""
    remove_person(_database(config), name)
    typer.echo(f"{name} is removed; who is still let in by the provider can sign in anew")


def _database(config: Path) -> Path:
    return Path(configuration.load(config).identities.file)
