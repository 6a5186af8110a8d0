"""What root does when no agent runs: let everything go, or take the kernel side out.

The journal and the kernel's held map are enough for it; the centre learns of it at the next start.
Nobody may do it from within a watched session, as with an agent that runs.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.assembly import Core, core, only_one
from agent.audit.leftover import LeftRules
from agent.config import AgentConfig
from agent.emergency import refuse_watched
from agent.errors import AgentError, ConfigError
from agent.release import ProcessId
from agent.rulings import RuleBook, Ruled
from agent.sensor.interface import Sensor
from agent.why.server import DENIALS, SOCKET
from rules.modes import HostMode
from wire.acts import Act

_END_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unloaded:
    """How many processes an unload has killed, and how many messages the centre does not have."""

    killed: int
    unsent: int


async def release_all(config: AgentConfig, sensor: Sensor, *, reason: str, by: str) -> int:
    """Let go of everything that is held and that nobody has denied; return how many holds."""
    with only_one(config), core(config, sensor, _judge(config), started=False) as parts:
        try:
            refuse_watched(config, sensor)
            parts.keeper.start()
            released = parts.keeper.release_all(reason, by)
            await _until_over(parts)
        finally:
            sensor.close()
    return released


async def unload(config: AgentConfig, sensor: Sensor, *, force: bool, by: str) -> Unloaded:
    """Remove the kernel side and the sockets; refuse while anything is held, or with `force` kill
    it first.

    What is on disk stays: the journal, and what the centre has not been told. Raises AgentError
    when it refuses.
    """
    with only_one(config), core(config, sensor, _judge(config), started=False) as parts:
        try:
            refuse_watched(config, sensor)
            parts.keeper.warden.on_caught()
            stopped = {ProcessId.of(entry.act.process).tick for entry in sensor.all_holds()}
            stopped |= {one.tick for one in parts.keeper.warden.alive()}
            held = len(stopped)
            if held and not force:
                raise AgentError(
                    f"{held} processes are held or under quarantine and would stay stopped for "
                    "good; decide or lift them "
                    "first, or `holdfast-agent release --all`, or unload --force, which kills them"
                )
            sensor.detach()  # first, or what is held after the last look has nobody
            parts.keeper.start()
            async with asyncio.timeout(_END_S):
                await parts.keeper.end_all("the kernel side was unloaded with --force", by)
            sensor.unload()
            LeftRules(config.audit_left).take_out()
            _remove_sockets(config)
        except TimeoutError as error:
            raise AgentError(
                f"what is held did not end within {_END_S:.0f} s; nothing was unloaded"
            ) from error
        finally:
            sensor.close()
        return Unloaded(killed=held, unsent=parts.journal.unpublished() + parts.sender.waiting)


def _remove_sockets(config: AgentConfig) -> None:
    """Remove what a run leaves under /run, and nothing there that is not the agent's."""
    denials = config.why / DENIALS
    for path in (config.socket, config.why / SOCKET, *denials.glob("*.json")):
        path.unlink(missing_ok=True)
    for directory in (denials, config.why, config.run):
        with suppress(OSError):  # it is not there, or somebody else has something in it
            directory.rmdir()


async def _until_over(parts: Core) -> None:
    try:
        async with asyncio.timeout(_END_S):
            await parts.keeper.settled()
    except TimeoutError as error:
        left = ", ".join(str(hold.process.pid) for hold in parts.keeper.holds())
        raise AgentError(f"these processes could not be settled: {left}; see the log") from error


def _judge(config: AgentConfig) -> Callable[[Act], Ruled]:
    """Return the rules' judgement, or, where they are broken, one that decides nothing."""
    try:
        book = RuleBook(config.rules, config.names, HostMode.GATE)
    except ConfigError as error:
        problem = str(error)

        def nobody(act: Act) -> Ruled:
            raise AgentError(f"pid {act.process.pid}: no rules to judge by: {problem}")

        return nobody
    return lambda act: book.decide(act, fresh=True)
