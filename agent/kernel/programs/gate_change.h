// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What changes which files there are, what is in them, or what their names and modes say.

#define TYPE_REGULAR 0100000
#define TYPE_DIRECTORY 0040000

// Path of a name in a directory, which need not exist, into the walk's buffer; with inode and device
// of the file that has it, or of the directory if none does.
static __always_inline u32 name_path(struct walk *walk, struct act *act, u64 directory, u64 dentry, u8 table) {
  u64 vfsmount = 0, inode = 0, parent = 0;
  READ(vfsmount, directory, path, mnt);
  READ(inode, dentry, dentry, d_inode);
  if (!inode) {
    READ(parent, dentry, dentry, d_parent);
    READ(inode, parent, dentry, d_inode);
    read_inode(act, inode);
    act->inode = 0;
  } else {
    read_inode(act, inode);
    want_inode(walk, table, act->inode, act->device);
  }
  return walk_path(walk, dentry, vfsmount, table, &act->marks);
}

static __always_inline u64 parent_of(u64 dentry, char *name) {
  u64 parent = 0, inode = 0, number = 0, text = 0;
  READ(parent, dentry, dentry, d_parent);
  READ(inode, parent, dentry, d_inode);
  if (inode) READ(number, inode, inode, i_ino);
  READ_AT(text, dentry, dentry, OFF_dentry__d_name + OFF_qstr__name);
  bpf_probe_read_kernel_str(name, 256, (void *)text);
  return number;
}

// Ends a program that has the path of its file in the walk's buffer: 0 in `left` if a rule wants a
// stop, and then the identity is begun.
static __always_inline u32 judge_change(struct config *config, struct facts *facts, struct walk *walk, u64 task, u32 position, u32 *left) {
  struct act *act = &facts->act;
  u32 bytes = 0, kind = act->kind, want;
  want_anything(walk, table_byte(config, TABLE_CHANGE));
  asm volatile("" ::: "memory");
  want = walk->want;
  *left = 1;
  if (!(want & (WANT_OBSERVE_KIND(kind) | WANT_STOP_KIND(kind)))) return 0;
  read_process(act, task, config->mount_namespace);
  if (position <= WALK_BYTES) {
    COPY_PATH(walk, position, facts->path, bytes, act->marks);
    act->path_bytes = bytes;
  }
  if (!(want & WANT_STOP_KIND(kind))) {
    if (kind == KIND_RENAME || kind == KIND_LINK || kind == KIND_SYMLINK || kind == KIND_MOUNT) {
      facts->argv_bytes = facts->argv_total = 0;
      facts->filename[0] = facts->program[0] = facts->directory[0] = 0;
      facts->ancestors[0].tgid = 0;
      report_exec(facts);
    } else {
      report(act, facts->path, act->path_bytes);
    }
    return 0;
  }
  begin_identity(facts, task);
  *left = 0;
  return want;
}

// What all programs of names have in common: `directory` is a struct path.
#define BEGIN_CHANGE(what, directory, dentry, number_)                    \
  u32 position, left = 1, want;                                           \
  facts->act.kind = (what);                                               \
  facts->act.number = (number_);                                          \
  position = name_path(walk, &facts->act, directory, dentry, table_byte(config, TABLE_CHANGE))

#define END_CHANGE(dentry)                                                \
  want = judge_change(config, facts, walk, task, position, &left);        \
  if (left) return 0;                                                     \
  facts->identity.parent = parent_of(dentry, facts->identity.name)

// security_path_mknod(directory, dentry, mode, device): also for a file that an open is to make, and
// for the name of a socket.
int gate_path_mknod(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_mknod);
  BEGIN(KIND_BIT(KIND_CREATE));
  u32 flags = 0;
  READ(flags, task, task_struct, flags);
  if (flags & TASK_DUMPS_CORE) return 0;
  u64 mode = (u16)ctx->args[2];
  if (!(mode & MODE_TYPE)) mode |= TYPE_REGULAR;
  BEGIN_CHANGE(KIND_CREATE, ctx->args[0], ctx->args[1], mode);
  END_CHANGE(ctx->args[1]);
  return gate(facts, walk, task, want);
}

// security_path_mkdir(directory, dentry, mode)
int gate_path_mkdir(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_mkdir);
  BEGIN(KIND_BIT(KIND_CREATE));
  BEGIN_CHANGE(KIND_CREATE, ctx->args[0], ctx->args[1], (u16)ctx->args[2] | TYPE_DIRECTORY);
  END_CHANGE(ctx->args[1]);
  return gate(facts, walk, task, want);
}

// security_path_unlink(directory, dentry)
int gate_path_unlink(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_unlink);
  BEGIN(KIND_BIT(KIND_DELETE));
  BEGIN_CHANGE(KIND_DELETE, ctx->args[0], ctx->args[1], 0);
  END_CHANGE(ctx->args[1]);
  return gate(facts, walk, task, want);
}

// security_path_rmdir(directory, dentry)
int gate_path_rmdir(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_rmdir);
  BEGIN(KIND_BIT(KIND_DELETE));
  BEGIN_CHANGE(KIND_DELETE, ctx->args[0], ctx->args[1], 1);
  END_CHANGE(ctx->args[1]);
  return gate(facts, walk, task, want);
}

// The second name of an act, whose file or directory is kept in the identity; the first is in place.
static __always_inline void second_name(struct config *config, struct facts *facts, struct walk *walk, u64 directory, u64 dentry, u64 *inode) {
  u32 marks = 0, bytes = 0, position;
  struct act second = {};
  position = name_path(walk, &second, directory, dentry, table_byte(config, TABLE_CHANGE));
  *inode = second.inode;
  COPY_PATH(walk, position, SECOND_PATH(facts), bytes, marks);
  if ((second.marks | marks) & MARK_PATH_CUT) facts->act.marks |= MARK_SECOND_CUT;
}

