// A file read through io_uring by its bare calls, or with read(2) where there is no ring, as
// libraries do it.

#include "case.h"
#include <linux/io_uring.h>

struct ring {
  int descriptor;
  unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
  struct io_uring_sqe *entries;
  struct io_uring_cqe *done;
};

static int set_up(struct ring *ring) {
  struct io_uring_params given = {};
  ring->descriptor = syscall(SYS_io_uring_setup, 4, &given);
  if (ring->descriptor < 0) return -1;
  char *sq = mmap(NULL, given.sq_off.array + given.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring->descriptor, IORING_OFF_SQ_RING);
  char *cq = mmap(NULL, given.cq_off.cqes + given.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring->descriptor, IORING_OFF_CQ_RING);
  ring->entries = mmap(NULL, given.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring->descriptor, IORING_OFF_SQES);
  ring->sq_tail = (unsigned *)(sq + given.sq_off.tail), ring->sq_mask = (unsigned *)(sq + given.sq_off.ring_mask);
  ring->sq_array = (unsigned *)(sq + given.sq_off.array);
  ring->cq_head = (unsigned *)(cq + given.cq_off.head), ring->cq_tail = (unsigned *)(cq + given.cq_off.tail);
  ring->cq_mask = (unsigned *)(cq + given.cq_off.ring_mask), ring->done = (struct io_uring_cqe *)(cq + given.cq_off.cqes);
  return 0;
}

static int perform(struct ring *ring, struct io_uring_sqe request) {
  unsigned tail = *ring->sq_tail, index = tail & *ring->sq_mask;
  ring->entries[index] = request;
  ring->sq_array[index] = index;
  __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
  while (syscall(SYS_io_uring_enter, ring->descriptor, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
    if (errno != EINTR) return -errno;
  while (*ring->cq_head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) pause_ms(1);
  int came_to = ring->done[*ring->cq_head & *ring->cq_mask].res;
  __atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
  return came_to;
}

static int opened(struct ring *ring, const char *path) {
  if (!ring) return open(path, O_RDONLY);
  return perform(ring, (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)path, .open_flags = O_RDONLY});
}

static void read_file(struct ring *ring, const char *path) {
  char text[32] = "", key[64];
  int descriptor = opened(ring, path), length = descriptor;
  if (descriptor >= 0) {
    length = ring ? perform(ring, (struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = descriptor, .addr = (unsigned long)text, .len = 31})
                  : read(descriptor, text, 31);
    close(descriptor);
  }
  snprintf(key, sizeof(key), "what a library reads of %s", path);
  say(key, "%d, '%s'", length, text);
}

int main(void) {
  struct ring ring = {};
  put("held", "content");
  int there = set_up(&ring) == 0;
  say("a ring", "%s", there ? "made" : error_name(errno));
  if (there) say("nothing, through it", "%d", perform(&ring, (struct io_uring_sqe){.opcode = IORING_OP_NOP}));
  read_file(there ? &ring : NULL, "/etc/hostname-of-nobody");
  read_file(there ? &ring : NULL, "held");
  return 0;
}
