// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// open, openat, openat2, creat and open_by_handle_at, judged when the call returns by the file that
// it really opened; and io_uring_setup, as the open of a file named "[io_uring]".

#define OPEN_ACCESS_MODE 3
#define OPEN_READ_ONLY 0
#define OPEN_READ_WRITE 2
#define OPEN_CREATE 0100
#define OPEN_TRUNCATE 01000
#define OPEN_PATH_ONLY 010000000
#define MODE_CREATED (1 << 20)  // FMODE_CREATED

// What a call says of itself. `name` is 0 where it gives none.
struct opening {
  u64 name;
  u32 flags;
  u32 ring;  // io_uring_setup
};

static __always_inline u64 file_of(u64 task, u32 descriptor) {
  u64 files = 0, table = 0, array = 0, file = 0;
  u32 maximum = 0;
  READ(files, task, task_struct, files);
  READ(table, files, files_struct, fdt);
  READ(maximum, table, fdtable, max_fds);
  if (descriptor >= maximum) return 0;
  READ(array, table, fdtable, fd);
  bpf_probe_read_kernel(&file, 8, (void *)(array + 8 * (u64)descriptor));
  return file;
}

// Whether another process has this one's table of descriptors, and with it whatever is opened here.
static __always_inline int shares_descriptors(u64 task) {
  u64 files = 0, signal = 0;
  u32 users = 0;
  int threads = 0;
  READ(files, task, task_struct, files);
  READ(users, files, files_struct, count);
  READ(signal, task, task_struct, signal);
  READ(threads, signal, signal_struct, nr_threads);
  return users > threads;
}

static __always_inline u32 wanted_of_open(u32 want, u32 flags) {
  u32 access = flags & OPEN_ACCESS_MODE, mask = 0;
  if (access == OPEN_READ_ONLY || access == OPEN_READ_WRITE || access == OPEN_ACCESS_MODE)
    mask |= WANT_OBSERVE_READ | WANT_STOP_READ;
  if (access != OPEN_READ_ONLY || flags & (OPEN_CREATE | OPEN_TRUNCATE))
    mask |= WANT_OBSERVE_WRITE | WANT_STOP_WRITE;
  return want & mask;
}

// A failed open did nothing; that it was tried is recorded by the name that the caller gave. Adds to
// walk->want what the rules want of that name, which is then in facts->filename.
static __always_inline void open_failed(struct facts *facts, struct walk *walk, u8 table, u64 name) {
  facts->act.marks |= MARK_UNRESOLVED;
  __builtin_memset(facts->filename, 0, sizeof(facts->filename));
  if (bpf_probe_read_user_str(facts->filename, sizeof(facts->filename), (void *)name) >= FILENAME_BYTES) {
    facts->act.marks |= MARK_PATH_CUT;
    want_anything(walk, OF_CUT_PATH(table));
  }
  if (!facts->filename[0]) return;
  want_filename(walk, table, facts);
  want_anything(walk, table);
}

// Where the path of what was opened starts in the walk's buffer; WALK_BYTES if nobody can say.
static __always_inline u32 opened(struct act *act, struct walk *walk, u64 task, u8 table, struct opening *opening) {
  u32 mode = 0, kept = 0;
  walk->buffer[WALK_BYTES] = 0;
  if (opening->ring) {
    // Not by the result, which may be a registered descriptor and number no file of the process.
    const char name[] = "[io_uring]";
    __builtin_memcpy(&walk->buffer[WALK_BYTES - 10], name, 10);
    want_prefix(walk, table, &walk->buffer[WALK_BYTES - 10]);
    want_tail(walk, table, &walk->buffer[WALK_BYTES], 10);
    want_name(walk, table, &walk->buffer[WALK_BYTES - 10], 10);
    return WALK_BYTES - 10;
  }
  u64 file = file_of(task, act->result);
  if (!file) {
    // Another thread has closed it already: it could have been any file.
    act->marks |= MARK_PATH_CUT;
    want_anything(walk, OF_CUT_PATH(table));
    return WALK_BYTES;
  }
  READ(mode, file, file, f_mode);
  if (mode & MODE_CREATED) act->marks |= MARK_CREATED;
  // The kernel's own flags, but for those that it does not keep: the caller's may change any time.
  READ(kept, file, file, f_flags);
  act->open_flags = kept | (opening->flags & (OPEN_CREATE | OPEN_TRUNCATE));
  return file_path(walk, act, file, table);
}

