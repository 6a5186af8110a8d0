"""The layers of the tests: what each runs, and what it needs. Every test is in exactly one."""

from dataclasses import dataclass
from pathlib import Path

from deploy.bootstrap import packages

# Directories that are a layer of their own; the others are told apart by markers.
_OWN = ("meta", "audit", "web", "tryout", "faults", "transparency", "vm", "soak", "bench")
_ELSEWHERE = tuple(f"--ignore=tests/{name}" for name in _OWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: `arguments` choose its tests for pytest; none for the style layer.

    One that is `long` runs only when asked for. After `longest_s` seconds it hangs and is ended, or
    with --full after `longest_full_s`, if that is there.
    `packages` are installed for it besides what all layers need, and start no service.
    The tests of one that is `beside` make nothing on the machine itself, so a file of them can run
    beside another.
    """

    name: str
    covers: str
    arguments: tuple[str, ...] = ()
    root: bool = False
    long: bool = False
    longest_s: int | None = 1200
    longest_full_s: int | None = None
    packages: tuple[str, ...] = ()
    beside: bool = False

    def limit_s(self, *, full: bool) -> int | None:
        """Return after how many seconds it hangs; None if it may take any time."""
        return self.longest_full_s or self.longest_s if full else self.longest_s

    @property
    def directory(self) -> Path | None:
        """The directory that a layer of its own lives in."""
        own = self.arguments[0].removeprefix("tests/") if self.arguments else ""
        return Path("tests") / own if own in _OWN else None


LAYERS: tuple[Layer, ...] = (
    Layer(name="style", covers="ruff format, ruff check, mypy --strict"),
    Layer(
        name="unit",
        covers="one part at a time",
        arguments=("tests", *_ELSEWHERE, "-m", "not nats and not kernel and not end_to_end"),
        longest_s=2400,
        # The published fields of ECS come as a package of npm.
        packages=(*packages.for_node(), *packages.FOR_SYSLOG),
        beside=True,
    ),
    Layer(
        name="nats",
        covers="against a real nats-server",
        arguments=("tests", *_ELSEWHERE, "-m", "nats and not kernel and not end_to_end"),
        longest_s=2400,
        beside=True,
    ),
    Layer(
        name="kernel",
        covers="the BPF programs on this kernel",
        arguments=("tests", *_ELSEWHERE, "-m", "kernel and not end_to_end"),
        root=True,
    ),
    Layer(
        name="audit",
        covers="mode audit, with a real auditd",
        arguments=("tests/audit",),
        root=True,
        # Not of an ordinary run: once audit was on, the kernel pays for it until it boots.
        long=True,
        packages=packages.FOR_AUDIT,
    ),
    Layer(
        name="end_to_end",
        covers="agent, collector, nats-server and kernel together",
        arguments=("tests", *_ELSEWHERE, "-m", "end_to_end"),
        root=True,
        packages=packages.for_node(),
    ),
    Layer(
        name="faults",
        covers="kill -9 at every step, NATS away in all ways, full disks",
        arguments=("tests/faults",),
        root=True,
    ),
    Layer(
        name="transparency",
        covers="programs do the same, watched or not",
        arguments=("tests/transparency",),
        root=True,
        long=True,
        longest_s=None,
        packages=packages.for_transparency(),
    ),
    Layer(
        name="web",
        covers="sign-in at a real identity provider, and pages in a real browser",
        arguments=("tests/web",),
        packages=packages.for_web(),
    ),
    Layer(name="try", covers="deploy/try itself", arguments=("tests/tryout",), root=True),
    Layer(name="meta", covers="documents and the shape of the house", arguments=("tests/meta",)),
    Layer(
        name="vm",
        covers="the gate under stock kernels, in virtual machines",
        arguments=("tests/vm",),
        root=True,
        # On a new machine images are made first; with --full there are five kernels.
        longest_s=2400,
        longest_full_s=4 * 3600,
        packages=packages.FOR_VM,
    ),
    Layer(
        name="soak",
        covers="hours of load",
        arguments=("tests/soak",),
        root=True,
        long=True,
        longest_s=None,
    ),
    Layer(
        name="bench",
        covers="what it costs",
        arguments=("tests/bench",),
        root=True,
        long=True,
        longest_s=None,
        packages=(*packages.FOR_BENCH, *packages.FOR_COMPILING),
    ),
)

NAMES: tuple[str, ...] = tuple(layer.name for layer in LAYERS)
