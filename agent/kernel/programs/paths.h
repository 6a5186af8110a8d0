// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The path of a file as the kernel has resolved it: from dentry to the root of the mount namespace,
// through every mount, so that a relative name, a symbolic link or a chroot changes nothing.

// Writes the path so that it ends at walk->buffer[WALK_BYTES]; returns where it starts. With a
// table, adds to walk->want what the rules want of each component and of the whole.
static __always_inline u32 walk_path(struct walk *walk, u64 dentry, u64 vfsmount, u8 table, u32 *marks) {
  u32 position;
  int whole = 0;
  // Kept in memory also because what is read from there has no type that the verifier follows.
  walk->dentry = dentry;
  walk->mount = vfsmount - OFF_mount__mnt;
  walk->position = WALK_BYTES;
  walk->buffer[WALK_BYTES] = 0;
  for (int i = 0; i < MAXIMUM_COMPONENTS; i++) {
    asm volatile("" ::: "memory");
    u64 parent = 0, root = 0, name = 0, dentry = walk->dentry, mount = walk->mount;
    u32 length = 0;
    READ(parent, dentry, dentry, d_parent);
    READ_AT(root, mount, mount, OFF_mount__mnt + OFF_vfsmount__mnt_root);
    if (dentry == root) {
      u64 above = 0, at = 0;
      READ(above, mount, mount, mnt_parent);
      if (above == mount || !above) {
        whole = 1;
        break;
      }
      READ(at, mount, mount, mnt_mountpoint);
      walk->dentry = at;
      walk->mount = above;
      continue;
    }
    READ_AT(length, dentry, dentry, OFF_dentry__d_name + OFF_qstr__len);
    READ_AT(name, dentry, dentry, OFF_dentry__d_name + OFF_qstr__name);
    length &= 255;
    position = walk->position;
    if (position > WALK_BYTES || position < length + 1) break;
    position -= length + 1;
    walk->position = position;
    walk->buffer[position & (WALK_BYTES - 1)] = '/';
    bpf_probe_read_kernel(&walk->buffer[(position & (WALK_BYTES - 1)) + 1], length, (void *)name);
    if (table) want_name(walk, table, &walk->buffer[(position & (WALK_BYTES - 1)) + 1], length);
    if (dentry == parent) {
      // Not in any directory: a memfd, a pipe, an anonymous inode. Its bare name is all there is.
      walk->position = position + 1;
      whole = 1;
      break;
    }
    walk->dentry = parent;
  }
  if (!whole) *marks |= MARK_PATH_CUT;
  position = walk->position;
  if (position >= WALK_BYTES) {
    position = WALK_BYTES - 1;
    walk->buffer[WALK_BYTES - 1] = '/';
  }
  if (table) {
    want_path(walk, table, position);
    // A path whose head is missing could be anything under any prefix: the agent shall look.
    if (!whole) want_anything(walk, OF_CUT_PATH(table));
  }
  return position;
}

// Copies the path that starts at `position` to `target`, whose size must be a power of two.
#define COPY_PATH(walk, position, target, bytes_out, marks)                                     \
  ({                                                                                            \
    u32 path_bytes = WALK_BYTES - (position);                                                   \
    if (path_bytes > sizeof(target) - 1) {                                                      \
      path_bytes = sizeof(target) - 1;                                                          \
      (marks) |= MARK_PATH_CUT;                                                                 \
    }                                                                                           \
    asm volatile("" : "+r"(path_bytes));                                                        \
    path_bytes &= sizeof(target) - 1;                                                           \
    bpf_probe_read_kernel(target, path_bytes, &(walk)->buffer[(position) & (WALK_BYTES - 1)]);   \
    (target)[path_bytes] = 0;                                                                   \
    (bytes_out) = path_bytes;                                                                   \
  })

static __always_inline void read_inode(struct act *act, u64 inode) {
  u64 block = 0;
  READ(act->inode, inode, inode, i_ino);
  READ(block, inode, inode, i_sb);
  READ(act->device, block, super_block, s_dev);
}

// Path, inode and device of an open file into the act and walk buffer; returns the path's start.
static __always_inline u32 file_path(struct walk *walk, struct act *act, u64 file, u8 table) {
  u64 dentry = 0, vfsmount = 0, inode = 0;
  READ_AT(dentry, file, file, OFF_file__f_path + OFF_path__dentry);
  READ_AT(vfsmount, file, file, OFF_file__f_path + OFF_path__mnt);
  READ(inode, file, file, f_inode);
  read_inode(act, inode);
  u32 position = walk_path(walk, dentry, vfsmount, table, &act->marks);
  if (table) want_inode(walk, table, act->inode, act->device);
  return position;
}

// Program and current directory of the current process, for the card.
static __always_inline void read_surroundings(struct facts *facts, struct walk *walk, u64 task, int with_program) {
  u64 fs = 0, dentry = 0, vfsmount = 0;
  u32 marks = 0, bytes = 0, position;
  READ(fs, task, task_struct, fs);
  READ_AT(dentry, fs, fs_struct, OFF_fs_struct__pwd + OFF_path__dentry);
  READ_AT(vfsmount, fs, fs_struct, OFF_fs_struct__pwd + OFF_path__mnt);
  position = walk_path(walk, dentry, vfsmount, 0, &marks);
  COPY_PATH(walk, position, facts->directory, bytes, marks);
  // Part of a directory could pass for another one: better none, which the rules read as unknown.
  if (marks & MARK_PATH_CUT) facts->directory[0] = 0;
  facts->program[0] = 0;
  if (!with_program) return;
  u64 mm = 0, file = 0;
  READ(mm, task, task_struct, mm);
  if (!mm) return;
  READ(file, mm, mm_struct, exe_file);
  if (!file) return;
  READ_AT(dentry, file, file, OFF_file__f_path + OFF_path__dentry);
  READ_AT(vfsmount, file, file, OFF_file__f_path + OFF_path__mnt);
  position = walk_path(walk, dentry, vfsmount, 0, &marks);
  COPY_PATH(walk, position, facts->program, bytes, marks);
}
