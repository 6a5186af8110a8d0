"""How reviewers decide: how many answers, how fast, and how many in less time than reading takes.

By person, each one's own votes; and by rule, what its requests came to. Seconds run from when the
host opened the hold to the answer; for holds that were answered together, from the first of them.
"""

_UNDER_2_S = "avg((seconds < 2)::INT)"

# What decided: the votes, or the decision itself where it names none.
_ANSWER = "CASE WHEN len(d.votes) > 0 THEN d.votes ELSE [d.request] END"

# One row per answer, whoever else had to answer too. A vote that names several holds is one.
_REVIEWERS = """
SELECT who, count(*) AS answers, median(seconds) AS median_seconds,
       quantile_cont(seconds, 0.9) AS p90_seconds, {under} AS share_under_2_s,
       avg(approved::INT) AS share_approved, max("when") AS last
FROM (SELECT v."by" AS who, v.answer = 'approve' AS approved,
             make_timestamp(v.time_ns // 1000) AS "when",
             greatest(v.time_ns - h.opened_ns, 0) / 1e9 AS seconds
      FROM votes v JOIN holds h ON h.hold = v.request
      WHERE v.time_ns >= {since})
GROUP BY who
ORDER BY answers DESC, who
"""

# One row per answered request. Holds that the same votes decided were one request.
_RULES = """
SELECT rule, count(*) AS decisions, sum(together)::BIGINT AS holds,
       median(seconds) AS median_seconds, quantile_cont(seconds, 0.9) AS p90_seconds,
       {under} AS share_under_2_s, avg(approved::INT) AS share_approved, max("when") AS last
FROM (SELECT h.rule, d.answer = 'approve' AS approved,
             make_timestamp(d.time_ns // 1000) AS "when",
             greatest(d.time_ns - h.opened_ns, 0) / 1e9 AS seconds,
             count(*) OVER (PARTITION BY h.rule, {answer}) AS together
      FROM decisions d JOIN holds h USING (request)
      WHERE d.ground IN ('decision', 'break_glass') AND d.time_ns >= {since}
      QUALIFY row_number() OVER (PARTITION BY h.rule, {answer} ORDER BY h.opened_ns, h.hold) = 1)
GROUP BY rule
ORDER BY decisions DESC, rule
"""


def reviewer_figures(since: str = "0") -> str:
    """Return the SELECT by person; `since` is SQL for nanoseconds since the epoch."""
    return _REVIEWERS.format(under=_UNDER_2_S, since=since)


def rule_figures(since: str = "0") -> str:
    """Return the SELECT by rule; `since` is SQL for nanoseconds since the epoch."""
    return _RULES.format(answer=_ANSWER, under=_UNDER_2_S, since=since)
