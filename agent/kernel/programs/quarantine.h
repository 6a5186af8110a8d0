// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Quarantine: whoever belongs to a subject that is in one is stopped on its way back to user space.

static __always_inline int is_quarantined(u32 subject) {
  struct quarantine *quarantine = hf_quarantines.lookup(&subject);
  return quarantine && quarantine->state == QUARANTINE_IN_FORCE;
}

// In the process's own context, with its label. The signal comes first: whoever is told of it, or finds
// the mark in the label, may rely on it.
static __always_inline void stop_for_quarantine(u32 tgid, u32 subject) {
  struct quarantine *quarantine = hf_quarantines.lookup(&subject);
  if (!quarantine || quarantine->state != QUARANTINE_IN_FORCE) return;
  if (send_stop()) bpf_send_signal(SIGNAL_KILL);
  struct label *label = hf_labels.lookup(&tgid);
  if (!label) return;
  label->caught = quarantine->serial;
  struct caught caught = {.start_ns = label->start_ns, .tgid = tgid, .subject = subject};
  if (hf_caught.ringbuf_output(&caught, sizeof(caught), BPF_RB_FORCE_WAKEUP)) quarantine->untold = 1;
}

// raw tracepoint sys_exit(regs, result), while a quarantine is in force. A process that was forked comes
// by here before its first instruction, and whoever was labelled by a call when that returns. Only labels
// count, and nobody gets one here: who has just taken on a user and is about to start a program is
// waited for by the daemon that it was forked from.
int on_quarantine_return(struct bpf_raw_tracepoint_args *ctx) {
  u32 tgid = bpf_get_current_pid_tgid() >> 32;
  struct label *label = hf_labels.lookup(&tgid);
  if (!label || !is_quarantined(label->subject)) return 0;
  u64 start = start_of(bpf_get_current_task());
  struct config *config = configuration();
  if (!config || !same_start(start, label->start_ns) || is_agent(config, tgid, start)) return 0;
  stop_for_quarantine(tgid, label->subject);
  return 0;
}
