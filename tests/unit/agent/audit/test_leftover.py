"""What an agent notes of its audit rules, and what the next one makes of that note.

auditctl is a stand-in here: rules in the kernel of this machine are not for a unit test to change.
"""

from pathlib import Path

import pytest

from agent.audit.leftover import LeftRules
from agent.errors import SensorError

_AUDITCTL = """#!/bin/sh
[ "$1" = -l ] && { cat PLACE/rules; exit 0; }
if [ -e PLACE/immutable ]; then
    echo "The audit system is in immutable mode, no rule changes allowed"
    exit 0
fi
shift
grep -vxF -e "-a $*" PLACE/rules > PLACE/rest
mv PLACE/rest PLACE/rules
"""
OURS = "-a always,exit -F arch=b64 -S execve -F uid=4242 -F key=ours"
OTHER = "-a always,exit -F arch=b64 -S execve -F uid=4242 -F key=theirs"


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that stands for the kernel's rules."""
    program = tmp_path / "auditctl"
    program.write_text(_AUDITCTL.replace("PLACE", str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setattr("agent.audit.kernelrules._PLACES", str(tmp_path))
    (tmp_path / "rules").write_text(f"{OURS}\n{OTHER}\n")
    return tmp_path / "rules"


def test_rules_of_the_noted_key_are_taken_out_and_no_others(rules: Path, tmp_path: Path) -> None:
    """Once; then there is no note any more."""
    left = LeftRules(tmp_path / "state" / "note")
    assert left.take_out() == 0, "without a note nothing is touched"
    left.note("ours")
    assert left.take_out(but="ours") == 0, "an agent with that key goes on with them"
    assert LeftRules(tmp_path / "state" / "note").take_out() == 1
    assert rules.read_text() == f"{OTHER}\n"
    assert not (tmp_path / "state" / "note").exists()


def test_rules_that_nothing_can_take_out_are_told_and_stay_noted(
    rules: Path, tmp_path: Path
) -> None:
    """Some versions of auditctl take that for a success."""
    (tmp_path / "immutable").touch()
    left = LeftRules(tmp_path / "note")
    left.note("ours")
    with pytest.raises(SensorError, match=r"immutable .*rules\.d, and reboot"):
        left.take_out()
    assert (tmp_path / "note").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 7}', "\udcff"])
def test_a_note_that_is_none_touches_nothing(rules: Path, tmp_path: Path, text: str) -> None:
    """Nor is it in the way of a start."""
    (tmp_path / "note").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert LeftRules(tmp_path / "note").take_out() == 0
    assert rules.read_text() == f"{OURS}\n{OTHER}\n"
