"""The whole check of a trail, from its files alone."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from collector.errors import ProofError
from collector.proof.verify.buried import buried_in
from collector.proof.verify.events import check_events
from collector.proof.verify.links import batches_of
from collector.proof.verify.report import Report, What
from collector.proof.verify.segments import check_segments
from collector.proof.verify.signed import check_anchored, check_checkpoints
from collector.proof.verify.source import Source
from collector.proof.verify.tables import check_tables


def verify(place: Path, *, trusted: frozenset[str], anchors: Sequence[Path] = ()) -> Report:
    """Return what was found in the trail at `place`; raise ProofError if it cannot be read.

    `trusted`: public keys (hex); `anchors`: files with the checkpoints that anchors have kept.
    """
    source = Source(place)
    report = Report()
    try:
        signed = check_checkpoints(source, trusted, report)
        check_anchored(source, anchors, report)
        check_tables(source, signed, report)
        check_segments(source, report)
        buried = buried_in(source, trusted or frozenset(report.keys), report)
        check_events(source, batches_of(source, signed.hosts, report), buried, report)
    except duckdb.Error as error:
        if not report.sound:  # what was found is said, such as the file that is to blame
            why = str(error).partition("\n")[0]
            report.add(What.CHANGED, "trail", f"the rest cannot be read: {why}")
            report.figures = {"events": 0, "checkpoints": 0} | report.figures
            return report
        raise ProofError(f"{source.file}: cannot be read: {error}") from error
    finally:
        source.close()
    return report
