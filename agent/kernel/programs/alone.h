// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What the kernel does by itself with an act that is to be held, while no agent is there to ask.

#define PASS 0
#define REFUSE -1  // -EPERM

// Whether no agent is there, and the rules say what to do then; what, in `verdict`.
static __always_inline int is_left_alone(struct facts *facts, u32 want, int *verdict) {
  u32 zero = 0;
  struct heartbeat *heartbeat = hf_heartbeat.lookup(&zero);
  if (!heartbeat || !heartbeat->limit_ns) return 0;
  if (facts->act.boot_ns < heartbeat->boot_ns + heartbeat->limit_ns) return 0;
  if (!(want & WANT_NO_AGENT_DENY) && want & WANT_NO_AGENT_HOLD) return 0;
  *verdict = want & WANT_NO_AGENT_DENY ? REFUSE : PASS;
  return 1;
}

// Of an exec, which is refused by a kill: nobody waits for its result. Whether that is done.
static __always_inline int exec_is_left_alone(struct facts *facts, u32 want) {
  int verdict = PASS;
  if (!is_left_alone(facts, want, &verdict)) return 0;
  facts->act.marks |= MARK_NO_AGENT;
  if (verdict == REFUSE) {
    facts->act.marks |= MARK_KILLED;
    bpf_send_signal(SIGNAL_KILL);
  }
  count(COUNT_NO_AGENT);
  report_exec(facts);
  return 1;
}
