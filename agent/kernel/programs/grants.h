// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Grants: what a person has approved for a time passes without being held, and is told.

#define GRANT_SERIAL_SHIFT 8  // of act.grant: the place of the terms is below

static __always_inline int is_covered(struct terms *terms, struct facts *facts) {
  struct act *act = &facts->act;
  u64 *left = (u64 *)&terms->identity, *right = (u64 *)&facts->identity;
  if (terms->subject != act->subject || terms->uid != act->uid || terms->gid != act->gid) return 0;
  if (terms->expires_boot_ns <= act->boot_ns) return 0;
  if (terms->root_tgid && (terms->root_tgid != act->root_tgid || terms->root_start_ns != act->root_start_ns)) return 0;
  // Whichever thread it is.
  for (u32 i = 1; i < sizeof(struct identity) / 8; i++)
    if (left[i] != right[i]) return 0;
  return 1;
}

// Whether one of the uses was left. Counted before it is looked: of several at once, each finds its own
// among those that are counted, so no more than the limit pass; and the agent may lower that meanwhile.
static __always_inline int take_use(struct terms *terms, u64 *taken) {
  volatile u64 *count = taken, *limit = &terms->limit;
  if (*count >= *limit) return 0;
  __sync_fetch_and_add(taken, 1);
  if (*count <= *limit) return 1;
  __sync_fetch_and_add(taken, -1);
  return 0;
}

static __always_inline int passes_by(struct facts *facts, u32 session) {
  struct granted_key key = {.subject = facts->act.subject, .root_tgid = session, .identity_hash = facts->identity_hash};
  u32 *place = hf_granted.lookup(&key), at;
  if (!place) return 0;
  at = *place;
  struct terms *terms = hf_terms.lookup(&at);
  u64 *taken = hf_taken.lookup(&at);
  if (!terms || !taken || !is_covered(terms, facts) || !take_use(terms, taken)) return 0;
  facts->act.grant = terms->serial << GRANT_SERIAL_SHIFT | at;
  u32 bytes = __builtin_offsetof(struct facts, argv) + (facts->argv_bytes & (ARGV_BYTES - 1));
  if (!hf_uses.ringbuf_output(facts, bytes, BPF_RB_FORCE_WAKEUP)) return 1;
  // What cannot be told does not pass.
  facts->act.grant = 0;
  __sync_fetch_and_add(taken, -1);
  return 0;
}

// Whether a grant lets an act pass that some rule wants to stop, as a person would be asked about it.
// The agent puts here only what no rule denies. Whoever has a hold, or is in quarantine, goes nowhere.
static __always_inline int is_granted(struct facts *facts, u64 task) {
  u32 zero = 0;
  struct heartbeat *heartbeat = hf_heartbeat.lookup(&zero);
  // Without an agent nobody could revoke it.
  if (heartbeat && heartbeat->limit_ns && facts->act.boot_ns >= heartbeat->boot_ns + heartbeat->limit_ns) return 0;
  if (facts->act.marks & (MARK_PATH_CUT | MARK_UNRESOLVED | MARK_ADDRESSES_CUT)) return 0;
  if (guarded(task, facts->act.tgid) || is_quarantined(facts->act.subject)) return 0;
  return passes_by(facts, facts->act.root_tgid) || passes_by(facts, 0);
}
