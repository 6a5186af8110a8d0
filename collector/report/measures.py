"""What evidence is made of: one measure is one thing observed in the trail, by questions in SQL.

`figures` gives one row. Its column `seen` says how much there was to look at: with none, the
measure is not assessed. Its column `gaps` counts what should not be. All others are figures in the
words of their names. `sample` shows some of what was seen, `exceptions` what a reader has to look
at, each of them a gap or not.
"""

from dataclasses import dataclass

from collector.report.charts import Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartOf:
    """The chart of a measure: its SELECT, and what its first column is (None: time)."""

    title: str
    sql: str
    axis: Axis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that is observed; `says` in one sentence what its figures mean."""

    id: str
    title: str
    says: str
    figures: str
    sample: str = ""
    exceptions: str = ""
    chart: ChartOf | None = None


def _kinds(*kinds: str) -> str:
    return f"$held AND kind IN ({', '.join(repr(kind) for kind in kinds)})"


_FIGURES = """
SELECT count(*) AS seen, 0 AS gaps,
       count(*) FILTER (state = 'approved') AS approved,
       count(*) FILTER (state = 'denied') AS denied,
       count(*) FILTER (state = 'expired') AS expired,
       count(*) FILTER (state IN ('cancelled', 'superseded')) AS ended_otherwise,
       count(*) FILTER (state = 'open') AS still_open