#define END_TWO_NAMES(first, second, second_inode_)                                        \
  want = judge_change(config, facts, walk, task, WALK_BYTES + 1, &left);                   \
  if (left) return 0;                                                                      \
  facts->identity.parent = parent_of(first, facts->identity.name);                         \
  facts->identity.second_parent = parent_of(second, facts->identity.second_name);          \
  facts->identity.second_inode = (second_inode_)

// security_path_rename(directory, dentry, new directory, new dentry [, flags])
static __always_inline int judge_rename(struct bpf_raw_tracepoint_args *ctx, u64 flags) {
  BEGIN(KIND_BIT(KIND_RENAME));
  u64 over = 0;
  u32 bytes = 0;
  BEGIN_CHANGE(KIND_RENAME, ctx->args[0], ctx->args[1], flags);
  COPY_PATH(walk, position, facts->path, bytes, facts->act.marks);
  facts->act.path_bytes = bytes;
  second_name(config, facts, walk, ctx->args[2], ctx->args[3], &over);
  END_TWO_NAMES(ctx->args[1], ctx->args[3], over);
  return gate(facts, walk, task, want);
}

int gate_path_rename(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_rename);
  return judge_rename(ctx, ARGUMENTS_gate_path_rename > 4 ? (u32)ctx->args[4] : 0);
}

// security_path_link(old dentry, new directory, new dentry)
int gate_path_link(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_link);
  BEGIN(KIND_BIT(KIND_LINK));
  u64 none = 0;
  u32 bytes = 0;
  // Both names are on one mount, or the kernel would refuse.
  BEGIN_CHANGE(KIND_LINK, ctx->args[1], ctx->args[0], 0);
  COPY_PATH(walk, position, facts->path, bytes, facts->act.marks);
  facts->act.path_bytes = bytes;
  second_name(config, facts, walk, ctx->args[1], ctx->args[2], &none);
  END_TWO_NAMES(ctx->args[0], ctx->args[2], none);
  return gate(facts, walk, task, want);
}

// security_path_symlink(directory, dentry, text)
int gate_path_symlink(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_symlink);
  BEGIN(KIND_BIT(KIND_SYMLINK));
  BEGIN_CHANGE(KIND_SYMLINK, ctx->args[0], ctx->args[1], 0);
  if (bpf_probe_read_kernel_str(SECOND_PATH(facts), PATH_BYTES, (void *)ctx->args[2]) >= PATH_BYTES)
    facts->act.marks |= MARK_SECOND_CUT;
  END_CHANGE(ctx->args[1]);
  bpf_probe_read_kernel_str(facts->identity.second_name, PATH_BYTES, (void *)ctx->args[2]);
  if (facts->act.marks & MARK_SECOND_CUT) {
    // More than is compared, and more than anybody could be shown.
    tell_unheld(facts, MARK_REFUSED, COUNT_HOLDS_LOST);
    return REFUSE;
  }
  return gate(facts, walk, task, want);
}

// Path of a file that is there, of a struct path.
static __always_inline u32 place_path(struct walk *walk, struct act *act, u64 path, u8 table) {
  u64 dentry = 0;
  READ(dentry, path, path, dentry);
  return name_path(walk, act, path, dentry, table);
}

#define BEGIN_PLACE(what, path, number_)                                  \
  u32 position, left = 1, want;                                           \
  facts->act.kind = (what);                                               \
  facts->act.number = (number_);                                          \
  position = place_path(walk, &facts->act, path, table_byte(config, TABLE_CHANGE))

#define END_PLACE()                                                       \
  want = judge_change(config, facts, walk, task, position, &left);        \
  if (left) return 0

// security_path_chmod(path, mode)
int gate_path_chmod(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_chmod);
  BEGIN(KIND_BIT(KIND_CHMOD));
  BEGIN_PLACE(KIND_CHMOD, ctx->args[0], (u16)ctx->args[1] & 07777);
  END_PLACE();
  return gate(facts, walk, task, want);
}

// security_path_chown(path, user, group)
int gate_path_chown(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_chown);
  BEGIN(KIND_BIT(KIND_CHOWN));
  BEGIN_PLACE(KIND_CHOWN, ctx->args[0], (u64)(u32)ctx->args[1] << 32 | (u32)ctx->args[2]);
  END_PLACE();
  return gate(facts, walk, task, want);
}

// What a truncation leaves; -1 of one by an open, which was judged with that.
static __always_inline s64 size_left(u64 task) {
  u64 regs = registers_of(task), nr = 0, size = 0;
  u32 old = is_old_call(task);
  READ(nr, regs, pt_regs, orig_ax);
  if (old ? IS_OPEN(nr, OLD_NR_) : IS_OPEN(nr, NR_)) return -1;
  size = ARGUMENT(regs, old, si, cx);
  return (s64)size < 0 ? 0 : size;
}

// security_path_truncate(path)
int gate_path_truncate(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_path_truncate);
  BEGIN(KIND_BIT(KIND_TRUNCATE));
  s64 size = size_left(task);
  if (size < 0) return 0;
  BEGIN_PLACE(KIND_TRUNCATE, ctx->args[0], size);
  END_PLACE();
  return gate(facts, walk, task, want);
}

// security_file_truncate(file), from 6.2 on: ftruncate
int gate_file_truncate(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_file_truncate);
  BEGIN(KIND_BIT(KIND_TRUNCATE));
  s64 size = size_left(task);
  if (size < 0) return 0;
  BEGIN_PLACE(KIND_TRUNCATE, ctx->args[0] + OFF_file__f_path, size);
  END_PLACE();
  return gate(facts, walk, task, want);
}
