// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// open, openat, openat2 and creat, judged when the call returns by the file that it really opened.

#define OPEN_ACCESS_MODE 3
#define OPEN_READ_ONLY 0
#define OPEN_READ_WRITE 2
#define OPEN_CREATE 0100
#define OPEN_TRUNCATE 01000
#define OPEN_PATH_ONLY 010000000
#define MODE_CREATED (1 << 20)  // FMODE_CREATED

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

static __always_inline u32 wanted_of_open(u32 want, u32 flags) {
  u32 access = flags & OPEN_ACCESS_MODE, mask = 0;
  if (access == OPEN_READ_ONLY || access == OPEN_READ_WRITE || access == OPEN_ACCESS_MODE)
    mask |= WANT_OBSERVE_READ | WANT_STOP_READ;
  if (access != OPEN_READ_ONLY || flags & (OPEN_CREATE | OPEN_TRUNCATE))
    mask |= WANT_OBSERVE_WRITE | WANT_STOP_WRITE;
  return want & mask;
}

// A failed open did nothing; that it was tried is recorded by the name that the caller gave.
static __always_inline void open_failed(struct config *config, struct facts *facts, struct walk *walk, u64 name) {
  u8 table = table_byte(config, TABLE_OPEN);
  u64 bytes;
  long length = bpf_probe_read_user_str(&walk->buffer[WALK_BYTES / 2], WALK_BYTES / 2, (void *)name);
  if (length <= 1) return;
  walk->want = 0;
  want_prefix(walk, table, &walk->buffer[WALK_BYTES / 2]);
  if (!wanted_of_open(walk->want, facts->act.open_flags)) return;
  bytes = length - 1;
  // Move the name so that it ends where a walked path ends.
  bytes &= WALK_BYTES / 2 - 1;
  u32 position = WALK_BYTES - bytes;
  bpf_probe_read_kernel(&walk->buffer[position & (WALK_BYTES - 1)], bytes, &walk->buffer[WALK_BYTES / 2]);
  facts->act.marks |= MARK_UNRESOLVED;
  report(&facts->act, walk, position);
}

static __always_inline void judge_open(struct config *config, struct label *label, u64 task, long result, u64 name, u32 flags) {
  u32 zero = 0, bytes = 0, mode = 0, want;
  struct facts *facts = hf_facts.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  if (!facts || !walk || flags & OPEN_PATH_ONLY) return;
  struct act *act = &facts->act;
  read_act(act, task, label);
  act->kind = KIND_OPEN;
  act->result = result;
  act->open_flags = flags;
  act->guarantee = flags & (OPEN_CREATE | OPEN_TRUNCATE) ? GUARANTEE_LATE : GUARANTEE_STOPPED;
  if (result < 0) {
    open_failed(config, facts, walk, name);
    return;
  }
  u64 file = file_of(task, result);
  if (!file) return;
  READ(mode, file, file, f_mode);
  if (mode & MODE_CREATED) act->marks |= MARK_CREATED;
  u8 table = table_byte(config, TABLE_OPEN);
  walk->want = 0;
  u32 position = file_path(walk, act, file, table);
  want_anything(walk, table);
  want = wanted_of_open(walk->want, flags);
  if (!want) return;
  if (!(want & (WANT_STOP_READ | WANT_STOP_WRITE))) {
    report(act, walk, position);
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

// raw tracepoint sys_exit(regs, result), attached while a rule cares about open
int on_open_return(struct bpf_raw_tracepoint_args *ctx) {
  u64 regs = ctx->args[0], nr = 0, first = 0, second = 0, third = 0, name, flags;
  long result = ctx->args[1];
  READ(nr, regs, pt_regs, orig_ax);
  if (nr != NR_openat && nr != NR_open && nr != NR_creat && nr != NR_openat2 && nr != NR_io_uring_setup) return 0;
  u64 task = bpf_get_current_task();
  u32 tgid = bpf_get_current_pid_tgid() >> 32;
  struct label label = {};
  struct config *config = configuration();
  if (!config || !find_label(task, tgid, config, &label)) return 0;
  READ(first, regs, pt_regs, di);
  READ(second, regs, pt_regs, si);
  READ(third, regs, pt_regs, dx);
  name = second;
  flags = third;
  if (nr == NR_open) {
    name = first;
    flags = second;
  } else if (nr == NR_creat) {
    name = first;
    flags = 1 | OPEN_CREATE | OPEN_TRUNCATE;
  } else if (nr == NR_openat2) {
    flags = 0;
    bpf_probe_read_user(&flags, sizeof(flags), (void *)third);
  } else if (nr == NR_io_uring_setup) {
    // Judged as the open of its anonymous inode, so that a rule can name "[io_uring]".
    name = 0;
    flags = OPEN_READ_WRITE;
  }
  judge_open(config, &label, task, result, name, flags);
  return 0;
}
