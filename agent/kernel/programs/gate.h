// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Holding at a security function: the call fails with -ERESTARTNOINTR and the process is stopped, so
// nothing has happened, and the kernel makes the same call again when the process runs on. That call
// comes here again and passes only with a ticket for the very same act.

#define RESTART -513  // -ERESTARTNOINTR

#define TASK_EXITING 0x4
#define TASK_IO_WORKER 0x10
#define TASK_DUMPS_CORE 0x200
#define TASK_KERNEL_THREAD 0x200000

// The registers that the current process has come into the kernel with.
static __always_inline u64 registers_of(u64 task) {
#ifdef HAS_TASK_REGISTERS
  return (u64)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
#else
  u64 stack = 0;
  READ(stack, task, task_struct, stack);
  return stack + STACK_BYTES - SIZEOF_pt_regs;
#endif
}

static __always_inline u64 call_of(u64 task) {
  u64 regs = registers_of(task), nr = 0;
  READ(nr, regs, pt_regs, orig_ax);
  return nr;
}

// Whether the kernel acts on somebody's behalf, by credentials that are not the caller's own: a file
// system that opens what lies below it. What it was called for has been judged.
static __always_inline int acts_for_another(u64 task) {
  u64 own = 0, used = 0;
  READ(own, task, task_struct, real_cred);
  READ(used, task, task_struct, cred);
  return own != used;
}

// What runs for a process and never returns to its user space: there is nobody to stop, and no call
// that would be made again. The same goes for what a ring does within the call that drives it.
static __always_inline int cannot_be_held(u64 task) {
  u32 flags = 0;
  READ(flags, task, task_struct, flags);
  if (flags & (TASK_EXITING | TASK_IO_WORKER | TASK_KERNEL_THREAD)) return 1;
  return call_of(task) == NR_io_uring_enter;
}

static __always_inline u32 hash_of(struct identity *identity) {
  u64 hash = 0xcbf29ce484222325, *words = (u64 *)identity;
  // Without the thread, which a ticket has in its key and a grant does not care for.
  for (u32 i = 1; i < sizeof(*identity) / 8; i++) {
    hash = (hash ^ words[i]) * 0x100000001b3;
    hash ^= hash >> 29;
  }
  return hash ^ hash >> 32;
}

static __always_inline int is_same(struct identity *one, struct identity *other) {
  u64 *left = (u64 *)one, *right = (u64 *)other;
  for (u32 i = 0; i < sizeof(*one) / 8; i++)
    if (left[i] != right[i]) return 0;
  return 1;
}

static __always_inline void begin_identity(struct facts *facts, u64 task) {
  struct identity *identity = &facts->identity;
  // volatile: too much for the one instruction that the compiler would like to make of it.
  volatile u64 *words = (volatile u64 *)identity;
  for (u32 i = 0; i < sizeof(*identity) / 8; i++) words[i] = 0;
  READ(identity->thread_start_ns, task, task_struct, start_boottime);
  identity->kind = facts->act.kind;
  identity->inode = facts->act.inode;
  identity->device = facts->act.device;
  identity->number = facts->act.number;
}

static __always_inline u32 generation_of(u64 inode) {
  u32 generation = 0;
  if (inode) READ(generation, inode, inode, i_generation);
  return generation;
}

// Tells of an act that was not held, by the record of what is observed.
static __always_inline void tell_unheld(struct facts *facts, u32 mark, u32 counter) {
  facts->act.marks |= mark;
  count(counter);
  facts->argv_bytes = facts->environment_bytes = 0;
  report_exec(facts);
}

static __always_inline int enter_hold(struct facts *facts) {
  u64 key = facts->act.boot_ns;
  u32 tid = facts->act.tid;
  int failed = 1;
  for (int i = 0; i < 8; i++) {
    failed = hf_holds.insert(&key, facts);
    if (!failed) break;
    key++;  // two processors in the same nanosecond
  }
  if (!failed && (guard(facts) || send_stop())) {
    hf_holds.delete(&key);
    failed = 1;
  }
  if (failed) return failed;
  struct thread thread = {.start_ns = facts->identity.thread_start_ns, .hold = key};
  hf_threads.update(&tid, &thread);
  hf_wake.ringbuf_output(&key, sizeof(key), BPF_RB_FORCE_WAKEUP);
  return 0;
}

