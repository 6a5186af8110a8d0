"""How the agent talks to the centre: what it reports, and the answers that it fetches."""

import sys

if "aiohttp" not in sys.modules:
    # nats-py loads it for WebSockets wherever it is installed. The agent has no use for it, and
    # would be a quarter larger.
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        import nats.aio.transport  # noqa: F401
    finally:
        del sys.modules["aiohttp"]
