"""How an older trail becomes one of today: statements by the version that they lead to.

What is already written keeps its meaning: a new column says of old rows what was true of them.
"""

from collections.abc import Mapping

MIGRATIONS: Mapping[int, tuple[str, ...]] = {
    # Approval policies: until then each vote decided, and nothing was known of groups.
    2: (
        "ALTER TABLE votes ADD COLUMN groups VARCHAR[] DEFAULT []",
        "ALTER TABLE votes ALTER COLUMN groups SET NOT NULL",
        "ALTER TABLE votes ADD COLUMN policy VARCHAR DEFAULT ''",
        "ALTER TABLE votes ALTER COLUMN policy SET NOT NULL",
        "ALTER TABLE votes ADD COLUMN counts_for VARCHAR[] DEFAULT ['']",
        "ALTER TABLE votes ALTER COLUMN counts_for SET NOT NULL",
        "ALTER TABLE votes ADD COLUMN ground VARCHAR DEFAULT 'decision'",
        "ALTER TABLE votes ALTER COLUMN ground SET NOT NULL",
        "ALTER TABLE decisions ADD COLUMN policy VARCHAR DEFAULT ''",
        "ALTER TABLE decisions ALTER COLUMN policy SET NOT NULL",
    ),
    # Whoever voted until then was known by one name.
    3: (
        "ALTER TABLE votes ADD COLUMN names VARCHAR[] DEFAULT []",
        "ALTER TABLE votes ALTER COLUMN names SET NOT NULL",
    ),
    # Until then each vote was about one hold, and nobody was asked why before they acted.
    4: (
        "ALTER TABLE votes ADD COLUMN also VARCHAR[] DEFAULT []",
        "ALTER TABLE votes ALTER COLUMN also SET NOT NULL",
        "ALTER TABLE votes ADD COLUMN also_digests VARCHAR[] DEFAULT []",
        "ALTER TABLE votes ALTER COLUMN also_digests SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN claim VARCHAR DEFAULT ''",
        "ALTER TABLE holds ALTER COLUMN claim SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN claim_ns BIGINT DEFAULT 0",
        "ALTER TABLE holds ALTER COLUMN claim_ns SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN session_name VARCHAR DEFAULT ''",
        "ALTER TABLE holds ALTER COLUMN session_name SET NOT NULL",
    ),
    # Until then a host said only in words that a session had reached its limit; an act had one
    # path, a denial killed, and no host said what it cannot do.
    5: (
        "ALTER TABLE hold_states ADD COLUMN capped VARCHAR",
        "ALTER TABLE hold_states ADD COLUMN denied_beyond BIGINT DEFAULT 0",
        "ALTER TABLE hold_states ALTER COLUMN denied_beyond SET NOT NULL",
        "ALTER TABLE events ADD COLUMN second_path VARCHAR",
        "ALTER TABLE events ADD COLUMN operation VARCHAR",
        "ALTER TABLE events ADD COLUMN target_pid BIGINT",
        "ALTER TABLE events ADD COLUMN target_comm VARCHAR",
        "ALTER TABLE holds ADD COLUMN second_path VARCHAR DEFAULT ''",
        "ALTER TABLE holds ALTER COLUMN second_path SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN operation VARCHAR DEFAULT ''",
        "ALTER TABLE holds ALTER COLUMN operation SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN target_pid BIGINT",
        "ALTER TABLE holds ADD COLUMN target_comm VARCHAR DEFAULT ''",
        "ALTER TABLE holds ALTER COLUMN target_comm SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN on_deny VARCHAR DEFAULT 'kill'",
        "ALTER TABLE holds ALTER COLUMN on_deny SET NOT NULL",
        "ALTER TABLE holds ADD COLUMN on_no_agent VARCHAR DEFAULT 'hold'",
        "ALTER TABLE holds ALTER COLUMN on_no_agent SET NOT NULL",
        "ALTER TABLE hosts ADD COLUMN without_effect VARCHAR[] DEFAULT []",
        "ALTER TABLE hosts ALTER COLUMN without_effect SET NOT NULL",
    ),
    # Until then the time that an approval was for stood in the grant alone, and who signed in only
    # in the log.
    6: (
        "ALTER TABLE votes ADD COLUMN grant_minutes BIGINT",
        "ALTER TABLE votes ADD COLUMN grant_uses BIGINT",
        "ALTER TABLE votes ADD COLUMN grant_whole_subject BOOLEAN",
    ),
    # Events were a table: its rows are moved into segments while the collector works.
    7: ("ALTER TABLE events RENAME TO events_old",),
    # Until then a link was over the message as it was sent, and nothing was signed.
    8: (
        "ALTER TABLE batches ADD COLUMN chain_version BIGINT DEFAULT 1",
        "ALTER TABLE batches ALTER COLUMN chain_version SET NOT NULL",
        "ALTER TABLE batches ADD COLUMN groups VARCHAR DEFAULT '[]'",
        "ALTER TABLE batches ALTER COLUMN groups SET NOT NULL",
    ),
    # Until then nothing was dropped; the table of tombstones is made as any new one.
    9: (),
    # Until then a vote named the act alone, and not the card by which a person knew of it.
    10: (
        "ALTER TABLE votes ADD COLUMN card VARCHAR DEFAULT ''",
        "ALTER TABLE votes ALTER COLUMN card SET NOT NULL",
    ),
}
