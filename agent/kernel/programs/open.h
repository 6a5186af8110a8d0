// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// open, openat, openat2, creat and open_by_handle_at, judged when the call returns by the file that
// it really opened; and io_uring_setup, as the open of a file named "[io_uring]".

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
  read_arguments(facts, task, 1);
  read_surroundings(facts, walk, task, 1);
  read_ancestors(facts, task);
  stop(facts);
}

static __always_inline int open_returned(u64 regs, u64 nr, long result) {
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
  read_opening(&walk->opening, regs, nr, old);
  judge_open(config, facts, walk, task, result, &walk->opening);
  return 0;
}
