"""What the agent, the collector and nats-server hold and use, with nothing to do and with much."""

from tests.bench.flood import PROCESSES, Watched
from tests.bench.measures import digits, spread
from tests.bench.page import Aim, Section, Table
from tests.bench.report import Report

SECTION = Section("footprint", "Memory, and an idle host")

_MIB = 2**20
# A host that does nothing must not notice the agent.
_IDLE_PERCENT = 0.1
_AGENT_MIB = 40


def test_memory_and_an_idle_host(flooded: Watched, report: Report) -> None:
    """Processor time of a while without work; resident memory then, and its peak under floods."""
    rows = []
    for name in PROCESSES:
        idle = flooded.idle[name]
        peaks = [flood.used[name].peak / _MIB for flood in flooded.floods]
        after = flooded.floods[-1].used[name].resident
        rows.append(
            (
                name,
                f"{idle.cpu_s * 1000:,.0f} ms, {_percent(flooded, name):.2f} %",
                f"{digits(idle.resident / _MIB)} MiB",
                f"{digits(spread(peaks).median)} MiB",
                f"{digits(max(peaks))} MiB",
                f"{digits(after / _MIB)} MiB",
            )
        )
    heads = (
        "Process",
        f"Processor time in {flooded.idle_s:g} s without work",
        "Resident, idle",
        "Peak of a flood, median",
        "Peak of the worst flood",
        "Resident after the last flood",
    )
    agent = max(flood.used["agent"].peak for flood in flooded.floods) / _MIB
    aims = [
        Aim(
            f"An idle agent uses at most {_IDLE_PERCENT:g} % of one processor",
            f"{_percent(flooded, 'agent'):.2f} %",
            _percent(flooded, "agent") <= _IDLE_PERCENT,
        ),
        Aim(
            f"The agent's memory stays under {_AGENT_MIB} MiB, also in a flood",
            f"{digits(agent)} MiB",
            agent < _AGENT_MIB,
        ),
    ]
    report.publish(SECTION, [Table("Memory and processor time", heads, rows)], aims)


def _percent(flooded: Watched, name: str) -> float:
    return flooded.idle[name].cpu_s / flooded.idle_s * 100