// Whether the same thread is held for the very same act already, and then stops it again.
static __always_inline int is_held_again(struct facts *facts, struct thread *thread) {
  u64 key = thread->hold;
  if (thread->start_ns != facts->identity.thread_start_ns) return 0;
  struct facts *held = hf_holds.lookup(&key);
  if (!held || held->act.tid != facts->act.tid || !is_same(&held->identity, &facts->identity)) return 0;
  return !guard(facts) && !send_stop();
}

// What a security function answers to an act that some rule wants to stop. The act, its path and the
// identity are filled in; the rest is added here.
static __always_inline int gate_unless(struct facts *facts, struct walk *walk, u64 task, u32 want, int grantable) {
  u32 tid = facts->act.tid;
  int verdict = REFUSE;
  struct ticket_key key = {.tid = tid, .identity_hash = hash_of(&facts->identity)};
  facts->identity_hash = key.identity_hash;
  struct ticket *ticket = hf_tickets.lookup(&key);
  if (ticket && facts->act.boot_ns < ticket->expires_boot_ns && is_same(&ticket->identity, &facts->identity)) {
    verdict = ticket->refuse ? REFUSE : PASS;
    hf_tickets.delete(&key);
    hf_threads.delete(&tid);  // the same call again is another act
    return verdict;
  }
  if (cannot_be_held(task)) {
    tell_unheld(facts, MARK_REFUSED, COUNT_HOLDS_LOST);
    return REFUSE;
  }
  struct thread *thread = hf_threads.lookup(&tid);
  if (thread && is_held_again(facts, thread)) return RESTART;
  if (is_refused_again(facts, task)) return REFUSE;
  if (is_left_alone(facts, want, &verdict)) {
    tell_unheld(facts, MARK_NO_AGENT, COUNT_NO_AGENT);
    return verdict;
  }
  facts->filename[0] = 0;
  read_arguments(facts, task, 0);
  read_surroundings(facts, walk, task, 1);
  read_ancestors(facts, task);
  if (grantable && is_granted(facts, task)) return PASS;
  if (!enter_hold(facts)) return RESTART;
  tell_unheld(facts, MARK_REFUSED, COUNT_HOLDS_LOST);
  return REFUSE;
}

static __always_inline int gate(struct facts *facts, struct walk *walk, u64 task, u32 want) {
  return gate_unless(facts, walk, task, want, 0);
}

// The same for what a grant may cover: files that are opened, and addresses.
static __always_inline int gate_unless_granted(struct facts *facts, struct walk *walk, u64 task, u32 want) {
  return gate_unless(facts, walk, task, want, 1);
}

// Of a program's last argument: what was answered before it. Who is refused is not asked about.
#define ANSWER(ctx, number)              \
  ({                                     \
    int answer_ = (int)(ctx)->args[number]; \
    if (answer_) return answer_;         \
  })

static __always_inline struct facts *working_facts(void) {
  u32 zero = 0;
  return hf_facts.lookup(&zero);
}

static __always_inline struct walk *working_walk(void) {
  u32 zero = 0;
  return hf_walk.lookup(&zero);
}

// An act of which nothing is known but whose it is, and that it has not happened.
static __always_inline void begin_gate(struct facts *facts, struct walk *walk, struct label *label) {
  begin_act(&facts->act, label);
  facts->act.guarantee = GUARANTEE_HELD;
  facts->act.result = NOT_OVER;
  walk->want = 0;
  walk->buffer[WALK_BYTES] = 0;
}

// Begins a program: returns for whoever is not watched, or has nothing to fear from these rules.
#define BEGIN(kinds_wanted)                                       \
  u64 task = bpf_get_current_task();                              \
  u32 tgid = bpf_get_current_pid_tgid() >> 32;                    \
  struct label label = {};                                        \
  struct config *config = configuration();                        \
  if (!config || !(config->kinds & (kinds_wanted))) return 0;     \
  if (!find_label(task, tgid, config, &label, 0)) return 0;       \
  struct facts *facts = working_facts();                          \
  struct walk *walk = working_walk();                             \
  if (!facts || !walk) return 0;                                  \
  begin_gate(facts, walk, &label)

#define KIND_BIT(kind) (1u << (kind))
