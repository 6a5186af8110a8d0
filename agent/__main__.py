"""holdfast-agent: the command, and the one place that knows which sensor is used."""

import argparse
import asyncio
import io
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agent import commands, control, emergency, identity, offline
from agent.config import DEFAULT_CONFIG, DEFAULT_IDENTITY, AgentConfig, load
from agent.daemon import Daemon, Events, tell_systemd
from agent.errors import AgentError, NotRunningError
from agent.rulings import RuleBook
from agent.sensor.interface import Sensor
from agent.transport.sender import EventSender
from rules.errors import RulesError
from rules.modes import HostMode
from wire.redaction.logs import redact_logs
from wire.redaction.redactor import Redactor
from wire.release import installed_version

OK, FAILED, NOT_RUNNING = 0, 1, 3  # argparse itself exits with 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Errors are one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        # Names of files and users need not be text; to name them must not fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    redact_logs(Redactor())
    try:
        code: int = options.run(options)
    except NotRunningError as error:
        print(f"holdfast-agent: {error}", file=sys.stderr)
        return NOT_RUNNING
    except (AgentError, RulesError) as error:
        print(f"holdfast-agent: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED
    return code


def _left(config: AgentConfig) -> Sensor:
    from agent.sensor.choose import left_sensor

    return left_sensor(config)


def _events(sensor: Sensor, book: RuleBook, sender: EventSender, redactor: Redactor) -> Events:
    from agent.events import EventPipeline

    return EventPipeline(sensor, book, sender.add, redactor)


def _run(options: argparse.Namespace) -> int:
    from agent.sensor.choose import choose, sensor_of

    config = load(options.config)
    sensor = sensor_of(choose(config.mode), config)

    def ready(line: str) -> None:
        print(line, flush=True)
        tell_systemd("READY=1")

    async def work() -> None:
        daemon = Daemon(
            config,
            sensor,
            mode=HostMode(sensor.mode),
            make_events=_events,
            unload_on_exit=options.unload_on_exit,
        )
        await daemon.run(ready)

    asyncio.run(work())
    return OK


def _check(options: argparse.Namespace) -> int:
    return commands.check(options.config, sys.stdout, _mode(options.config))


def _mode(config: Path) -> HostMode:
    """Return the mode that an agent with this configuration would work in, as far as is known."""
    from agent.sensor.choose import choose

    try:
        return choose(load(config).mode).mode
    except AgentError:  # it is told where the configuration is checked, or needs root to be tried
        return HostMode.STOP


def _doctor(options: argparse.Namespace) -> int:
    return commands.doctor(options.config, sys.stdout, as_json=options.json)


def _status(options: argparse.Namespace) -> int:
    answer = control.ask(load(options.config).socket, {"do": "status"})
    if options.json:
        print(json.dumps({name: value for name, value in answer.items() if name != "ok"}))
    else:
        commands.show_status(answer, sys.stdout)
    return OK


def _release(options: argparse.Namespace) -> int:
    # What is not UTF-8 is kept as escapes: nothing may stand in the way of this exit.
    reason = os.fsencode(options.reason).decode("utf-8", "backslashreplace").strip()
    if not reason:
        raise AgentError("--reason: is empty; say why, it goes into the trail")
    config = emergency.configuration(options.config)
    try:
        answer = control.ask(config.socket, {"do": "release_all", "reason": reason})
        released = answer["released"]
    except NotRunningError:
        released = asyncio.run(
            offline.release_all(config, _left(config), reason=reason, by=control.who_asks())
        )
    print(f"{released} holds let go")
    return OK


def _reload(options: argparse.Namespace) -> int:
    answer = control.ask(load(options.config).socket, {"do": "reload"})
    print(f"{answer['rules']} rules in force, {answer['ruleset']}")
    return OK


def _unload(options: argparse.Namespace) -> int:
    config = emergency.configuration(options.config)
    done = asyncio.run(
        offline.unload(config, _left(config), force=options.force, by=control.who_asks())
    )
    print(f"unloaded; {done.killed} held processes killed")
    print(
        f"kept on purpose: {config.state} (the journal of holds), {config.cache} (compiled "
        f"programs) and {config.place}; docs/install.md says how to remove them"
    )
    if done.unsent:
        print(
            f"{done.unsent} messages in {config.state} have not reached the centre; an agent that "
            "is started once more sends them"
        )
    return OK


def _join(options: argparse.Namespace) -> int:
    joined = identity.join(options.bundle, options.identity, replace=options.replace)
    print(f"joined as {joined.name} ({joined.host}), centre at {joined.nats_url}")
    return OK


def _rules_check(options: argparse.Namespace) -> int:
    return commands.rules_check(options.files, sys.stdout)


def _rules_explain(options: argparse.Namespace) -> int:
    return commands.rules_explain(options.file, options.act, options.subject, sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="holdfast-agent", description="Holds sensitive acts of watched users on this host."
    )
    parser.add_argument(
        "--version", action="version", version=f"holdfast-agent {installed_version()}"
    )
    parser.add_argument("--verbose", action="store_true", help="log everything")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, words: str, *, config: bool = True) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=words, description=words)
        if config:
            made.add_argument(
                "--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}"
            )
        return made

    run = verb("run", "run the agent in the foreground")
    run.add_argument(
        "--unload-on-exit",
        action="store_true",
        help="for try-outs: at the end kill what is held and leave nothing in the kernel",
    )
    run.set_defaults(run=_run)
    verb("check", "check configuration, identity and rules").set_defaults(run=_check)
    doctor = verb("doctor", "say what this host can promise, what is missing and what is open")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(run=_doctor)
    status = verb("status", "show what the running agent holds")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)
    release = verb("release", "let go of everything that is held, in an emergency")
    release.add_argument("--all", action="store_true", required=True, help="all of it")
    release.add_argument("--reason", required=True, help="why; recorded in the trail")
    release.set_defaults(run=_release)
    verb("reload", "read the rule files again").set_defaults(run=_reload)
    unload = verb("unload", "take the kernel side out; refuses while anything is held")
    unload.add_argument("--force", action="store_true", help="kill what is held")
    unload.set_defaults(run=_unload)
    join = verb("join", "put the bundle of `holdfast-collector enroll` in place", config=False)
    join.add_argument("bundle", type=Path, metavar="BUNDLE")
    join.add_argument("--identity", type=Path, default=DEFAULT_IDENTITY)
    join.add_argument("--replace", action="store_true", help="give up an identity in place")
    join.set_defaults(run=_join)
    _rules_verbs(verb("rules", "check rule files, or explain what they say", config=False))
    return parser


def _rules_verbs(rules: argparse.ArgumentParser) -> None:
    verbs = rules.add_subparsers(required=True, metavar="COMMAND")
    check = verbs.add_parser("check", help="check rule files")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE")
    check.set_defaults(run=_rules_check)
    explain = verbs.add_parser("explain", help="say what the rules say to an act, and why")
    explain.add_argument("file", type=Path, metavar="FILE")
    explain.add_argument("act", metavar="ACT", help="for example 'open: /etc/shadow read'")
    explain.add_argument("--subject", default="example", help="whose act it is")
    explain.set_defaults(run=_rules_explain)


if __name__ == "__main__":
    sys.exit(main())
