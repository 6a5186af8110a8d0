// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Open files: which one a descriptor is, who else has it, and what rules may want of how it is opened.

#define OPEN_ACCESS_MODE 3
#define OPEN_READ_ONLY 0
#define OPEN_READ_WRITE 2
#define OPEN_CREATE 0100
#define OPEN_TRUNCATE 01000
#define OPEN_PATH_ONLY 010000000
#define OPEN_NAMELESS 020000000  // __O_TMPFILE
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

#define IS_OPEN(nr, of)                                                                       \
  ((nr) == of##open || (nr) == of##creat || (nr) == of##openat || (nr) == of##openat2 ||      \
   (nr) == of##open_by_handle_at || (nr) == of##io_uring_setup)

// What an open call (see IS_OPEN) asks for, by its registers.
static __always_inline void read_opening(struct opening *opening, u64 regs, u64 nr, u32 old) {
  u64 first = ARGUMENT(regs, old, di, bx);
  u64 second = ARGUMENT(regs, old, si, cx);
  u64 third = ARGUMENT(regs, old, dx, dx);
  *opening = (struct opening){.name = second, .flags = third};
  if (nr == (old ? OLD_NR_open : NR_open)) {
    opening->name = first;
    opening->flags = second;
  } else if (nr == (old ? OLD_NR_creat : NR_creat)) {
    opening->name = first;
    opening->flags = 1 | OPEN_CREATE | OPEN_TRUNCATE;
  } else if (nr == (old ? OLD_NR_openat2 : NR_openat2)) {
    opening->flags = 0;
    bpf_probe_read_user(&opening->flags, sizeof(opening->flags), (void *)third);
  } else if (nr == (old ? OLD_NR_open_by_handle_at : NR_open_by_handle_at)) {
    opening->name = 0;
  } else if (nr == (old ? OLD_NR_io_uring_setup : NR_io_uring_setup)) {
    *opening = (struct opening){.flags = OPEN_READ_WRITE, .ring = 1};
  }
}
