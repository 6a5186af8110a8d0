"""The views that answer an auditor's questions by name. Times are UTC; see docs/trail.md."""

from collector.trail.audit_views import AUDIT_VIEWS
from collector.trail.figures import reviewer_figures, rule_figures
from collector.trail.what import WHAT

# One row per hold, with what people said and what the host did. The host's word on how the wait
# ended comes before the centre's decision: a decision that came too late did not end it.
_REQUESTS = f"""
WITH told AS (
  SELECT hold, arg_min(state, sequence) FILTER (ends) AS state,
         arg_min(state, sequence) FILTER (does) AS outcome,
         -- The first word counts: a host repeats its state when it records an answer that came too
         -- late. It may name no ground, and then none of a later word counts.
         arg_min(time_ns, sequence) FILTER (does) AS time_ns,
         arg_min_null(ground, sequence) FILTER (does) AS ground,
         arg_min("by", sequence) FILTER (does) AS "by",
         arg_min(reason, sequence) FILTER (does) AS reason
  FROM (SELECT *, state IN ('approved', 'denied', 'expired', 'cancelled', 'superseded') AS ends,
               state IN ('released', 'killed', 'refused') AS does FROM hold_states)
  WHERE ends OR does
  GROUP BY hold
)
SELECT h.request, h.hold, h.host, h.host_name, h.opened_ns, h.deadline_ns, h.rule, h.severity,
       h.subject, h.session, h.owner, h.user, h.login_user, h.kind, h.guarantee, h.pid,
       {WHAT} AS what,
       h.executable, h.digest,
       -- An ask has no host: the centre's decision is its end, also where that is nobody's answer.
       coalesce(o.state, CASE WHEN h.kind = 'ask' AND d.ground = 'timeout_policy' THEN 'expired'
                              WHEN h.kind = 'ask' AND d.ground = 'withdrawn' THEN 'cancelled'
                              WHEN d.answer = 'approve' THEN 'approved'
                              WHEN d.answer = 'deny' THEN 'denied' END,
                'open') AS state,
       o.outcome, o.time_ns AS outcome_ns, o.ground,
       d.answer, d."by" AS decided_by, d.via, d.reason AS decision_reason, d.time_ns AS decided_ns,
       o."by" AS host_says_by, o.reason AS host_says_reason, h.claim
FROM holds h
LEFT JOIN told o USING (hold)
LEFT JOIN decisions d USING (request)
"""  # noqa: S608 - fixed text

# Where people decided, they are named as the centre knew them; elsewhere the host's own word
# counts, and an answer that came too late is nobody's doing.
_WHO = """
SELECT make_timestamp(coalesce(outcome_ns, decided_ns) // 1000) AS "when",
       CASE WHEN coalesce(ground, 'decision') IN ('decision', 'break_glass')
            THEN coalesce(decided_by, host_says_by)
            ELSE coalesce(nullif(host_says_by, ''), 'nobody (' || ground || ')') END AS who,
       kind, what, host_name AS host, subject,
       CASE WHEN coalesce(ground, 'decision') IN ('decision', 'break_glass')
                 AND decided_by IS NOT NULL
            THEN decision_reason ELSE coalesce(host_says_reason, '') END AS reason,
       coalesce(ground, '') AS ground, guarantee, rule, state,
       coalesce(outcome, CASE kind WHEN 'ask' THEN 'no host' ELSE 'not confirmed' END)
         AS host_confirmed,
       via, "user", login_user, request, digest
FROM requests
"""

_WHO_ALLOWED = (
    _WHO
    + """
WHERE outcome = 'released' OR (state = 'approved' AND outcome IS NULL)
ORDER BY "when" DESC
"""
)

_WHO_DENIED = (
    _WHO
    + """
WHERE outcome IN ('killed', 'refused') OR (state = 'denied' AND outcome IS NULL)
ORDER BY "when" DESC
"""
)

