"""Commands that look and change nothing: check, doctor, status in words, and about rule files."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from agent import config as configs
from agent import identity as identities
from agent.config import responsible_words
from agent.doctor import render
from agent.doctor.host import facts
from agent.doctor.report import examine
from agent.errors import AgentError
from agent.subjects import resolve
from rules.errors import RuleErrors
from rules.examples import check as check_examples
from rules.examples import parse
from rules.explain import explain
from rules.load import load
from rules.modes import HostMode, words


def check(path: Path, out: TextIO, mode: HostMode) -> int:
    """Check configuration, identity, subjects and rules; print each finding; 1 if one is wrong.

    What rules cannot do in the mode of this host is said as a warning.
    """
    try:
        config = configs.load(path)
    except AgentError as error:
        print(f"error: {error}", file=out)
        return 1
    problems: list[str] = []

    def attempt(act: Callable[[], object]) -> None:
        try:
            act()
        except AgentError as error:
            problems.append(str(error))

    attempt(lambda: identities.load(config.identity))
    attempt(lambda: resolve(config.subjects, place=str(config.place)))
    for problem in problems:
        print(f"error: {problem}", file=out)
    for name in config.nobodys:
        print(f"warning: {responsible_words(name)}", file=out)
    known = {subject.name for subject in config.subjects}
    broken = _rules(config.rules, out, known, mode)
    if not problems and not broken:
        print(f"{path}: good", file=out)
    return 1 if problems or broken else 0


def doctor(place: Path, out: TextIO, *, as_json: bool) -> int:
    """Print what this host can promise and what is missing; 1 if something must be mended."""
    # Only root sees the settings, the groups' rules and the pins, and may try to attach.
    if os.geteuid() != 0:
        raise AgentError("doctor looks at what only root sees; use sudo")
    report = examine(facts(place))
    print(json.dumps(render.as_json(report)) if as_json else render.as_text(report), file=out)
    return 1 if report.problems else 0


def rules_check(files: Sequence[Path], out: TextIO) -> int:
    """Check rule files and their examples; print each finding; 1 if one is an error."""
    if _rules(files, out, None):
        return 1
    broken = check_examples(load(files))
    for finding in broken:
        print(f"{finding.place}: error: {finding.rule}: {finding.message}", file=out)
    return 1 if broken else 0


def rules_explain(file: Path, act: str, subject: str, out: TextIO) -> int:
    """Print what the rules of a file say to an act written in one line, and why."""
    # What is not UTF-8 appears as the kernel's records show it.
    act, subject = (
        os.fsencode(text).decode("utf-8", "backslashreplace") for text in (act, subject)
    )
    print(explain(load([file]), parse(act, subject=subject)), file=out)
    return 0


def show_status(answer: Mapping[str, Any], out: TextIO) -> None:
    """Print a running agent's answer for people."""
    link = "connected" if answer["connected"] else "not connected, messages wait on disk"
    print(f"host     {answer['name']} ({answer['host']}), mode {answer['mode']}", file=out)
    print(f"centre   {link}", file=out)
    print(f"rules    {answer['ruleset']}", file=out)
    print(
        f"waiting  {answer['unpublished_hold_messages']} messages about holds, "
        f"{answer['unsent_events']} events",
        file=out,
    )
    lost = answer["lost"]
    print(
        f"lost     {lost['events']} events, {lost['holds']} acts killed because they could not "
        f"be held, {lost['labels']} labels",
        file=out,
    )
    if lost.get("records") or lost.get("absences"):
        print(
            f"audit    {lost['records']} records lost, {lost['absences']} times nothing came",
            file=out,
        )
    if answer["denied_again"]:
        print(f"denied   {answer['denied_again']} acts too often to be told one by one", file=out)
    if answer["without_effect"]:
        print(
            f"no effect in {answer['mode']} mode: {', '.join(answer['without_effect'])}", file=out
        )
    for name in answer["nobody_responsible"]:
        print(f"nobody is responsible for {name!r}; name them in agent.toml", file=out)
    if answer["not_taken_up"]:
        print(f"held and not taken up: {answer['not_taken_up']}; the log says why", file=out)
    stopped = answer["quarantined"]
    if stopped["subjects"]:
        print(
            f"quarantine of {', '.join(stopped['subjects'])}: {stopped['processes']} processes "
            "stopped",
            file=out,
        )
    if answer["grants"]:
        print(f"grants   {answer['grants']} in force", file=out)
    print(f"held     {len(answer['holds'])}", file=out)
    for hold in answer["holds"]:
        left = hold["seconds_left"]
        time = f", {left} s left" if left is not None else ""
        print(
            f"  {hold['hold']}  pid {hold['pid']}  {hold['state']}  {hold['rule']}{time}", file=out
        )


def _rules(
    paths: Sequence[Path], out: TextIO, known: set[str] | None, mode: HostMode | None = None
) -> int:
    try:
        rules = load(paths)
    except RuleErrors as error:
        print(f"{error}", file=out)
        return 1
    for finding in rules.warnings:
        print(f"{finding}", file=out)
    for rule in rules.rules:
        strangers = sorted(rule.subjects - known) if known is not None else []
        if strangers:
            print(
                f"{rule.place}: warning: {rule.id}: names subjects that are not watched here: "
                f"{', '.join(strangers)}",
                file=out,
            )
    for line in words(rules, mode) if mode else ():
        print(f"warning: {line}", file=out)
    print(f"{len(rules.rules)} rules, {rules.digest}", file=out)
    return 0
