"""A flood of acts by a small C program, as fast as this machine can, counted to the last."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("flood.c")


@dataclass(frozen=True, slots=True)
class Flooded:
    """What a flood says at its end: acts, and how long they took on the clock and in CPU (ns)."""

    acts: int
    elapsed_ns: int
    cpu_ns: int

    @classmethod
    def read(cls, line: str) -> "Flooded":
        """Return what the line says."""
        return cls(*map(int, line.split()))

    @classmethod
    def together(cls, floods: "Sequence[Flooded]") -> "Flooded":
        """Return what floods that ran at the same time came to."""
        return cls(
            sum(one.acts for one in floods),
            max(one.elapsed_ns for one in floods),
            sum(one.cpu_ns for one in floods),
        )

    @property
    def a_second(self) -> float:
        """How many acts a second."""
        return self.acts * 1e9 / self.elapsed_ns

    @property
    def cpu_ns_each(self) -> float:
        """What one act cost the process (ns of CPU, its own and the kernel's); an open, closed."""
        return self.cpu_ns / self.acts


def build(directory: Path) -> Path:
    """Compile the flood with gcc into a directory that its user can reach; return the program."""
    program = directory / "holdfast-test-flood"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, _SOURCE], check=True)
    program.chmod(0o755)
    return program


def command(
    program: Path,
    names: Sequence[Path | str],
    *,
    count: int = 0,
    seconds: int = 0,
    rate: int = 0,
    act: str = "open",
) -> list[str]:
    """Return the command of a flood that begins at the first byte on its standard input.

    `names` are the files of the act `open`, or the abstract sockets of the act `connect`.
    """
    assert count or seconds, "a flood must have an end"
    return [str(program), act, str(count), str(seconds), str(rate), *map(str, names)]
