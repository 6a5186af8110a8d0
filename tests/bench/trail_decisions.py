"""What people and hosts said about the held acts of a made trail, and the links of its batches.

Made inside the trail by SQL from its own events, so that each request is about one of them.
Of a hundred holds about eighty are answered by people, twelve pass by a grant, five expire.
"""

import duckdb

from tests.bench.trail_shape import BEGIN_NS, DAY_NS, DAYS, HOSTS, Shape

_MACROS = f"""
CREATE TEMP MACRO a_key() AS repeat('k', 44);
CREATE TEMP MACRO day_ns(day) AS {BEGIN_NS} + (day * {DAY_NS})::BIGINT;
CREATE TEMP MACRO host_count() AS {HOSTS};
CREATE TEMP MACRO day_count() AS {DAYS};
"""

_HELD = """
CREATE TEMP TABLE held AS
SELECT *, hash(hold) % 1000 AS fate,
       time_ns + (1 + hash(hold, 1) % 90)::BIGINT * 1000000000 AS end_ns,
       printf('person-%d@example.com', hash(hold, 2) % 12) AS person, md5(hold || 'd') AS half,
       'host-' || right(host, 2) AS host_name
FROM events WHERE action = 'ask' ORDER BY time_ns
"""
# fate: to 699 approved, 779 denied, 781 by breaking the glass, 900 by a grant, 950 expired, then
# what the host let go when nobody answered.
_HOLDS = """
INSERT INTO holds BY NAME
SELECT hold, hold AS request, host, host_name, '11111111-2222-3333-4444-555555555555' AS boot_id,
       time_ns AS opened_ns, 1 AS deadline_boot_ns, time_ns + 900000000000 AS deadline_ns,
       printf('owner-%d@example.com', hash(session) % 5) AS owner, coalesce(rule, '') AS rule,
       'what it guards' AS rule_description, 'high' AS severity, true AS reason_required,
       'kill' AS on_timeout, 'process' AS kill, half AS ruleset, half || half AS digest, kind,
       guarantee, subject, session, pid, uid, subject AS "user", login_uid, '' AS login_user,
       program AS executable, argv, '/srv/code' AS cwd, '' AS path, transport, '' AS address,
       0 AS port,
       json_object('argv', argv, 'executable', program, 'cwd', '/srv/code', 'pid', pid)::VARCHAR
         AS act,
       encode(json_object('argv', argv, 'executable', program, 'cwd', '/srv/code', 'digest',
                          half || half)::VARCHAR) AS message,
       time_ns + 5000000 AS received_ns, '' AS claim, 0 AS claim_ns, '' AS session_name,
       '' AS second_path, '' AS operation, '' AS target_comm, 'kill' AS on_deny,
       'keep' AS on_no_agent
FROM held
"""
_STATES = """
INSERT INTO hold_states BY NAME
SELECT hold, host, sequence, state, time_ns, CASE WHEN sequence = 3 THEN ground END AS ground,
       CASE WHEN sequence = 3 AND ground IN ('decision', 'break_glass') THEN half END AS verdict,
       CASE WHEN sequence = 3 AND ground IN ('decision', 'break_glass') THEN person ELSE '' END
         AS "by",
       '' AS reason, '' AS detail, time_ns + 3000000 AS received_ns, 0 AS denied_beyond
FROM (
  SELECT hold, host, half, person, unnest([1, 2, 3]) AS sequence,
         unnest(['held',
                 CASE WHEN fate < 700 OR fate >= 780 AND fate < 900 THEN 'approved'
                      WHEN fate < 780 THEN 'denied' ELSE 'expired' END,
                 CASE WHEN fate < 700 OR fate >= 780 AND fate < 900 OR fate >= 950 THEN 'released'
                      ELSE 'killed' END]) AS state,
         unnest([time_ns, end_ns, end_ns + 4000000]) AS time_ns,
         CASE WHEN fate < 780 THEN 'decision' WHEN fate < 782 THEN 'break_glass'
              WHEN fate < 900 THEN 'grant' ELSE 'timeout_policy' END AS ground
  FROM held)
"""
_VOTES = """
INSERT INTO votes BY NAME
SELECT md5(hold || 'v') AS vote, hold AS request, person AS "by", 'slack' AS via,
       CASE WHEN fate < 700 OR fate >= 780 THEN 'approve' ELSE 'deny' END AS answer,
       printf('because of ticket %d', fate) AS reason, half || half AS digest, end_ns AS time_ns,
       a_key() AS signed_by, end_ns + 2000000 AS received_ns, ['reviewers'] AS groups,
       'two-eyes' AS policy, [''] AS counts_for, half || half AS card,
       CASE WHEN fate < 780 THEN 'decision' ELSE 'break_glass' END AS ground,
       []::VARCHAR[] AS names, []::VARCHAR[] AS also, []::VARCHAR[] AS also_digests,
       CASE WHEN fate < 20 THEN 60 END AS grant_minutes, CASE WHEN fate < 20 THEN 20 END
         AS grant_uses, CASE WHEN fate < 20 THEN false END AS grant_whole_subject
FROM held WHERE fate < 782
"""
_CARDS = """
INSERT INTO cards BY NAME
SELECT half || half AS card, hold AS request,
       json_object('argv', argv, 'executable', program, 'host', host_name, 'rule', rule,
                   'session', session, 'subject', subject, 'digest', half || half)::VARCHAR
         AS content, a_key() AS signed_by, end_ns AS received_ns
FROM held WHERE fate < 782
"""
_DECISIONS = """
INSERT INTO decisions BY NAME
SELECT request, answer, ground, "by", via, reason, digest, [vote] AS votes, time_ns, signed_by,
       received_ns, policy
FROM votes
"""
_GRANTS = """
INSERT INTO grants BY NAME
SELECT md5(hold || 'g') AS "grant", host, subject, session, kind, coalesce(rule, '') AS rule,
       array_to_string(argv, ' ') AS what, 20 AS uses, '1' AS boot_id, 1 AS expires_boot_ns,
       end_ns + 3600000000000 AS expires_ns, hold AS request, person AS "by", 'slack' AS via,
       'for an hour' AS reason, end_ns AS time_ns, encode(repeat(half, 12)) AS message,
       a_key() AS signed_by, end_ns AS received_ns
FROM held WHERE fate < 20
"""
_EFFECTS = """
INSERT INTO order_effects BY NAME
SELECT u.hold, u.host, g."grant" AS order_id, 'released' AS state, u.time_ns, u.time_ns
         AS received_ns
FROM (SELECT hold, host, end_ns AS time_ns FROM held WHERE fate >= 782 AND fate < 900) u
ASOF JOIN grants g ON g.host = u.host AND g.time_ns <= u.time_ns
"""
_BATCHES = """
INSERT INTO batches BY NAME
SELECT e.host, e.batch AS sequence, min(e.number) AS first, count(*) AS count,
       md5(e.host || e.batch) || md5(e.host || (e.batch + 7)) AS previous,
       md5(e.host || (e.batch + 1)) || md5(e.host || (e.batch + 8)) AS chain,
       max(e.time_ns) AS last_event_ns,
       coalesce(sum(e.count) FILTER (e.kind = 'gap'), 0)::BIGINT AS gap_events,
       max(e.time_ns) + 30000000 AS received_ns, 2 AS chain_version,
       -- As many kinds as a batch has in the mean, each with the digest over its events.
       '[["connect",20,"' || md5(e.host || e.batch || 1) || md5(e.host || e.batch || 6)
       || '"],["create",12,"' || md5(e.host || e.batch || 2) || md5(e.host || e.batch || 7)
       || '"],["exec",35,"' || md5(e.host || e.batch || 3) || md5(e.host || e.batch || 8)
       || '"],["open",165,"' || md5(e.host || e.batch || 4) || md5(e.host || e.batch || 9)
       || '"],["send",18,"' || md5(e.host || e.batch || 5) || md5(e.host || e.batch || 10)
       || '"]]' AS groups
FROM events e GROUP BY e.host, e.batch ORDER BY received_ns
"""
_OTHERS = (
    """
INSERT INTO hosts BY NAME
SELECT md5(host || '-' || day) AS record, printf('%032x', host + 1) AS host,
       printf('host-%02x', host + 1) AS name, 'gate' AS mode, '6.1.0' AS kernel,
       '1.0' AS version, '1' AS boot_id, ['ai-coder', 'ai-ops', 'ai-data'] AS subjects,
       'r' AS ruleset, day_ns(day) AS started_ns, day_ns(day) AS received_ns,
       []::VARCHAR[] AS without_effect
FROM range(host_count()) h(host), range(day_count()) d(day)
""",
    """
INSERT INTO sign_ins BY NAME
SELECT md5(i::VARCHAR) AS sign_in, 'sign_in' AS what, 'ok' AS outcome,
       printf('person-%d@example.com', i % 12) AS person, 'reviewer' AS role, 'browser' AS via,
       md5(i::VARCHAR) AS proof, 'https://id.example.com ' || i % 12 AS identity, '' AS reason,
       '192.0.2.7' AS address, '' AS done_by, 1 AS times,
       day_ns(i * day_count() / 5000) AS time_ns, a_key() AS seen_by,
       day_ns(i * day_count() / 5000) AS received_ns
FROM range(5000) r(i)
""",
    """
INSERT INTO chain_breaks BY NAME
SELECT printf('%032x', i % host_count() + 1) AS host, i + 1 AS sequence, 'gap' AS kind,
       'batches are missing' AS detail, 1 AS missing_batches, 250 AS missing_events,
       day_ns(i * day_count() / 40) AS received_ns
FROM range(40) r(i)
""",
    """
INSERT INTO comments BY NAME
SELECT md5(hold || 'c') AS comment, hold AS request, person AS "by", 'web' AS via,
       'looks as it should' AS text, end_ns - 1000000 AS time_ns, a_key() AS signed_by,
       end_ns AS received_ns
FROM held WHERE fate % 20 = 3
""",
    """
INSERT INTO quarantines BY NAME
SELECT md5('q' || i) AS quarantine, 'ai-ops' AS subject, false AS everywhere,
       md5('o' || i) AS order_id, printf('%032x', i + 1) AS host, 'ann@example.com' AS "by",
       'web' AS via, 'looks wrong' AS reason, day_ns(i) AS time_ns,
       encode('') AS message, a_key() AS signed_by, day_ns(i) AS received_ns
FROM range(8) r(i)
""",
    """
INSERT INTO quarantine_lifts BY NAME
SELECT quarantine, md5(order_id) AS order_id, host, "by", via, reason,
       time_ns + 3600000000000 AS time_ns, message, signed_by, received_ns
FROM quarantines LIMIT 6
""",
)


def fill(connection: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """Write the tables of a trail whose events are there, in the order in which rows come."""
    connection.execute(_MACROS)
    connection.execute(_HELD)
    for statement in (_HOLDS, _STATES, _VOTES, _CARDS, _DECISIONS, _GRANTS, _EFFECTS, *_OTHERS):
        connection.execute(statement)
    connection.execute("DROP TABLE held")
    connection.execute(_BATCHES)
    row = connection.execute("SELECT sum(count) FROM batches").fetchone()
    assert row is not None
    assert row[0] == shape.total, (row, shape)
