"""The command `holdfast`. `holdfast why` is for hosts, where only the agent need be installed.

So that word is served by the standard library alone, and quickly; all others by the command line.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run one command and exit."""
    if sys.argv[1:2] == ["why"]:
        import holdfast_why

        sys.exit(holdfast_why.main(sys.argv[2:]))
    from collector.cli.__main__ import main as others

    others()