FROM requests WHERE $which"""
_SAMPLE = """
SELECT $row
FROM requests WHERE $which ORDER BY opened_ns DESC LIMIT 10"""


def _held(id_: str, title: str, says: str, which: str, chart: ChartOf | None = None) -> Measure:
    """Return a measure of some holds, by a condition on the view `requests`."""
    return Measure(
        id=id_,
        title=title,
        says=says,
        figures=_FIGURES.replace("$which", which),
        sample=_SAMPLE.replace("$which", which),
        chart=chart,
    )


MEASURES: tuple[Measure, ...] = (
    _held(
        "permission",
        "Acts that waited for permission",
        "Each act that a rule asks about was stopped, and ran on only as the figures say.",
        "$held",
        ChartOf(
            title="Holds over time, by how they ended",
            sql="SELECT $begun AS time, state, count(*) AS holds FROM requests\n"
            "WHERE $held GROUP BY ALL ORDER BY ALL",
        ),
    ),
    Measure(
        id="approvals",
        title="Approvals, and who gave them",
        says="Each decision names the people behind it, the time and the reason.",
        figures="SELECT count(*) AS seen,\n"
        "       count(*) FILTER (d.answer = 'approve' AND len(d.votes) = 0) AS gaps,\n"
        "       count(*) FILTER (d.answer = 'approve') AS approvals,\n"
        "       count(*) FILTER (d.answer = 'deny') AS denials,\n"
        "       count(*) FILTER (len(d.votes) > 1) AS by_several_people,\n"
        "       count(*) FILTER (d.reason = '') AS without_a_reason\n"
        "FROM decisions d WHERE $decided AND d.ground IN ('decision', 'break_glass')",
        sample='SELECT make_timestamp(d.time_ns // 1000) AS "when", d."by" AS who,\n'
        "       d.answer, d.reason, r.kind, r.what, r.host_name AS host, r.subject, d.via\n"
        "FROM decisions d JOIN requests r USING (request) WHERE $decided\n"
        "  AND d.ground IN ('decision', 'break_glass') ORDER BY d.time_ns DESC LIMIT 10",
        exceptions='SELECT make_timestamp(d.time_ns // 1000) AS "when", d."by" AS who,\n'
        "       d.answer, r.what, r.host_name AS host, d.request\n"
        "FROM decisions d JOIN requests r USING (request) WHERE $decided\n"
        "  AND d.ground IN ('decision', 'break_glass') AND d.reason = ''\n"
        "ORDER BY d.time_ns DESC LIMIT 50",
        chart=ChartOf(
            title="Answers by person",
            axis=Axis.NAMES,
            sql='SELECT "by" AS who, answer, count(*) AS answers FROM votes\n'
            "WHERE time_ns >= $from_ns AND time_ns < $to_ns\n"
            "GROUP BY ALL ORDER BY answers DESC, 1, 2",
        ),
    ),
    Measure(
        id="own_approvals",
        title="Nobody approved their own",
        says="No approval came from whoever answers for the subject or started its session.",
        figures="SELECT count(*) AS seen, count(*) FILTER (own) AS gaps,\n"
        "       count(DISTINCT person) AS people, count(DISTINCT owner) AS owners FROM (\n"
        '  SELECT v."by" AS person, h.owner,\n'
        '         list_has_any(list_append(v.names, v."by"),\n'
        "           list_filter([h.owner, h.login_user], lambda x: x <> '')) AS own\n"
        "  FROM votes v JOIN holds h USING (request)\n"
        "  WHERE v.answer = 'approve' AND v.time_ns >= $from_ns AND v.time_ns < $to_ns)",
        exceptions='SELECT make_timestamp(v.time_ns // 1000) AS "when", v."by" AS who,\n'
        "       h.owner, h.login_user, h.host_name AS host, h.subject, v.reason, v.request\n"
        "FROM votes v JOIN holds h USING (request)\n"
        "WHERE v.answer = 'approve' AND v.time_ns >= $from_ns AND v.time_ns < $to_ns\n"
        '  AND list_has_any(list_append(v.names, v."by"),\n'
        "        list_filter([h.owner, h.login_user], lambda x: x <> ''))\n"
        "ORDER BY v.time_ns DESC LIMIT 50",
    ),
    Measure(
        id="releases",
        title="Every release has its ground",
        says="What ran on is borne out by a decision, a grant, a rule or another named ground.",
        figures="SELECT count(*) AS seen, count(*) FILTER (NOT explained) AS gaps,\n"
        "       count(*) FILTER (ground = 'decision') AS by_decision,\n"
        "       count(*) FILTER (ground = 'grant') AS by_grant,\n"
        "       count(*) FILTER (ground = 'break_glass') AS by_break_glass,\n"
        "       count(*) FILTER (ground = 'rule') AS by_rule,\n"
        "       count(*) FILTER (ground = 'timeout_policy') AS by_timeout,\n"
        "       count(*) FILTER (ground = 'emergency') AS by_emergency\n"
        "FROM releases WHERE $when",
        exceptions="SELECT * EXCLUDE (verdict) FROM releases\n"
        "WHERE $when AND (NOT explained OR ground IN ('timeout_policy', 'emergency'))\n"
        'ORDER BY "when" DESC LIMIT 50',
        chart=ChartOf(
            title="Releases by their ground",
            axis=Axis.NAMES,
            sql="SELECT coalesce(ground, 'none') AS ground, count(*) AS releases\n"
            "FROM releases WHERE $when GROUP BY ALL ORDER BY releases DESC",
        ),
    ),
    Measure(
        id="break_glass",
        title="Uses of break-glass",
        says="Where the people of the policy were skipped, it is on record by whom and why.",
        figures="SELECT (SELECT count(*) FROM decisions d\n"
        "        WHERE $decided) AS seen,\n"
        "       count(*) FILTER (reason = '') AS gaps, count(*) AS uses,\n"
        "       count(DISTINCT who) AS people\n"
        "FROM break_glass WHERE $when",
        exceptions='SELECT * FROM break_glass WHERE $when\nORDER BY "when" DESC LIMIT 50',
    ),
    Measure(
        id="grants",
        title="Permission for more than one act",
        says="Grants are short, counted, and each use is on record.",
        figures="SELECT count(*) AS seen, count(*) FILTER (used > uses) AS gaps,\n"
        "       sum(used)::BIGINT AS uses_made, sum(uses)::BIGINT AS uses_allowed,\n"
        "       round(max(expires_ns - time_ns) / 60e9, 1) AS longest_minutes,\n"
        "       count(*) FILTER (session = '') AS for_all_sessions\n"
        'FROM (SELECT g.*, (SELECT count(*) FROM order_effects e WHERE e.order_id = g."grant"\n'
        "                   AND e.host = g.host) AS used\n"
        "      FROM grants g WHERE g.time_ns >= $from_ns AND g.time_ns < $to_ns)",
        sample='SELECT make_timestamp(time_ns // 1000) AS made, "by", host, subject, kind, what,\n'
        "       uses, make_timestamp(expires_ns // 1000) AS expires, reason FROM grants\n"
        "WHERE time_ns >= $from_ns AND time_ns < $to_ns ORDER BY time_ns DESC LIMIT 10",
    ),
    _held(
        "refused",
        "What was not let go",
        "Denied and expired acts did not run on; the host confirms what became of the process.",
        "$held AND state IN ('denied', 'expired')",
    ),
    _held(
        "privileged",
        "Changes of identity, kernel and processes",
        "Acts that change privilege or the system itself, and who let them pass.",
        _kinds("identity", "module", "mount", "bpf", "trace", "namespace"),
    ),
    _held(
        "outbound",
        "Connections to other systems",
        "Connections and datagrams that a rule asks about, and who let them pass.",
        _kinds("connect", "send", "listen"),
    ),
    _held(
        "files",
        "Access to files under rules",
        "Files that a rule asks about, and who let them be opened or changed.",
        _kinds("open", "create", "truncate", "delete", "rename", "link", "chmod", "chown"),
    ),
    Measure(
        id="sign_ins",
        title="Who was let in",
        says="Each sign-in, sign-out and token of a person, and each that was refused.",
        figures="SELECT count(*) AS seen, 0 AS gaps,\n"
        "       count(*) FILTER (what = 'sign_in' AND outcome = 'ok') AS sign_ins,\n"
        "       count(DISTINCT person) FILTER (person <> '') AS people,\n"
        "       coalesce(sum(times) FILTER (outcome = 'refused'), 0)::BIGINT AS refused,\n"
        "       count(*) FILTER (what = 'token_made') AS tokens_made,\n"
        "       count(*) FILTER (what = 'token_revoked') AS tokens_revoked\n"
        "FROM sign_ins WHERE time_ns >= $from_ns AND time_ns < $to_ns",
        sample='SELECT make_timestamp(time_ns // 1000) AS "when", what, person, role, via,\n'
        "       identity FROM sign_ins\n"
        "WHERE time_ns >= $from_ns AND time_ns < $to_ns AND outcome = 'ok'\n"
        "ORDER BY time_ns DESC LIMIT 10",
        exceptions='SELECT make_timestamp(time_ns // 1000) AS "when", what, person, via, reason,\n'
        "       address, times FROM sign_ins\n"
        "WHERE time_ns >= $from_ns AND time_ns < $to_ns AND outcome = 'refused'\n"
        "ORDER BY time_ns DESC LIMIT 50",
    ),
    Measure(
        id="quarantines",
        title="Subjects that were stopped",
        says="Who stopped everything of a subject, why, and when it was lifted.",
        figures="SELECT count(DISTINCT quarantine) AS seen, 0 AS gaps,\n"
        "       count(DISTINCT subject) AS subjects, count(DISTINCT host) AS hosts\n"
        "FROM quarantines WHERE time_ns >= $from_ns AND time_ns < $to_ns",
        sample='SELECT make_timestamp(q.time_ns // 1000) AS since, q.subject, q.host, q."by",\n'
        '       q.reason, make_timestamp(l.time_ns // 1000) AS lifted, l."by" AS lifted_by\n'
        "FROM quarantines q LEFT JOIN quarantine_lifts l USING (quarantine, host)\n"
        "WHERE q.time_ns >= $from_ns AND q.time_ns < $to_ns ORDER BY q.time_ns DESC LIMIT 10",
    ),
    Measure(
        id="hosts",
        title="Hosts, and what their mode promises",
        says="Which hosts reported in the period, and whether an act is held before it happens "
        "(gate), stopped after the call (stop) or seen late (audit).",
        figures="WITH said AS (SELECT DISTINCT ON (host) * FROM hosts WHERE started_ns < $to_ns\n"
        "              ORDER BY host, started_ns DESC),\n"
        "     heard AS (SELECT DISTINCT host FROM batches\n"
        "               WHERE $received)\n"
        "SELECT count(*) AS seen, count(*) FILTER (h.host IS NULL) AS gaps,\n"
        "       count(*) FILTER (mode = 'gate') AS gate, count(*) FILTER (mode = 'stop') AS stop,\n"
        "       count(*) FILTER (mode = 'audit') AS audit,\n"
        "       count(*) FILTER (h.host IS NULL) AS silent_in_the_period\n"
        "FROM said LEFT JOIN heard h USING (host)",
        sample="SELECT DISTINCT ON (host) name, mode, kernel, version, subjects,\n"
        "       make_timestamp(started_ns // 1000) AS agent_since FROM hosts\n"
        "WHERE started_ns < $to_ns ORDER BY host, started_ns DESC LIMIT 50",
        exceptions="SELECT name, mode, make_timestamp(started_ns // 1000) AS agent_since\n"
        "FROM (SELECT DISTINCT ON (host) * FROM hosts WHERE started_ns < $to_ns\n"
        "      ORDER BY host, started_ns DESC)\n"
        "WHERE host NOT IN (SELECT host FROM batches WHERE $received) LIMIT 50",
        chart=ChartOf(
            title="Hosts by mode",
            axis=Axis.NAMES,
            sql="SELECT mode, count(*) AS hosts FROM (\n"
            "  SELECT DISTINCT ON (host) host, mode FROM hosts WHERE started_ns < $to_ns\n"
            "  ORDER BY host, started_ns DESC) GROUP BY ALL ORDER BY hosts DESC",
        ),
    ),
    Measure(
        id="rules_in_force",
        title="Rules, and whether each can take effect",
        says="Which rule sets were in force, and which rules a host's mode cannot put into effect.",
        figures="SELECT count(DISTINCT host) AS seen,\n"
        "       count(DISTINCT host) FILTER (len(without_effect) > 0) AS gaps,\n"
        "       count(DISTINCT ruleset) AS rule_sets\n"
        "FROM hosts WHERE started_ns < $to_ns AND received_ns < $to_ns",
        sample="SELECT DISTINCT name, ruleset, make_timestamp(started_ns // 1000) AS agent_since\n"
        "FROM hosts WHERE started_ns < $to_ns ORDER BY agent_since DESC LIMIT 10",
        exceptions="SELECT DISTINCT name, mode, without_effect FROM hosts\n"
        "WHERE started_ns < $to_ns AND len(without_effect) > 0 LIMIT 50",
    ),
    Measure(
        id="losses",
        title="Gaps and losses of events",
        says="Where events are known to be missing: in the chain of a host, or by its own count. "
        "What retention has dropped is listed too, and is no gap: the policy asked for it, and "
        "a signed tombstone says what it was.",
        figures="SELECT (SELECT count(*) FROM batches WHERE $received) AS seen,\n"
        "       count(*) AS gaps, coalesce(sum(missing_events), 0)::BIGINT AS missing_events,\n"
        "       coalesce(sum(missing_batches), 0)::BIGINT AS missing_batches,\n"
        "       (SELECT coalesce(sum(events), 0)::BIGINT FROM tombstones\n"
        "        WHERE last_ns >= $from_ns AND first_ns < $to_ns) AS dropped_by_retention\n"
        "FROM gaps WHERE noticed >= make_timestamp($from_ns // 1000)\n"
        "           AND noticed < make_timestamp($to_ns // 1000)",
        exceptions="SELECT * FROM gaps WHERE noticed >= make_timestamp($from_ns // 1000)\n"
        "  AND noticed < make_timestamp($to_ns // 1000)\n"
        "UNION ALL BY NAME\n"
        "SELECT make_timestamp(max(time_ns) // 1000) AS noticed, host,\n"
        "       'dropped by retention' AS kind,\n"
        "       coalesce(nullif(kind, ''), 'every kind') || ' from '\n"
        "         || make_timestamp(min(first_ns) // 1000) || ' to '\n"
        "         || make_timestamp(max(last_ns) // 1000) || ', for ' || reason AS detail,\n"
        "       0 AS missing_batches, sum(events)::BIGINT AS missing_events\n"
        "FROM tombstones WHERE last_ns >= $from_ns AND first_ns < $to_ns\n"
        "GROUP BY host, tombstones.kind, reason\n"
        "ORDER BY noticed DESC LIMIT 50",
    ),
    Measure(
        id="checkpoints",
        title="Signed checkpoints, and what of them is kept outside",
        says="The collector signs the whole record every while. Whether it is still as it was "
        "signed is told by `holdfast trail verify`, from the files alone.",
        figures="SELECT count(DISTINCT c.number) AS seen,\n"
        "       (count(DISTINCT c.number) > 0 AND count(a.checkpoint) = 0)::INT AS gaps,\n"
        "       count(DISTINCT a.checkpoint) AS anchored, count(DISTINCT c.signed_by) AS keys,\n"
        "       CASE WHEN count(a.checkpoint) = 0 THEN 'unanchored' ELSE 'anchored up to '\n"
        "            || max(a.checkpoint) END AS state\n"
        "FROM checkpoints c LEFT JOIN anchors a ON a.checkpoint = c.number\n"
        "WHERE c.time_ns >= $from_ns AND c.time_ns < $to_ns",
        sample='SELECT make_timestamp(c.time_ns // 1000) AS "when", c.number, c.digest,\n'
        "       a.anchor, a.receipt\n"
        "FROM checkpoints c LEFT JOIN anchors a ON a.checkpoint = c.number\n"
        "WHERE c.time_ns >= $from_ns AND c.time_ns < $to_ns ORDER BY c.number DESC LIMIT 10",
    ),
    Measure(
        id="rejected",
        title="Messages that were not believed",
        says="What came over the network without a valid signature or form, and had no effect.",
        figures="SELECT (SELECT count(*) FROM batches WHERE $received) AS seen,\n"
        "       0 AS gaps, count(*) AS messages FROM rejected WHERE $received",
        exceptions="SELECT make_timestamp(received_ns // 1000) AS received, stream, host, reason\n"
        "FROM rejected WHERE $received ORDER BY received_ns DESC LIMIT 50",
    ),
    Measure(
        id="clocks",
        title="Clocks of the hosts",
        says="How far the newest event of a batch is from when it arrived. A host whose events "
        "come from the future by more than a minute has a wrong clock.",
        figures="SELECT count(*) AS seen,\n"
        "       count(*) FILTER (last_event_ns - received_ns > 60e9) AS gaps,\n"
        "       round(median(received_ns - last_event_ns) / 1e9, 2) AS median_seconds_behind,\n"
        "       round(max(last_event_ns - received_ns) / 1e9, 2) AS most_seconds_ahead\n"
        "FROM batches WHERE $received AND last_event_ns IS NOT NULL",
    ),
    Measure(
        id="content",
        title="What a record says",
        says="Records of acts have who, what, where, when and with what result.",
        figures="SELECT count(*) AS seen,\n"
        "       count(*) FILTER (subject = '' OR host = '' OR what = '' OR rule = '') AS gaps,\n"
        "       count(DISTINCT host) AS hosts, count(DISTINCT subject) AS subjects\n"
        "FROM requests WHERE $held",
        sample="SELECT make_timestamp(opened_ns // 1000) AS opened, host_name AS host,\n"
        '       subject, "user", login_user, executable, kind, what, rule, state, outcome\n'
        "FROM requests WHERE $held ORDER BY opened_ns DESC LIMIT 10",
    ),
    Measure(
        id="retention",
        title="How far back the record goes",
        says="The oldest and the newest batch of events that was taken in, and what of the events "
        "retention has dropped since; their batches, holds and decisions are kept.",
        figures="SELECT count(*) AS seen, 0 AS gaps,\n"
        "       strftime(make_timestamp(min(received_ns) // 1000), '%Y-%m-%d') AS oldest,\n"
        "       strftime(make_timestamp(max(received_ns) // 1000), '%Y-%m-%d') AS newest,\n"
        "       sum(count)::BIGINT AS events,\n"
        "       (SELECT coalesce(sum(events), 0)::BIGINT FROM tombstones) AS dropped_by_retention\n"
        "FROM batches",
        sample="SELECT * FROM dropped_by_retention LIMIT 50",
    ),
)

BY_ID = {measure.id: measure for measure in MEASURES}
