// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Repeats: a call that was refused a moment ago, and is made again and again, costs the host no hold each
// time. The agent says which, for a second or a few; nothing passes by this.

static __always_inline int is_refused_again(struct facts *facts, u64 task) {
  struct repeat_key key = {.tgid = facts->act.tgid, .identity_hash = facts->identity_hash};
  struct repeat *known = hf_repeats.lookup(&key);
  if (!known || facts->act.boot_ns >= known->until_boot_ns || known->start_ns != start_of(task)) return 0;
  u64 *left = (u64 *)&known->identity, *right = (u64 *)&facts->identity;
  // Whichever thread it is.
  for (u32 i = 1; i < sizeof(struct identity) / 8; i++)
    if (left[i] != right[i]) return 0;
  __sync_fetch_and_add(&known->count, 1);
  return 1;
}
