"""What root does when no agent runs: let everything go, or take the kernel side out.

The journal and the kernel's held map are enough for it; the centre learns of it at the next start.
"""

import asyncio
from collections.abc import Callable

from agent.assembly import Core, core, only_one
from agent.config import AgentConfig
from agent.errors import AgentError, ConfigError
from agent.release import ProcessId
from agent.rulings import RuleBook, Ruled
from agent.sensor.interface import Sensor
from rules.modes import HostMode
from wire.acts import Act

_END_S = 15.0


async def release_all(config: AgentConfig, sensor: Sensor, *, reason: str, by: str) -> int:
    """Let go of everything that is held and that nobody has denied; return how many holds."""
    with only_one(config), core(config, sensor, _judge(config), started=False) as parts:
        try:
            parts.keeper.start()
            released = parts.keeper.release_all(reason, by)
            await _until_over(parts)
        finally:
            sensor.close()
    return released


async def unload(config: AgentConfig, sensor: Sensor, *, force: bool, by: str) -> int:
    """Remove the kernel side; refuse while anything is held, or with `force` kill it first.

    Returns how many processes were killed. Raises AgentError when it refuses.
    """
    with only_one(config), core(config, sensor, _judge(config), started=False) as parts:
        try:
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
        except TimeoutError as error:
            raise AgentError(
                f"what is held did not end within {_END_S:.0f} s; nothing was unloaded"
            ) from error
        finally:
            sensor.close()
    return held


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
