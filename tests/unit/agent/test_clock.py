"""The alarm on the boot clock."""

import asyncio

from agent.clock import BootAlarm, SystemClock, boot_id


async def test_an_alarm_rings_at_its_time_and_not_before() -> None:
    """The kernel wakes the loop; nobody polls."""
    rung = asyncio.Event()
    clock = SystemClock()
    alarm = BootAlarm(asyncio.get_running_loop(), rung.set)
    at = clock.boot_ns() + 20_000_000
    alarm.set(at)
    await rung.wait()
    assert clock.boot_ns() >= at
    alarm.close()


async def test_a_time_that_has_passed_rings_at_once() -> None:
    """Also the very beginning, which a timer takes for `never`."""
    for at in (0, 1, SystemClock().boot_ns() - 1):
        rung = asyncio.Event()
        alarm = BootAlarm(asyncio.get_running_loop(), rung.set)
        alarm.set(at)
        await rung.wait()
        alarm.close()


async def test_an_alarm_that_is_put_off_does_not_ring() -> None:
    """Only the last time that was set counts."""
    rung: list[str] = []
    done = asyncio.Event()
    clock = SystemClock()
    first = BootAlarm(asyncio.get_running_loop(), lambda: rung.append("first"))
    second = BootAlarm(asyncio.get_running_loop(), done.set)
    now = clock.boot_ns()
    first.set(now + 1_000_000)
    first.set(None)
    second.set(now + 20_000_000)
    await done.wait()
    assert rung == []
    first.close()
    second.close()


def test_the_boot_has_an_id() -> None:
    """As the kernel writes it."""
    assert len(boot_id()) == 36
