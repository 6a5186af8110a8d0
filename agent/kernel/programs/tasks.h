// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Reading kernel structures and the current task. Every offset is a constant that the loader took
// from the running kernel's BTF; no member access is left to the compiler, whose layout could differ.

#ifdef KERNEL_CAST
// Kernels from 6.3 on let a program say of what type a pointer is and read from it by itself, which
// costs a twentieth of a helper's call. A pointer that is none reads as zero, as with the helper.
// The loader makes the call of bpf_rdonly_cast out of this number; the verifier, nothing at all.
static u64 (*kernel_cast)(u64 pointer, u64 type) = (void *)KERNEL_CAST;

static __always_inline void load(void *target, u32 bytes, u64 from) {
  // volatile: two neighbours must not be made one read, which the verifier would refuse.
  if (bytes == 8) {
    u64 value = *(volatile u64 *)from;
    __builtin_memcpy(target, &value, 8);
  } else if (bytes == 4) {
    u32 value = *(volatile u32 *)from;
    __builtin_memcpy(target, &value, 4);
  } else if (bytes == 2) {
    u16 value = *(volatile u16 *)from;
    __builtin_memcpy(target, &value, 2);
  } else {
    *(u8 *)target = *(volatile u8 *)from;
  }
}

#define IS_LOADED(target) \
  (sizeof(target) == 8 || sizeof(target) == 4 || sizeof(target) == 2 || sizeof(target) == 1)
