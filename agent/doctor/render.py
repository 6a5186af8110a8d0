"""A report for people, and for programs: the names in the JSON are stable (docs/doctor.md)."""

import textwrap
from collections.abc import Iterator
from typing import Any

from agent.doctor.finding import Level
from agent.doctor.modes import PROMISES, Way
from agent.doctor.report import Report

VERSION = 1
_WIDTH = 100


def as_text(report: Report) -> str:
    """Return the report for people: the mode, what it promises, then what matters most first."""
    return "\n".join((*_head(report), *_promise(report), *_findings(report), "", _sum(report)))


def as_json(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    facts, way = report.facts, report.way
    return {
        "version": VERSION,
        "problems": report.problems,
        "warnings": report.count(Level.WARNING),
        "host": {
            "system": facts.system.name,
            "kernel": facts.kernel.release,
            "machine": facts.kernel.machine,
        },
        "mode": way.mode.value if way else None,
        "by": way.by if way else None,
        "why": report.why,
        "running": facts.running or None,
        "ways": [
            {
                "mode": one.mode.value,
                "by": one.by,
                "possible": one.possible,
                "missing": [{"what": lack.what, "remedy": lack.remedy} for lack in one.obstacles],
            }
            for one in report.ways
        ],
        "promises": {
            mode.value: {
                "words": promise.words,
                "acts": {
                    kind: {"guarantee": guarantee, "words": words}
                    for kind, (guarantee, words) in promise.kinds.items()
                },
            }
            for mode, promise in PROMISES.items()
        },
        "findings": [
            {
                "check": one.check,
                "level": one.level.value,
                "what": one.what,
                "why": one.why,
                "remedy": one.remedy,
            }
            for one in report.findings
        ],
    }


def _head(report: Report) -> Iterator[str]:
    facts, way = report.facts, report.way
    yield f"{facts.system.name}, Linux {facts.kernel.release}, {facts.kernel.machine}"
    yield ""
    yield f"mode: {way.mode.value}, by {way.by}" if way else "mode: none"
    yield from _wrapped(report.why, "  ")
    for one in report.ways:
        if one is way:
            break  # what is worse than what works is of no interest
        if one.obstacles:
            yield from _lacks(one)


def _lacks(way: Way) -> Iterator[str]:
    yield ""
    yield f"for {way.mode.value}, by {way.by}, this host lacks"
    for lack in way.obstacles:
        yield from _wrapped(lack.what, "  - ", "    ")
        if lack.remedy:
            yield from _remedy(lack.remedy, "    ")


def _promise(report: Report) -> Iterator[str]:
    yield ""
    if report.way is not None:
        mode = report.way.mode
        yield from _wrapped(f"{mode.value} is {PROMISES[mode].words}", "")
        for kind, (guarantee, words) in PROMISES[mode].kinds.items():
            yield f"  {kind:<10} {guarantee:<8} {words}"
        yield ""
    for other, promise in PROMISES.items():
        if report.way is None or other is not report.way.mode:
            yield from _wrapped(f"{other.value} is {promise.words}", "")


def _findings(report: Report) -> Iterator[str]:
    for level in reversed(Level):
        found = [one for one in report.findings if one.level is level]
        if not found:
            continue
        yield ""
        yield _TITLES[level]
        for one in found:
            yield from _wrapped(f"{one.check}: {one.what}", "  ", "    ")
            if one.why:
                yield from _wrapped(f"why: {one.why}", "    ")
            if one.remedy:
                yield from _remedy(one.remedy, "    ")


_TITLES = {
    Level.PROBLEM: "PROBLEMS",
    Level.WARNING: "WARNINGS, doors that somebody watched may use",
    Level.NOTE: "NOTES",
    Level.OK: "GOOD",
}


def _remedy(words: str, indent: str) -> Iterator[str]:
    """Yield a remedy on one line, however long it is: commands in it are there to be copied."""
    yield f"{indent}do:  {words}"


def _wrapped(text: str, indent: str, then: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if then is None else then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _sum(report: Report) -> str:
    def counted(count: int, word: str) -> str:
        return f"{count} {word}" if count == 1 else f"{count} {word}s"

    warnings, notes = report.count(Level.WARNING), report.count(Level.NOTE)
    return ", ".join(
        (
            counted(report.problems, "problem"),
            counted(warnings, "warning"),
            counted(notes, "note"),
        )
    )
