"""Questions about a moment that the asker names: table macros, called like functions."""

# As the view grants_in_force, which is about now.
_GRANTS_IN_FORCE_AT = """
CREATE OR REPLACE MACRO grants_in_force_at(moment) AS TABLE
SELECT make_timestamp(g.time_ns // 1000) AS made, make_timestamp(g.expires_ns // 1000) AS expires,
       g.host, g.subject, g.session, g.kind, g.what, g.rule, g."by", g.via, g.reason,
       g.uses, count(e.hold) AS used, g.request, g."grant"
FROM grants g
LEFT JOIN order_effects e ON e.order_id = g."grant" AND e.host = g.host
                         AND e.time_ns <= epoch_ns(moment::TIMESTAMP)
WHERE g.time_ns <= epoch_ns(moment::TIMESTAMP) AND g.expires_ns > epoch_ns(moment::TIMESTAMP)
  AND NOT EXISTS (SELECT 1 FROM grant_revocations r
                  WHERE r."grant" = g."grant" AND r.time_ns <= epoch_ns(moment::TIMESTAMP))
GROUP BY ALL
HAVING count(e.hold) < g.uses
ORDER BY made DESC
"""

MACROS: dict[str, str] = {"grants_in_force_at": _GRANTS_IN_FORCE_AT}
"""Statements that make them, by name. Each takes one TIMESTAMP (UTC)."""
