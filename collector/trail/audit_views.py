"""Views for whoever audits: what people approved and saw, what nobody decided, who was silent."""

from collector.trail.what import WHAT

_EVENT_WHAT = """CASE WHEN e.kind = 'exec'
            THEN coalesce(nullif(array_to_string(e.argv, ' '), ''), e.program)
            WHEN e.second_path IS NOT NULL THEN e.path || ' -> ' || e.second_path
            ELSE coalesce(e.path, e.address || ' port ' || e.port, e.operation, e.detail, '') END"""

# Everything of one session, acts and what became of those that were held. Ask it with a session.
SESSION_TIMELINE = f"""
SELECT e."when", e.session, e.host, 'act' AS happened, e.kind,
       {_EVENT_WHAT} AS what, e.action, e."count", e.guarantee, e.rule,
       '' AS who, coalesce(e.detail, '') AS reason, e.hold, e.time_ns
FROM events e
WHERE e.session IS NOT NULL
UNION ALL
SELECT make_timestamp(h.opened_ns // 1000), h.session, h.host, 'opened', h.kind, {WHAT}, 'ask', 1,
       h.guarantee, h.rule, h."user", h.claim, h.hold, h.opened_ns
FROM holds h
UNION ALL
SELECT make_timestamp(s.time_ns // 1000), h.session, h.host, s.state, h.kind, {WHAT}, 'ask', 1,
       h.guarantee, h.rule, s."by", s.reason, h.hold, s.time_ns
FROM hold_states s JOIN holds h USING (hold)
UNION ALL
SELECT make_timestamp(v.time_ns // 1000), h.session, h.host, 'voted ' || v.answer, h.kind, {WHAT},
       'ask', 1, h.guarantee, h.rule, v."by", v.reason, h.hold, v.time_ns
FROM votes v JOIN holds h USING (request)
ORDER BY time_ns
"""  # noqa: S608 - fixed text

# One row per person and act: a vote on identical holds is about each of them.
APPROVED_BY_PERSON = """
SELECT make_timestamp(v.time_ns // 1000) AS "when", v."by" AS who, r.kind, r.what,
       r.host_name AS host, r.subject, r.session, r.rule, r.severity, v.reason, v.via, v.policy,
       v.ground, coalesce(r.answer, 'undecided') AS decided, r.state,
       coalesce(r.outcome, CASE r.kind WHEN 'ask' THEN 'no host' ELSE 'not confirmed' END)
         AS host_confirmed,
       v.digest, r.request, v.vote
FROM (SELECT *, unnest(list_append(also, request)) AS asked FROM votes WHERE answer = 'approve') v
JOIN requests r ON r.request = v.asked
ORDER BY "when" DESC
"""

RELEASED_WITHOUT_PERSON = """
SELECT l."when", coalesce(l.ground, 'none') AS ground, l.host, l.kind, l.what, l.guarantee, l.rule,
       l.host_says_by, coalesce(g."by", '') AS granted_by, l.explained, l.reason, l.detail,
       l.request
FROM releases l
LEFT JOIN (SELECT e.hold, any_value(g."by") AS "by"
           FROM order_effects e JOIN grants g ON g."grant" = e.order_id AND g.host = e.host
           GROUP BY e.hold) g ON g.hold = l.request
WHERE coalesce(l.ground, 'none') NOT IN ('decision', 'break_glass')
ORDER BY l."when" DESC
"""

# By people, by rules that ask nobody, and by orders.
DENIED = f"""
SELECT make_timestamp(coalesce(r.outcome_ns, r.decided_ns) // 1000) AS "when",
       coalesce(nullif(r.decided_by, ''), nullif(r.host_says_by, ''),
                'nobody (' || coalesce(r.ground, 'unknown') || ')') AS who,
       coalesce(r.ground, 'decision') AS ground, r.host, r.subject, r.session, r.kind, r.what,
       r.rule, r.guarantee, coalesce(r.decision_reason, r.host_says_reason, '') AS reason,
       coalesce(r.outcome, 'not confirmed') AS host_confirmed, r.request
FROM requests r
WHERE r.state = 'denied'
UNION ALL
SELECT e."when", 'nobody (rule)', 'rule', e.host, e.subject, e.session,
       e.kind, {_EVENT_WHAT}, e.rule, e.guarantee, coalesce(e.detail, ''),
       CASE WHEN e.result < 0 THEN 'refused' ELSE 'not confirmed' END, coalesce(e.hold, '')
FROM events e
WHERE e.action = 'deny' AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.hold = e.hold)
ORDER BY "when" DESC
"""  # noqa: S608 - fixed text

