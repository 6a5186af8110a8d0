// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// mount in its forms: the place is the path, and what is put there the second one.

// Text of the kernel's own into the record and the identity.
static __always_inline void second_text(struct facts *facts, u64 text) {
  SECOND_PATH(facts)[0] = 0;
  if (text && bpf_probe_read_kernel_str(SECOND_PATH(facts), PATH_BYTES, (void *)text) >= PATH_BYTES)
    facts->act.marks |= MARK_SECOND_CUT;
}

// security_sb_mount(device, path, type, flags, data)
int gate_sb_mount(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_sb_mount);
  BEGIN(KIND_BIT(KIND_MOUNT));
  u64 flags = ctx->args[3], data = ctx->args[4], kept[8] = {};
  BEGIN_PLACE(KIND_MOUNT, ctx->args[1], (u32)flags);
  second_text(facts, ctx->args[0]);
  END_PLACE();
  bpf_probe_read_kernel_str(facts->identity.second_name, PATH_BYTES, (void *)ctx->args[0]);
  if (ctx->args[2]) bpf_probe_read_kernel_str(facts->identity.name, 64, (void *)ctx->args[2]);
  // The record has no other room for the type of the file system.
  __builtin_memset(facts->target.comm, 0, sizeof(facts->target.comm));
  if (ctx->args[2]) bpf_probe_read_kernel_str(facts->target.comm, sizeof(facts->target.comm), (void *)ctx->args[2]);
  // Options are text for most file systems, and compared as far as there is room.
  if (data) bpf_probe_read_kernel_str(&facts->identity.name[64], 192, (void *)data);
  return gate(facts, walk, task, want);
}

// security_move_mount(from, to): also what fsmount(2) or open_tree(2) has made is put somewhere by it
int gate_move_mount(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_move_mount);
  BEGIN(KIND_BIT(KIND_MOUNT));
  u32 marks = 0, bytes = 0, from;
  struct act moved = {};
  BEGIN_PLACE(KIND_MOUNT, ctx->args[1], NUMBER_MOVE);
  COPY_PATH(walk, position, facts->path, bytes, facts->act.marks);
  facts->act.path_bytes = bytes;
  from = place_path(walk, &moved, ctx->args[0], table_byte(config, TABLE_CHANGE));
  COPY_PATH(walk, from, SECOND_PATH(facts), bytes, marks);
  want = judge_change(config, facts, walk, task, WALK_BYTES + 1, &left);
  if (left) return 0;
  facts->identity.second_inode = moved.inode;
  facts->identity.second_device = moved.device;
  bpf_probe_read_kernel_str(facts->identity.second_name, PATH_BYTES, SECOND_PATH(facts));
  return gate(facts, walk, task, want);
}

// security_sb_umount(mount, flags)
int gate_sb_umount(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_sb_umount);
  BEGIN(KIND_BIT(KIND_MOUNT));
  u64 root = 0, inode = 0;
  u32 position, left = 1, want;
  u8 table = table_byte(config, TABLE_CHANGE);
  facts->act.kind = KIND_MOUNT;
  facts->act.number = NUMBER_UNMOUNT | (u32)ctx->args[1];
  SECOND_PATH(facts)[0] = 0;
  READ(root, ctx->args[0], vfsmount, mnt_root);
  READ(inode, root, dentry, d_inode);
  read_inode(&facts->act, inode);
  want_inode(walk, table, facts->act.inode, facts->act.device);
  position = walk_path(walk, root, ctx->args[0], table, &facts->act.marks);
  END_PLACE();
  return gate(facts, walk, task, want);
}