_RELEASES = f"""
SELECT make_timestamp(s.time_ns // 1000) AS "when", s.ground, h.host_name AS host, h.kind,
       {WHAT} AS what, h.guarantee, h.rule, s."by" AS host_says_by, d."by" AS decided_by, d.answer,
       -- What the host says must be borne out by a signed decision or grant, where it names one.
       CASE WHEN s.ground IS NULL THEN false
            WHEN s.ground IN ('decision', 'break_glass')
            THEN coalesce(d.answer = 'approve' AND d.ground = s.ground, false)
            WHEN s.ground = 'grant' THEN EXISTS (
              SELECT 1 FROM order_effects e JOIN grants g ON g."grant" = e.order_id
              WHERE e.hold = s.hold AND g.host = s.host)
            ELSE true END AS explained,
       s.reason, s.detail, h.request, s.verdict
FROM hold_states s
JOIN holds h USING (hold)
LEFT JOIN decisions d ON d.request = h.request
WHERE s.state = 'released'
      -- A host may say it again. With a window, a stretch of time would be looked for last.
      AND NOT EXISTS (SELECT 1 FROM hold_states x WHERE x.hold = s.hold AND x.state = 'released'
                      AND x.sequence < s.sequence)
ORDER BY "when" DESC
"""  # noqa: S608 - fixed text

_BREAK_GLASS = """
SELECT make_timestamp(d.time_ns // 1000) AS "when", d."by" AS who, d.reason, r.kind, r.what,
       r.host_name AS host, r.subject, r.rule, r.severity, d.policy, v.groups, d.via,
       -- A host that heard of it too late names the verdict and no ground; what
       -- became of the act had another ground.
       CASE WHEN r.ground = 'break_glass' THEN r.outcome
            ELSE CASE WHEN EXISTS (SELECT 1 FROM hold_states s WHERE s.hold = r.hold
                                   AND s.verdict IS NOT NULL AND s.ground IS NULL)
                      THEN 'too late, refused'
                      WHEN r.outcome IS NULL THEN 'not confirmed' ELSE 'not obeyed' END
                 || coalesce('; then ' || r.outcome || ' (' || r.ground || ')',
                             CASE r.state WHEN 'cancelled' THEN '; then the process ended' END, '')
       END AS host_confirmed,
       d.request
FROM decisions d
JOIN requests r USING (request)
LEFT JOIN votes v ON v.vote = d.votes[1]
WHERE d.ground = 'break_glass'
ORDER BY "when" DESC
"""

_PENDING = """
SELECT make_timestamp(opened_ns // 1000) AS opened,
       CASE WHEN deadline_ns > 0 THEN make_timestamp(deadline_ns // 1000) END AS deadline,
       host_name AS host, subject, kind, what, rule, severity, guarantee, owner, request
FROM requests
WHERE state = 'open'
ORDER BY opened
"""

_GAPS = """
SELECT make_timestamp(received_ns // 1000) AS noticed, host, kind, detail,
       missing_batches, missing_events
FROM chain_breaks
UNION ALL BY NAME
SELECT "when" AS noticed, host, 'lost on the host' AS kind,
       coalesce(detail, '') AS detail, 0 AS missing_batches, "count" AS missing_events
FROM events
WHERE kind = 'gap'
UNION ALL BY NAME
SELECT make_timestamp(missing_ns // 1000) AS noticed, NULL AS host, 'segment missing' AS kind,
       'the file ' || file || ' is gone; events from ' || make_timestamp(first_ns // 1000)
         || ' to ' || make_timestamp(last_ns // 1000) AS detail,
       0 AS missing_batches, rows AS missing_events
FROM segments
WHERE missing_ns IS NOT NULL
ORDER BY noticed DESC
"""

# Which grants can still let something pass, as far as the centre knows: the host's own clocks end
# them, and so does its restart.
_GRANTS_IN_FORCE = """
SELECT make_timestamp(g.time_ns // 1000) AS made, make_timestamp(g.expires_ns // 1000) AS expires,
       g.host, g.subject, g.session, g.kind, g.what, g.rule, g."by", g.via, g.reason,
       g.uses, count(e.hold) AS used, g.request, g."grant"
FROM grants g
LEFT JOIN order_effects e ON e.order_id = g."grant" AND e.host = g.host
WHERE g.expires_ns > epoch_ns(now())
  AND NOT EXISTS (SELECT 1 FROM grant_revocations r WHERE r."grant" = g."grant")
GROUP BY ALL
HAVING count(e.hold) < g.uses
ORDER BY made DESC
"""