#define READ_AT(target, pointer, type, offset)                                              \
  ({                                                                                        \
    if (IS_LOADED(target))                                                                  \
      load(&(target), sizeof(target), kernel_cast((u64)(pointer), BTF_##type) + (offset));  \
    else                                                                                    \
      bpf_probe_read_kernel(&(target), sizeof(target), (void *)((u64)(pointer) + (offset))); \
  })
#else
#define READ_AT(target, pointer, type, offset) \
  bpf_probe_read_kernel(&(target), sizeof(target), (void *)((u64)(pointer) + (offset)))
#endif

#define READ(target, pointer, type, field)                                                        \
  ({                                                                                              \
    _Static_assert(sizeof(target) == SIZE_##type##__##field, #type "." #field " has another size"); \
    READ_AT(target, pointer, type, OFF_##type##__##field);                                        \
  })

#define SIGNAL_KILL 9
#define SIGNAL_CHILD 17
#define SIGNAL_CONTINUE 18
#define SIGNAL_STOP 19

// To this thread and not only to its process: of a signal that another thread has already caused, the
// kernel would make no second one, and this thread would go on until it is told of the first.
static __always_inline long send_stop(void) {
  return bpf_send_signal_thread(SIGNAL_STOP);
}

static __always_inline void count(u32 which) {
  u64 *value = hf_counters.lookup(&which);
  if (value) (*value)++;
}

// The configuration, or none while these programs are not the ones that act.
static __always_inline struct config *configuration(void) {
  u32 zero = 0, *active = hf_active.lookup(&zero);
  if (!active || *active != PROGRAMS_ID) return 0;
  return hf_config.lookup(&zero);
}

static __always_inline u64 start_of(u64 task) {
  u64 leader = 0, start = 0;
  READ(leader, task, task_struct, group_leader);
  READ(start, leader, task_struct, start_boottime);
  return start;
}

// Whether two start times are of one process: the agent knows them to the clock tick only.
#define TICK_NS 10000000
static __always_inline int same_start(u64 exact, u64 known) {
  return exact - known < TICK_NS;
}

// Whether the system call at hand was made the 32-bit way, with other numbers and registers.
static __always_inline u32 is_old_call(u64 task) {
  u32 status = 0;
  READ(status, task + OFF_task_struct__thread_info, thread_info, status);
  return status & 2;  // TS_COMPAT
}

// Argument `native` or, of a 32-bit call, `old`: registers of struct pt_regs.
#define ARGUMENT(regs, is_old, native, old)                                                   \
  ({                                                                                          \
    u64 value_ = 0;                                                                           \
    if (is_old) {                                                                             \
      READ(value_, regs, pt_regs, old);                                                       \
      value_ = (u32)value_;                                                                   \
    } else {                                                                                  \
      READ(value_, regs, pt_regs, native);                                                    \
    }                                                                                         \
    value_;                                                          \
  })

static __always_inline u32 login_of(u64 task) {
  u32 login = -1;
#ifdef OFF_task_struct__loginuid
  READ(login, task, task_struct, loginuid);
#endif
  return login;
}

// The number that /proc/PID/ns/mnt has as its inode.
static __always_inline u32 mount_namespace_of(u64 task) {
  u64 proxy = 0, namespace = 0;
  u32 number = 0;
  READ(proxy, task, task_struct, nsproxy);
  if (!proxy) return 0;
  READ(namespace, proxy, nsproxy, mnt_ns);
  READ(number, namespace + OFF_mnt_namespace__ns, ns_common, inum);
  return number;
}

// An act of which nothing is known but whose label its process has.
static __always_inline void begin_act(struct act *act, struct label *label) {
  __builtin_memset(act, 0, sizeof(*act));
  act->root_start_ns = label->root_start_ns;
  act->root_tgid = label->root_tgid;
  act->subject = label->subject;
  act->login_uid = label->login_uid;
}

// When it is, and what the current process is.
static __always_inline void read_process(struct act *act, u64 task, u32 mount_namespace) {
  u64 ids = bpf_get_current_pid_tgid(), cred = 0;
  act->boot_ns = bpf_ktime_get_boot_ns();
  act->start_ns = start_of(task);
  act->tgid = ids >> 32;
  act->tid = ids;
  // The identity that the kernel judges by is the effective one.
  READ(cred, task, task_struct, cred);
  READ(act->uid, cred, cred, euid);
  READ(act->gid, cred, cred, egid);
  // Whoever has mounts of its own can give any file any path.
  if (mount_namespace_of(task) != mount_namespace) act->marks |= MARK_UNRESOLVED;
  bpf_get_current_comm(act->comm, sizeof(act->comm));
}

static __always_inline void read_act(struct act *act, u64 task, struct label *label, u32 mount_namespace) {
  begin_act(act, label);
  read_process(act, task, mount_namespace);
}

static __always_inline void read_ancestors(struct facts *facts, u64 task) {
  __builtin_memset(facts->ancestors, 0, sizeof(facts->ancestors));
  for (int i = 0; i < ANCESTORS; i++) {
    u64 parent = 0, cred = 0;
    struct process *process = &facts->ancestors[i];
    READ(parent, task, task_struct, real_parent);
    if (!parent || parent == task) break;
    READ(task, parent, task_struct, group_leader);
    READ(process->tgid, task, task_struct, tgid);
    if (!process->tgid) break;
    READ(process->start_ns, task, task_struct, start_boottime);
    READ(cred, task, task_struct, cred);
    READ(process->uid, cred, cred, euid);
    READ(process->comm, task, task_struct, comm);
  }
}

// The committed copy on the new program's stack; the caller's own memory is not looked at.
// The environment is of interest where a program begins.
static __always_inline void read_arguments(struct facts *facts, u64 task, int with_environment) {
  u64 mm = 0, start = 0, end = 0, bytes;
  facts->argv_total = facts->argv_bytes = facts->environment_total = facts->environment_bytes = 0;
  READ(mm, task, task_struct, mm);
  if (!mm) return;
  READ(start, mm, mm_struct, arg_start);
  READ(end, mm, mm_struct, arg_end);
  if (end > start) {
    bytes = end - start;
    facts->argv_total = bytes;
    if (bytes > ARGV_BYTES - 1) {
      bytes = ARGV_BYTES - 1;
      facts->act.marks |= MARK_ARGV_CUT;
    }
    asm volatile("" : "+r"(bytes));
    bytes &= ARGV_BYTES - 1;
    if (bpf_probe_read_user(facts->argv, bytes, (void *)start))
      facts->act.marks |= MARK_ARGV_CUT;
    else
      facts->argv_bytes = bytes;
  }
  if (!with_environment) return;
  READ(start, mm, mm_struct, env_start);
  READ(end, mm, mm_struct, env_end);
  if (end > start) {
    bytes = end - start;
    facts->environment_total = bytes;
    if (bytes > ENVIRONMENT_BYTES - 1) {
      bytes = ENVIRONMENT_BYTES - 1;
      facts->act.marks |= MARK_ENVIRONMENT_CUT;
    }
    asm volatile("" : "+r"(bytes));
    bytes &= ENVIRONMENT_BYTES - 1;
    if (bpf_probe_read_user(facts->environment, bytes, (void *)start))
      facts->act.marks |= MARK_ENVIRONMENT_CUT;
    else
      facts->environment_bytes = bytes;
  }
}
