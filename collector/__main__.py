"""`holdfast-collector`: sets up the centre, admits people and hosts, and runs the daemon."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from collector import admin
from collector import config as configuration
from collector.admin import ConfigFile
from collector.backup import commands
from collector.errors import CollectorError
from collector.redact import REDACTOR
from collector.trail.retention.commands import retention
from wire.messages import Severity
from wire.redaction.logs import redact_logs

app = typer.Typer(
    name="holdfast-collector",
    help="The centre of Holdfast: takes in what hosts report, asks people, keeps the trail.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(admin.tokens, name="token")
app.add_typer(admin.people, name="person")
app.command()(commands.backup)
app.command()(commands.restore)
app.command()(retention)


@app.command()
def init(
    state: Annotated[Path, typer.Option(help="Directory for keys, configuration and the trail.")],
    nats_port: Annotated[int, typer.Option(help="Port that nats-server will listen on.")] = 4222,
    nats_host: Annotated[str, typer.Option(help="Address for nats-server.")] = "127.0.0.1",
    monitor_port: Annotated[
        str, typer.Option(help="Monitoring port of nats-server on loopback, or none.")
    ] = "none",
    api_listen: Annotated[str, typer.Option(help="Address of the API.")] = "127.0.0.1:8420",
) -> None:
    """Make keys, the configuration of nats-server and collector.toml; replaces nothing."""
    from collector.setup import CONFIG_NAME
    from collector.setup import init as make

    if monitor_port != "none" and not monitor_port.isdigit():
        _fail(f"--monitor-port {monitor_port!r}: give a port or none")
    made = make(
        state,
        nats_host=nats_host,
        nats_port=nats_port,
        monitor_port=None if monitor_port == "none" else int(monitor_port),
        api_listen=api_listen,
    )
    state = state.resolve()
    for path in made:
        typer.echo(f"made {path}")
    if not made:
        typer.echo(f"{state} is complete already; nothing was changed")
    typer.echo(f"next: nats-server -c {state / 'nats' / 'nats.conf'}")
    typer.echo(f"then: holdfast-collector run --config {state / CONFIG_NAME}")


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="What people call the host.")],
    out: Annotated[Path | None, typer.Option(help="The bundle; default NAME.bundle.toml.")] = None,
    nats_url: Annotated[
        str, typer.Option(help="How the host reaches NATS, if not as the collector does.")
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(help="A label that policies can name, as env=production; may be repeated."),
    ] = None,
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Admit a host: give it an id and a key, and write the bundle that its agent needs."""
    from collector.enrol import enrol
    from collector.identity.hosts import read_labels

    done = enrol(
        configuration.load(config),
        name=name,
        bundle=out or Path(f"{name}.bundle.toml"),
        nats_url=nats_url,
        labels=read_labels(label or ()),
    )
    typer.echo(f"enrolled {name} as {done.host}")
    typer.echo(f"bundle: {done.bundle} (a secret; give it to holdfast-agent on that host)")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)


@app.command("try-channel")
def try_channel(
    route: Annotated[str, typer.Argument(help="For example teams:approvals or webhook:siem.")],
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Show a card that asks nothing, to see that a channel is set up as it must be."""
    from collector.channels.trial import try_route

    asyncio.run(try_route(configuration.load(config), route))
    typer.echo(f"accepted: look for the card at {route}")


@app.command()
def label(
    host: Annotated[str, typer.Argument(help="Id or enrolled name.")],
    labels: Annotated[
        list[str] | None, typer.Argument(help="All of them: env=production ...")
    ] = None,
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Give a host its labels, in place of those that it has; SIGHUP tells a running collector."""
    from collector.identity.hosts import read_labels, set_labels

    set_labels(Path(configuration.load(config).identities.file), host, read_labels(labels or ()))
    typer.echo(f"{host}: {' '.join(labels or ()) or 'no labels'}")


@app.command("check-policy")
def check_policy(
    file: Annotated[Path, typer.Argument(help="An approval policy file.")],
) -> None:
    """Say what is wrong in an approval policy, with line and remedy; nothing is put in force."""
    from collector.policy.load import load

    found = load(file)
    typer.echo(f"{file}: {len(found.policies)} policies, nothing wrong")


@app.command("explain-policy")
def explain_policy(
    rule: Annotated[str, typer.Option(help="The id of the rule that asks.")],
    host: Annotated[str, typer.Option(help="The enrolled name of the host.")] = "",
    subject: Annotated[str, typer.Option(help="The name of the watched subject.")] = "",
    severity: Annotated[Severity, typer.Option(help="Of the rule.")] = Severity.MEDIUM,
    label: Annotated[
        list[str] | None, typer.Option(help="A label of the host, as env=production; repeatable.")
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="A policy file; default: the one of collector.toml.")
    ] = None,
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Say which policy a request would get: who is asked, when it escalates, where it is shown.

    With collector.toml, labels are those that the host has, unless some are given.
    """
    from collector.identity.hosts import list_hosts, read_labels
    from collector.policy.explain import explain
    from collector.policy.load import load
    from collector.policy.model import ONE_REVIEWER

    labels = read_labels(label or ())
    policies = ONE_REVIEWER
    if file is not None:
        policies = load(file)
    else:
        settings = configuration.load(config)
        if settings.approvals.policy_file:
            policies = load(Path(settings.approvals.policy_file))
        known = {one.name: one for one in list_hosts(Path(settings.identities.file))}
        if host and host not in known:
            _fail(f"no host {host[:80]!r} is enrolled; `holdfast hosts` lists them")
        labels = labels or (dict(known[host].labels) if host else {})
    typer.echo(
        explain(policies, host=host, labels=labels, rule=rule, severity=severity, subject=subject)
    )


@app.command()
def run(config: ConfigFile = configuration.DEFAULT_FILE) -> None:
    """Run the daemon until SIGTERM or SIGINT; prints one line `ready api=URL` when it is."""
    import uvloop

    from collector import daemon

    settings = configuration.load(config)
    logging.basicConfig(
        level=settings.log.level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    redact_logs(REDACTOR)
    # They repeat what the collector says itself, connection by connection.
    for noisy in ("uvicorn.error", "uvicorn.access", "asyncio", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A fifth less processor time for each answer than the loop of Python's own.
    uvloop.run(daemon.run(settings))


def main() -> None:
    """Run the command line; an error is one line on stderr and exit code 1."""
    try:
        app()
    except CollectorError as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    typer.echo(f"holdfast-collector: {text}", err=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
