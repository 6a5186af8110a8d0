// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// open, judged by the file that the kernel has found and before anything has been done to it.

#define OPEN_FOR_EXEC 0x20           // __FMODE_EXEC
#define MODE_NOT_COUNTED 0x20000000  // FMODE_NOACCOUNT: what a file system opens below an open file

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

// Interpreters read their script at once, some of them twice.
#define SCRIPT_OPENS 1024
#define SCRIPT_OPENS_AFTER 16

static __always_inline int is_same_text(const char *one, const char *other) {
  for (u32 i = 0; i < FILENAME_BYTES; i++) {
    if (one[i] != other[i]) return 0;
    if (!one[i]) break;
  }
  return 1;
}

// Copies what of the path that starts at `position` has room.
static __always_inline void end_of_path(struct walk *walk, u32 position, char *target) {
  u32 bytes = WALK_BYTES - position;
  if (bytes > SHORT_PATH_BYTES - 1) bytes = SHORT_PATH_BYTES - 1;
  asm volatile("" : "+r"(bytes));
  bytes &= SHORT_PATH_BYTES - 1;
  bpf_probe_read_kernel_str(target, SHORT_PATH_BYTES, &walk->buffer[(WALK_BYTES - bytes) & (WALK_BYTES - 1)]);
}

// Whether this call names the script, by the name that the interpreter was given.
static __always_inline int names_script(struct facts *facts, struct walk *walk, struct script *known, u64 task) {
  struct opening *opening = &walk->opening;
  u64 regs = registers_of(task), nr = 0;
  u32 old = is_old_call(task);
  READ(nr, regs, pt_regs, orig_ax);
  if (old ? !IS_OPEN(nr, OLD_NR_) : !IS_OPEN(nr, NR_)) return 0;
  read_opening(opening, regs, nr, old);
  __builtin_memset(facts->filename, 0, sizeof(facts->filename));
  bpf_probe_read_user_str(facts->filename, sizeof(facts->filename), (void *)opening->name);
  return is_same_text(facts->filename, known->filename);
}

// Whether this opens, as the script that the process was held for, what is not what was shown: then
// nobody has approved it. By name, by path or by file: each can be made to lead elsewhere.
static __always_inline int is_changed_script(struct facts *facts, struct walk *walk, u64 task, u64 inode, u32 position) {
  u32 tgid = bpf_get_current_pid_tgid() >> 32;
  struct script *known = hf_scripts.lookup(&tgid);
  struct state now = {};
  if (!known) return 0;
  if (known->start_ns != start_of(task) || known->opens++ > SCRIPT_OPENS) {
    hf_scripts.delete(&tgid);
    return 0;
  }
  struct state *was = &known->state;
  read_state(&now, inode);
  int same_file = now.inode == was->inode && now.device == was->device;
  end_of_path(walk, position, facts->path);
  if (!same_file && !is_same_text(facts->path, known->path) && !names_script(facts, walk, known, task)) return 0;
  if (known->opens < SCRIPT_OPENS - SCRIPT_OPENS_AFTER) known->opens = SCRIPT_OPENS - SCRIPT_OPENS_AFTER;
  return !same_file || now.bytes != was->bytes || now.changed_s != was->changed_s || now.changed_ns != was->changed_ns;
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

// The number of the directory that an open file lies in.
static __always_inline u64 directory_of(u64 file) {
  u64 path = file + OFF_file__f_path, dentry = 0, parent = 0, inode = 0, number = 0;
  READ(dentry, path, path, dentry);
  READ(parent, dentry, dentry, d_parent);
  READ(inode, parent, dentry, d_inode);
  if (inode) READ(number, inode, inode, i_ino);
  return number;
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
  u8 table = table_byte(config, TABLE_OPEN);
  facts->act.kind = KIND_OPEN;
  facts->act.open_flags = flags;
  want = config->kinds & KIND_BIT(KIND_TRUNCATE) && flags & OPEN_TRUNCATE ? truncates(config, facts, walk, file) : 0;
  walk->want = 0;
  u32 position = file_path(walk, &facts->act, file, table);
  if (is_changed_script(facts, walk, task, inode, position)) {
    read_process(&facts->act, task, config->mount_namespace);
    facts->act.marks |= MARK_KILLED;
    count(COUNT_HOLDS_LOST);
    report(&facts->act, &walk->buffer[position & 2047], WALK_BYTES - position);
    bpf_send_signal(SIGNAL_KILL);
    return REFUSE;
  }
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
  facts->identity.flags = flags;
  if (flags & OPEN_NAMELESS) {
    // Each attempt has a new inode, and a name after that: what stays is where it is made.
    facts->identity.inode = 0;
    facts->identity.parent = directory_of(file);
    return gate(facts, walk, task, want);
  }
  facts->identity.generation = generation_of(inode);
  bpf_probe_read_kernel_str(facts->identity.second_name, PATH_BYTES, facts->path);
  return gate_unless_granted(facts, walk, task, want);
}