// The label is in the act already; most opens are of what no rule is about, and nothing more is read
// of their process.
static __always_inline void judge_open(struct config *config, struct facts *facts, struct walk *walk, u64 task, long result, struct opening *opening) {
  u32 bytes = 0, want, position;
  struct act *act = &facts->act;
  u8 table = table_byte(config, TABLE_OPEN);
  act->kind = KIND_OPEN;
  act->result = result;
  act->open_flags = opening->flags;
  act->guarantee = opening->flags & (OPEN_CREATE | OPEN_TRUNCATE) ? GUARANTEE_LATE : GUARANTEE_STOPPED;
  walk->want = 0;
  if (result < 0)
    open_failed(facts, walk, table, opening->name);
  else
    walk->position = opened(act, walk, task, table, opening);
  if (act->open_flags & OPEN_PATH_ONLY && result >= 0) return;
  want_anything(walk, table);
  walk->want = wanted_of_open(walk->want, act->open_flags);
  // Kept in memory: the verifier need not follow what either way has come to.
  asm volatile("" ::: "memory");
  want = walk->want;
  if (!want) return;
  read_process(act, task, config->mount_namespace);
  if (result < 0) {
    report(act, facts->filename, walk->length);
    return;
  }
  if (shares_descriptors(task)) act->marks |= MARK_SHARED;
  if (act->marks & (MARK_CREATED | MARK_SHARED)) act->guarantee = GUARANTEE_LATE;
  position = walk->position;
  if (!(want & (WANT_STOP_READ | WANT_STOP_WRITE))) {
    report(act, &walk->buffer[position & 2047], WALK_BYTES - position);
    return;
  }
  COPY_PATH(walk, position, facts->path, bytes, act->marks);
  act->path_bytes = bytes;
  facts->filename[0] = 0;
  read_arguments(facts, task);
  read_surroundings(facts, walk, task, 1);
  read_ancestors(facts, task);
  stop(facts);
}

#define IS_OPEN(nr, of)                                                                       \
  ((nr) == of##open || (nr) == of##creat || (nr) == of##openat || (nr) == of##openat2 ||      \
   (nr) == of##open_by_handle_at || (nr) == of##io_uring_setup)

static __always_inline int open_returned(u64 regs, u64 nr, long result) {
  u64 first, second, third;
  if (!IS_OPEN(nr, NR_) && !IS_OPEN(nr, OLD_NR_)) return 0;
  u64 task = bpf_get_current_task();
  u32 tgid = bpf_get_current_pid_tgid() >> 32, old = is_old_call(task), zero = 0;
  if (old ? !IS_OPEN(nr, OLD_NR_) : !IS_OPEN(nr, NR_)) return 0;
  struct label label = {};
  struct config *config = configuration();
  struct facts *facts = hf_facts.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  if (!config || !facts || !walk || !find_label(task, tgid, config, &label, 0)) return 0;
  begin_act(&facts->act, &label);
  first = ARGUMENT(regs, old, di, bx);
  second = ARGUMENT(regs, old, si, cx);
  third = ARGUMENT(regs, old, dx, dx);
  struct opening opening = {.name = second, .flags = third};
  if (nr == (old ? OLD_NR_open : NR_open)) {
    opening.name = first;
    opening.flags = second;
  } else if (nr == (old ? OLD_NR_creat : NR_creat)) {
    opening.name = first;
    opening.flags = 1 | OPEN_CREATE | OPEN_TRUNCATE;
  } else if (nr == (old ? OLD_NR_openat2 : NR_openat2)) {
    opening.flags = 0;
    bpf_probe_read_user(&opening.flags, sizeof(opening.flags), (void *)third);
  } else if (nr == (old ? OLD_NR_open_by_handle_at : NR_open_by_handle_at)) {
    opening.name = 0;
  } else if (nr == (old ? OLD_NR_io_uring_setup : NR_io_uring_setup)) {
    opening = (struct opening){.flags = OPEN_READ_WRITE, .ring = 1};
  }
  judge_open(config, facts, walk, task, result, &opening);
  return 0;
}
