// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Stopping. Nothing is stopped without an entry in hf_holds, which carries all that an agent needs
// to take it up; what cannot be entered or stopped is killed, never let go.

// `text` is a kernel buffer of `bytes` characters and what follows them.
static __always_inline void report(struct act *act, const char *text, u32 bytes) {
  struct observed *observed = hf_acts.ringbuf_reserve(sizeof(*observed));
  if (!observed) {
    count(COUNT_EVENTS_LOST);
    return;
  }
  __builtin_memcpy(&observed->act, act, sizeof(*act));
  // Equal paths are equal records, which is how the agent tells that it knows one.
  __builtin_memset(observed->path, 0, sizeof(observed->path));
  if (bytes > SHORT_PATH_BYTES - 1) {
    bytes = SHORT_PATH_BYTES - 1;
    observed->act.marks |= MARK_PATH_CUT;
  }
  asm volatile("" : "+r"(bytes));
  bytes &= SHORT_PATH_BYTES - 1;
  bpf_probe_read_kernel(observed->path, bytes, text);
  observed->act.path_bytes = bytes;
  // No flag: the kernel wakes the reader only if it had caught up, so once per batch.
  hf_acts.ringbuf_submit(observed, 0);
}

static __always_inline void report_exec(struct facts *facts) {
  u32 bytes = __builtin_offsetof(struct facts, argv) + (facts->argv_bytes & (ARGV_BYTES - 1));
  if (hf_execs.ringbuf_output(facts, bytes, 0)) count(COUNT_EVENTS_LOST);
}

// In gate mode a tracer can let nobody run on, so who is traced is held like anybody.
#ifndef TRACERS_ARE_TRUSTED
#define TRACERS_ARE_TRUSTED 0
#endif

static __always_inline void stop(struct facts *facts) {
  u64 key = facts->act.boot_ns;
  int failed = 1, traced = TRACERS_ARE_TRUSTED ? 0 : is_traced_by_watched(bpf_get_current_task());
  for (int i = 0; i < 8 && !traced; i++) {
    failed = hf_holds.insert(&key, facts);
    if (!failed) break;
    key++;  // two processors in the same nanosecond
  }
  if (!failed && guard(facts)) {
    hf_holds.delete(&key);
    failed = 1;
  }
  if (failed || send_stop()) {
    if (!failed) hf_holds.delete(&key);
    count(COUNT_HOLDS_LOST);
    facts->act.marks |= MARK_KILLED;
    bpf_send_signal(SIGNAL_KILL);
    return;
  }
  hf_wake.ringbuf_output(&key, sizeof(key), BPF_RB_FORCE_WAKEUP);
}
