"""The process that draws: a Vega-Lite specification a line on stdin, its SVG a line on stdout.

It imports nothing of the collector, holds none of its keys, and reads no file and no address.
"""

import json
import re
import sys
from typing import IO, Any


def draw(specification: dict[str, Any]) -> str:
    """Return the SVG element; raise ValueError if Vega-Lite refuses the specification."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    # The figure around it says what it shows, in words and in a table.
    return re.sub(r"^<svg ", '<svg aria-hidden="true" focusable="false" ', drawn)


def serve(asked: IO[str], answers: IO[str]) -> None:
    """Answer each line: `{"svg": ...}` or `{"error": ...}`, until there are no more."""
    for line in asked:
        try:
            answer = {"svg": draw(json.loads(line))}
        except ValueError as error:
            answer = {"error": str(error)[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
