// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The guard of processes with a hold. The agent freezes them; this is for the moment until then, and
// for hosts where it cannot: whoever resumes one is noted, it is stopped again on its way back to
// user space, and if it gets there all the same it is killed at its next system call.

#define CODE_CONTINUED 6  // CLD_CONTINUED

// The loader sets one to 0 only to have it measured what the other does alone.
#ifndef STOPS_AGAIN
#define STOPS_AGAIN 1
#endif
#ifndef KILLS_FOR_RUNNING
#define KILLS_FOR_RUNNING 1
#endif

static __always_inline int guard(struct facts *facts) {
  u32 tgid = facts->act.tgid;
  struct guarded *known = hf_guarded.lookup(&tgid);
  if (known && known->start_ns == facts->act.start_ns) return 0;
  struct guarded fresh = {.start_ns = facts->act.start_ns, .tell_at = 1};
  return hf_guarded.update(&tgid, &fresh);
}

static __always_inline struct guarded *guarded(u64 task, u32 tgid) {
  struct guarded *known = hf_guarded.lookup(&tgid);
  return known && known->start_ns == start_of(task) ? known : 0;
}

// A tracer decides which signals reach its process. One that is watched itself is not trusted with
// the stop; a person's own debugger is.
static __always_inline int is_traced_by_watched(u64 task) {
  u64 tracer = 0;
  u32 traced = 0, tgid = 0;
  READ(traced, task, task_struct, ptrace);
  if (!traced) return 0;
  READ(tracer, task, task_struct, parent);
  READ(tgid, tracer, task_struct, tgid);
  struct label *label = hf_labels.lookup(&tgid);
  return label && same_start(start_of(tracer), label->start_ns);
}

#define RESUMED 0
#define KILLED_FOR_RUNNING 1
#define KILLED_FOR_TRACING 2
#define REFUSED_TRACING 3

static __always_inline void tell_count_of(struct guarded *known, u32 tgid, u32 ended, u64 count) {
  struct resume resume = {
      .boot_ns = bpf_ktime_get_boot_ns(),
      .start_ns = known->start_ns,
      .count = count,
      .tgid = tgid,
      .by_tgid = bpf_get_current_pid_tgid() >> 32,
      .by_uid = bpf_get_current_uid_gid(),
      .ended = ended,
  };
  bpf_get_current_comm(resume.by_comm, sizeof(resume.by_comm));
  hf_resumes.ringbuf_output(&resume, sizeof(resume), BPF_RB_FORCE_WAKEUP);
}

static __always_inline void tell_of(struct guarded *known, u32 tgid, u32 ended) {
  tell_count_of(known, tgid, ended, known->resumes);
}

// Of many attempts at one process the first, the tenth, the hundredth are told, whoever makes them: which
// one this is, or 0.
static __always_inline u64 attempt_to_tell(struct guarded *known, u32 tgid) {
  struct traced *traced = hf_traced.lookup(&tgid);
  if (traced && traced->start_ns == known->start_ns) {
    u64 count = ++traced->count;
    if (count < traced->tell_at) return 0;
    traced->tell_at *= 10;
    return count;
  }
  struct traced fresh = {.start_ns = known->start_ns, .count = 1, .tell_at = 10};
  hf_traced.update(&tgid, &fresh);
  return 1;
}

static __always_inline void tell_of_tracing(struct guarded *known, u32 tgid, u32 ended) {
  u64 count = attempt_to_tell(known, tgid);
  if (count) tell_count_of(known, tgid, ended, count);
}

// A process that runs on tells its parent so, on its way back to user space: SIGCHLD with
// CLD_CONTINUED, which is made here, in its own context. A SIGSTOP from here meets it in time. Where
// the parent does not want to be told there is no such signal, and nothing here.
static __always_inline void stop_again(u64 info) {
  u32 tgid = bpf_get_current_pid_tgid() >> 32;
  int code = 0;
  if (info < 2 || !guarded(bpf_get_current_task(), tgid)) return;  // 0 and 1: a signal without facts
  READ(code, info, kernel_siginfo, si_code);
  if (STOPS_AGAIN && code == CODE_CONTINUED) send_stop();
}

// In the sender's context, under the lock of the receiver's signals, so that counting needs none.
static __always_inline void note_resume(u64 task) {
  u32 tgid = 0, zero = 0, yes = 1, by = bpf_get_current_pid_tgid() >> 32;
  READ(tgid, task, task_struct, tgid);
  struct guarded *known = guarded(task, tgid);
  if (!known) return;
  struct config *config = configuration();
  if (!config || by == config->agent_tgid) return;
  known->resumes++;
  hf_resumed.update(&zero, &yes);  // each time: the agent may have taken it back for another process
  if (known->resumes < known->tell_at) return;
  known->tell_at *= 10;
  tell_of(known, tgid, RESUMED);
}

// raw tracepoint signal_generate(signal, info, task, group, result). Always attached, since the next
// SIGCONT may come before any agent has heard of the hold; of other signals it sees the number only.
int on_signal(struct bpf_raw_tracepoint_args *ctx) {
  int number = ctx->args[0];
  if (number == SIGNAL_CHILD)
    stop_again(ctx->args[1]);
  else if (number == SIGNAL_CONTINUE)
    note_resume(ctx->args[2]);
  return 0;
}

// Called where a system call ends, if some rule has us there. Another thread may end a call on its
// way to the stop, so only a process that somebody has resumed is taken to run.
static __always_inline int killed_for_running(void) {
  u32 zero = 0, *resumed = hf_resumed.lookup(&zero), tgid;
  if (!KILLS_FOR_RUNNING || !resumed || !*resumed) return 0;
  tgid = bpf_get_current_pid_tgid() >> 32;
  struct guarded *known = guarded(bpf_get_current_task(), tgid);
  if (!known || !known->resumes) return 0;
  bpf_send_signal(SIGNAL_KILL);
  tell_of(known, tgid, KILLED_FOR_RUNNING);
  return 1;
}

// A watched process has traced a held one, or tried to: it ends here, before it can let that run on
// or change what was shown to whoever decides. A person's own debugger is left alone.
static __always_inline int killed_for_tracing(u64 regs, u64 nr) {
  u64 task = bpf_get_current_task();
  u32 old = is_old_call(task), mine = bpf_get_current_pid_tgid() >> 32;
  if (nr != (old ? OLD_NR_ptrace : NR_ptrace)) return 0;
  u32 tgid = ARGUMENT(regs, old, si, cx);
  struct guarded *known = hf_guarded.lookup(&tgid);
  struct label *label = hf_labels.lookup(&mine);
  if (!known || !label || !same_start(start_of(task), label->start_ns)) return 0;
  bpf_send_signal(SIGNAL_KILL);
  tell_of_tracing(known, tgid, KILLED_FOR_TRACING);
  return 1;
}
