"""Where the try-out keeps everything. Fixed names, so that a later run finds what one left."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = "deploy/try"

# Only root writes in /run, so nobody can put something else under this name first.
ROOM = Path("/run/holdfast-try")
RECORD = ROOM / "record.json"
LOGS = ROOM / "logs"
KEPT_LOGS = Path("/var/tmp")  # noqa: S108  (mkdtemp makes the directory there)
KEPT_LOGS_PREFIX = "holdfast-try-logs-"

# Beside .venv, which a second run finds made too.
CACHE = CHECKOUT / ".cache" / "programs"

PINS = Path("/sys/fs/bpf/holdfast-try")
# Where pins are until the loader has all of them, and while an upgrade is under way.
PINS_IN_MAKING = tuple(
    Path(f"{PINS}-{part}") for part in ("loading", "next", "next-loading", "old")
)

USER = "holdfast-try-ai"
# The mark by which a later run knows a user of that name as its own.
USER_COMMENT = "Holdfast try-out; remove with deploy/try --clean"
USER_HOME = Path("/var/lib/holdfast-try-ai")

# An address of this machine that stands for one outside.
OUTSIDE = "127.66.0.1"