EXPIRED = """
SELECT make_timestamp(coalesce(r.outcome_ns, r.deadline_ns) // 1000) AS "when",
       make_timestamp(r.opened_ns // 1000) AS opened, r.host_name AS host, r.subject, r.session,
       r.kind, r.what, r.rule, r.severity, r.owner,
       coalesce(r.outcome, CASE r.kind WHEN 'ask' THEN 'no host' ELSE 'not confirmed' END)
         AS host_confirmed,
       coalesce(r.decided_by, '') AS answered_too_late_by, r.request
FROM requests r
WHERE r.state = 'expired'
ORDER BY "when" DESC
"""

# What a rule wanted stopped and what ran all the same, as far as anybody noticed.
ESCAPED = f"""
SELECT e."when", 'it had happened when it was noticed' AS how,
       e.host, e.subject, e.session, e.kind, {_EVENT_WHAT} AS what, e.rule, e.action,
       coalesce(e.hold, '') AS request
FROM events e
WHERE e.guarantee = 'late' AND e.action IN ('ask', 'deny')
UNION ALL
SELECT l."when", 'released, and the centre knows no decision for it', h.host, h.subject, h.session,
       l.kind, l.what, l.rule, 'ask', l.request
FROM releases l JOIN holds h USING (request)
WHERE NOT l.explained
ORDER BY "when" DESC
"""  # noqa: S608 - fixed text

# Times in which no batch of a host came. One that watches nobody has nothing to say either.
SILENT_AGENTS = """
SELECT make_timestamp(s.since_ns // 1000) AS since, make_timestamp(s.until_ns // 1000) AS until,
       (coalesce(s.until_ns, epoch_ns(now())) - s.since_ns) / 1e9 AS seconds,
       s.host, n.name, s.until_ns IS NULL AS still
FROM (SELECT host, received_ns AS since_ns,
             lead(received_ns) OVER (PARTITION BY host ORDER BY received_ns) AS until_ns
      FROM (SELECT host, received_ns FROM batches
            UNION ALL SELECT host, received_ns FROM hosts)) s
LEFT JOIN (SELECT host, arg_max(name, received_ns) AS name FROM hosts GROUP BY host) n
       ON n.host = s.host
WHERE coalesce(s.until_ns, epoch_ns(now())) - s.since_ns >= 600_000_000_000
ORDER BY since DESC
"""

WHAT_REVIEWERS_SAW = f"""
SELECT make_timestamp(v.time_ns // 1000) AS "when", v."by" AS who, v.via, v.answer, h.kind,
       {WHAT} AS what, h.claim, v.digest, v.digest = h.digest AS same_as_held, h.request, v.vote,
       v.card, sha256('holdfast card 1' || chr(0) || c.content) = v.card AS card_is_of_content,
       c.content AS card_content
FROM votes v JOIN holds h USING (request)
LEFT JOIN cards c ON c.card = v.card AND c.request = v.request
ORDER BY "when" DESC
"""  # noqa: S608 - fixed text

# What is no longer in `events`, of which host and kind, and until when: each tombstone is signed.
DROPPED_BY_RETENTION = """
SELECT make_timestamp(max(time_ns) // 1000) AS "when", host,
       coalesce(nullif(kind, ''), 'every kind') AS kind, sum(events)::BIGINT AS events,
       make_timestamp(min(first_ns) // 1000) AS since,
       make_timestamp(max(last_ns) // 1000) AS until, reason,
       arg_max(policy, time_ns) AS retention_policy, count(*) AS tombstones
FROM tombstones
GROUP BY host, kind, reason
ORDER BY "when" DESC, host, kind
"""

AUDIT_VIEWS: dict[str, str] = {
    "session_timeline": SESSION_TIMELINE,
    "approved_by_person": APPROVED_BY_PERSON,
    "released_without_person": RELEASED_WITHOUT_PERSON,
    "denied": DENIED,
    "expired": EXPIRED,
    "escaped": ESCAPED,
    "silent_agents": SILENT_AGENTS,
    "what_reviewers_saw": WHAT_REVIEWERS_SAW,
    "dropped_by_retention": DROPPED_BY_RETENTION,
}
"""They stand on those of views.py, in this order."""
