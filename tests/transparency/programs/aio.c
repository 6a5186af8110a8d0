// Linux's own asynchronous input and output, and copying inside the kernel.

#include "case.h"
#include <linux/aio_abi.h>
#include <sys/sendfile.h>

static void asynchronous(void) {
  aio_context_t context = 0;
  char written[] = "asynchronous", read_back[16] = "";
  struct io_event done[2];
  int file = must("open", open("file", O_RDWR | O_CREAT, 0644));
  result("io_setup", syscall(SYS_io_setup, 8, &context));
  struct iocb request = {.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = file, .aio_buf = (unsigned long)written, .aio_nbytes = 12};
  struct iocb *list[] = {&request};
  result("io_submit, a write", syscall(SYS_io_submit, context, 1, list));
  result("io_getevents", syscall(SYS_io_getevents, context, 1, 2, done, NULL));
  say("written", "%ld", (long)done[0].res);
  request.aio_lio_opcode = IOCB_CMD_PREAD, request.aio_buf = (unsigned long)read_back;
  result("io_submit, a read", syscall(SYS_io_submit, context, 1, list));
  result("io_getevents of the read", syscall(SYS_io_getevents, context, 1, 2, done, NULL));
  say("read", "%ld '%s'", (long)done[0].res, read_back);
  request = (struct iocb){.aio_lio_opcode = IOCB_CMD_FSYNC, .aio_fildes = file};
  result("io_submit, a sync", syscall(SYS_io_submit, context, 1, list));
  result("io_getevents of the sync", syscall(SYS_io_getevents, context, 1, 2, done, NULL));
  request.aio_fildes = 999;
  result("io_submit, no descriptor", syscall(SYS_io_submit, context, 1, list));
  result("io_destroy", syscall(SYS_io_destroy, context));
  close(file);
}

static void copying(void) {
  int ends[2], more[2];
  put("source", "0123456789");
  int from = must("open", open("source", O_RDONLY)), to = must("open", open("target", O_RDWR | O_CREAT, 0644));
  result("sendfile", sendfile(to, from, NULL, 4));
  result("copy_file_range", copy_file_range(from, NULL, to, NULL, 3, 0));
  must("pipe", pipe(ends));
  must("pipe", pipe(more));
  result("splice into a pipe", splice(from, NULL, ends[1], NULL, 100, 0));
  result("tee", tee(ends[0], more[1], 100, 0));
  result("splice out of a pipe", splice(ends[0], NULL, to, NULL, 100, 0));
  char text[16] = "";
  result("read of the tee", read(more[0], text, 15));
  say_content("the target", "target");
  char *mapped = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
  mapped[0] = 'm';
  result("msync", msync(mapped, 10, MS_SYNC));
  say_content("written by memory", "target");
  munmap(mapped, 10);
  result("fallocate", fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 2));
  close(from), close(to);
}

int main(void) {
  asynchronous();
  copying();
  return 0;
}
