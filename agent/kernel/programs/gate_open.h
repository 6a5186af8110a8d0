// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// open, judged by the file that the kernel has found and before anything has been done to it.

#define OPEN_FOR_EXEC 0x20           // __FMODE_EXEC
#define MODE_NOT_COUNTED 0x20000000  // FMODE_NOACCOUNT: what a file system opens below an open file

// Whether the script that this process was started with has been changed since. Called for its first
// opens only: its interpreter reads it at once.
#define SCRIPT_OPENS 64

static __always_inline void read_state(struct state *state, u64 inode) {
  u64 block = 0;
  u32 device = 0;
  READ(state->inode, inode, inode, i_ino);
  READ(state->bytes, inode, inode, i_size);
  READ(block, inode, inode, i_sb);
  READ(device, block, super_block, s_dev);
  state->device = device;
#ifdef OFF_inode__i_ctime_sec
  u32 part = 0;
  READ(state->changed_s, inode, inode, i_ctime_sec);
  READ(part, inode, inode, i_ctime_nsec);
  state->changed_ns = part;
#else
  struct {
    u64 s, ns;
  } changed = {};
#ifdef OFF_inode__i_ctime
  READ(changed, inode, inode, i_ctime);
#else
  READ(changed, inode, inode, __i_ctime);
#endif
  state->changed_s = changed.s;
  state->changed_ns = changed.ns;
#endif
}

// The name that this open call gives is that of the script, and what it has opened is not what was
// shown: then nobody has approved it.
static __always_inline int is_changed_script(struct facts *facts, u64 task, u64 inode) {
  u32 tgid = bpf_get_current_pid_tgid() >> 32;
  struct script *known = hf_scripts.lookup(&tgid);
  struct state now = {};
  struct opening opening = {};
  if (!known) return 0;
  if (known->start_ns != start_of(task) || known->opens++ > SCRIPT_OPENS) {
    hf_scripts.delete(&tgid);
    return 0;
  }
  u64 regs = registers_of(task), nr = 0;
  u32 old = is_old_call(task);
  READ(nr, regs, pt_regs, orig_ax);
  if (old ? !IS_OPEN(nr, OLD_NR_) : !IS_OPEN(nr, NR_)) return 0;
  read_opening(&opening, regs, nr, old);
  __builtin_memset(facts->filename, 0, sizeof(facts->filename));
  bpf_probe_read_user_str(facts->filename, sizeof(facts->filename), (void *)opening.name);
  for (u32 i = 0; i < FILENAME_BYTES; i++) {
    if (facts->filename[i] != known->filename[i]) return 0;
    if (!facts->filename[i]) break;
  }
  read_state(&now, inode);
  struct state *was = &known->state;
  int changed = now.inode != was->inode || now.device != was->device || now.bytes != was->bytes ||
                now.changed_s != was->changed_s || now.changed_ns != was->changed_ns;
  hf_scripts.delete(&tgid);
  return changed;
}

// What is wanted of an open, by what rules say of the truncation that comes with it.
static __always_inline u32 truncates(struct config *config, struct facts *facts, struct walk *walk, u64 file) {
  u8 table = table_byte(config, TABLE_CHANGE);
  struct act unused = {};
  u32 want = 0;
  file_path(walk, &unused, file, table);
  want_anything(walk, table);
  if (walk->want & WANT_OBSERVE_KIND(KIND_TRUNCATE)) want |= WANT_OBSERVE_WRITE;
  if (walk->want & WANT_STOP_KIND(KIND_TRUNCATE)) want |= WANT_STOP_WRITE | (walk->want & WANT_WITH_STOP);
  return want;
}

// security_file_open(file)
int gate_file_open(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_file_open);
  BEGIN(KIND_BIT(KIND_OPEN) | KIND_BIT(KIND_EXEC) | KIND_BIT(KIND_TRUNCATE));
  u64 file = ctx->args[0], inode = 0;
  u32 mode = 0, flags = 0, want, bytes = 0, dumps = 0;
  READ(mode, file, file, f_mode);
  READ(flags, file, file, f_flags);
  READ(inode, file, file, f_inode);
  READ(dumps, task, task_struct, flags);
  // A new file was judged before it was made, a program is judged as exec.
  if (mode & (MODE_CREATED | MODE_NOT_COUNTED) || flags & OPEN_FOR_EXEC || dumps & TASK_DUMPS_CORE) return 0;
  if (acts_for_another(task) && !cannot_be_held(task)) return 0;
  if (is_changed_script(facts, task, inode)) {
    count(COUNT_HOLDS_LOST);
    bpf_send_signal(SIGNAL_KILL);
    return REFUSE;
  }
  u8 table = table_byte(config, TABLE_OPEN);
  facts->act.kind = KIND_OPEN;
  facts->act.open_flags = flags;
  want = config->kinds & KIND_BIT(KIND_TRUNCATE) && flags & OPEN_TRUNCATE ? truncates(config, facts, walk, file) : 0;
  walk->want = 0;
  u32 position = file_path(walk, &facts->act, file, table);
  want_anything(walk, table);
  u32 opens = wanted_of_open(walk->want, flags);
  if (opens) want |= opens | (walk->want & WANT_WITH_STOP);
  if (!want) return 0;
  read_process(&facts->act, task, config->mount_namespace);
  if (!(want & (WANT_STOP_READ | WANT_STOP_WRITE))) {
    report(&facts->act, &walk->buffer[position & 2047], WALK_BYTES - position);
    return 0;
  }
  COPY_PATH(walk, position, facts->path, bytes, facts->act.marks);
  facts->act.path_bytes = bytes;
  begin_identity(facts, task);
  facts->identity.generation = generation_of(inode);
  facts->identity.flags = flags;
  return gate(facts, walk, task, want);
}