# A decision for a time has a grant, unless its whole life was over before the centre could make it:
# the votes say what was wanted, of each thing the least, as collector/orders/terms.py reads them.
_GRANTS_NOT_MADE = """
WITH wanted AS (
  SELECT d.request, min(v.grant_minutes) AS minutes, min(v.grant_uses) AS uses,
         bool_and(v.grant_whole_subject) AS whole_subject
  FROM decisions d
  JOIN votes l ON l.vote = d.votes[-1] AND l.request = d.request
  JOIN (SELECT DISTINCT unnest(list_append(also, request)) AS asked, vote, grant_minutes,
               grant_uses, grant_whole_subject, time_ns
        FROM votes WHERE answer = 'approve' AND ground = 'decision') v
    ON v.asked = d.request AND v.time_ns <= d.time_ns
  WHERE d.answer = 'approve' AND d.ground = 'decision'
  GROUP BY d.request
  HAVING count(v.grant_minutes) = count(*)
)
SELECT make_timestamp(d.time_ns // 1000) AS "when", d."by", r.host_name AS host, r.subject, r.kind,
       r.what, w.minutes, w.uses, w.whole_subject, r.outcome AS host_confirmed,
       CASE WHEN epoch_ns(now()) < d.time_ns + w.minutes * 60000000000 THEN 'it is being made'
            ELSE 'its time was over before the centre could make it' END AS why,
       d.request
FROM wanted w
JOIN decisions d USING (request)
JOIN requests r USING (request)
ANTI JOIN grants g ON g.request = d.request
ORDER BY "when" DESC
"""

_GRANT_USES = """
SELECT make_timestamp(e.time_ns // 1000) AS "when", r.host_name AS host, r.subject, r.session,
       r.kind, r.what, g."by" AS granted_by, g.reason, e.state, r.outcome, r.request,
       e.order_id AS "grant", g.request AS granted_with
FROM order_effects e
JOIN requests r ON r.hold = e.hold AND r.host = e.host
JOIN grants g ON g."grant" = e.order_id AND g.host = e.host
ORDER BY "when" DESC
"""

_QUARANTINES_IN_FORCE = """
SELECT make_timestamp(min(q.time_ns) // 1000) AS since, q.subject,
       CASE WHEN q.everywhere THEN 'everywhere' ELSE string_agg(DISTINCT q.host, ', ') END AS hosts,
       any_value(q."by") AS "by", any_value(q.via) AS via, any_value(q.reason) AS reason,
       q.quarantine
FROM quarantines q
WHERE NOT EXISTS (SELECT 1 FROM quarantine_lifts l WHERE l.quarantine = q.quarantine)
GROUP BY q.quarantine, q.subject, q.everywhere
ORDER BY since DESC
"""

_WHO_SIGNED_IN = """
SELECT make_timestamp(time_ns // 1000) AS "when", person, role, what, outcome, via, reason, address,
       times, done_by, proof, identity
FROM sign_ins
ORDER BY time_ns DESC
"""

VIEWS: dict[str, str] = {
    "requests": _REQUESTS,
    "who_allowed": _WHO_ALLOWED,
    "who_denied": _WHO_DENIED,
    "releases": _RELEASES,
    "break_glass": _BREAK_GLASS,
    "pending": _PENDING,
    "gaps": _GAPS,
    "reviewer_figures": reviewer_figures(),
    "rule_figures": rule_figures(),
    "grants_in_force": _GRANTS_IN_FORCE,
    "grant_uses": _GRANT_USES,
    "grants_not_made": _GRANTS_NOT_MADE,
    "quarantines_in_force": _QUARANTINES_IN_FORCE,
    "who_signed_in": _WHO_SIGNED_IN,
    **AUDIT_VIEWS,
}
