// open(2) and its kin with every flag that changes what it does to the file or whether it may.

#include "case.h"
#include <linux/openat2.h>

static void opened(const char *key, int descriptor) {
  struct stat found;
  if (descriptor < 0) {
    result(key, -1);
    return;
  }
  must(key, fstat(descriptor, &found));
  say(key, "descriptor %d, mode %06o, %ld bytes, flags %#o, close on exec %d", descriptor, found.st_mode,
      (long)found.st_size, fcntl(descriptor, F_GETFL), fcntl(descriptor, F_GETFD));
  close(descriptor);
}

static int beneath(const char *path, unsigned long flags, unsigned long resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static void creating(void) {
  opened("create, exclusive", open("new", O_WRONLY | O_CREAT | O_EXCL, 0640));
  opened("create, exclusive, again", open("new", O_WRONLY | O_CREAT | O_EXCL, 0640));
  opened("create what is there", open("new", O_WRONLY | O_CREAT, 0600));
  umask(077);
  opened("create under another umask", open("private", O_RDWR | O_CREAT, 0666));
  umask(022);
  opened("creat", creat("made", 0644));
  opened("create in no directory", open("no/such", O_WRONLY | O_CREAT, 0644));
  opened("create exclusively through a link", open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644));
  opened("create through a link", open("dangling", O_WRONLY | O_CREAT, 0644));
  opened("create for nobody, to write", open("locked", O_WRONLY | O_CREAT, 0000));
  opened("open what is for nobody", open("locked", O_RDONLY));
}

static void truncating(void) {
  put("full", "0123456789");
  opened("open without truncating", open("full", O_WRONLY));
  opened("open to append", open("full", O_WRONLY | O_APPEND));
  opened("open and truncate", open("full", O_WRONLY | O_TRUNC));
  put("full", "0123456789");
  opened("read only and truncate", open("full", O_RDONLY | O_TRUNC));
  opened("truncate a directory", open(".", O_WRONLY | O_TRUNC));
}

static void unnamed(void) {
  int descriptor = open(".", O_TMPFILE | O_RDWR, 0600);
  char path[64];
  if (result("unnamed file", descriptor) < 0) return;
  must("write", write(descriptor, "kept", 4));
  snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
  result("give it a name", linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  close(descriptor);
  say_content("what the name has", "named");
  opened("unnamed, never to have one", open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
}

static void by_path_only(void) {
  put("plain", "plain text");
  int descriptor = open("plain", O_PATH);
  char byte, path[64];
  result("path only", descriptor);
  result("read from a path only", read(descriptor, &byte, 1));
  snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
  opened("open it again to read", open(path, O_RDONLY));
  opened("path only of a link", open("link", O_PATH | O_NOFOLLOW));
  close(descriptor);
}

static void resolving(void) {
  mkdir("below", 0755);
  put("below/inside", "inside");
  opened("beneath", beneath("below/inside", O_RDONLY, RESOLVE_BENEATH));
  opened("beneath, and out", beneath("../outside", O_RDONLY, RESOLVE_BENEATH));
  opened("no links", beneath("link", O_RDONLY, RESOLVE_NO_SYMLINKS));
  opened("no magic links", beneath("/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS));
  opened("in a root", beneath("/below/inside", O_RDONLY, RESOLVE_IN_ROOT));
  opened("no other file system", beneath("/proc/self/stat", O_RDONLY, RESOLVE_NO_XDEV));
  opened("unknown flag of openat2", beneath("plain", O_RDONLY, 1 << 20));
}

static void kinds_of_files(void) {
  opened("directory", open("below", O_RDONLY | O_DIRECTORY));
  opened("file as a directory", open("plain", O_RDONLY | O_DIRECTORY));
  opened("directory to write", open("below", O_WRONLY));
  opened("link, not followed", open("link", O_RDONLY | O_NOFOLLOW));
  opened("link to itself", open("loop", O_RDONLY));
  opened("close on exec", open("plain", O_RDONLY | O_CLOEXEC));
  opened("not there", open("absent", O_RDONLY));
  opened("fifo without a reader", open("fifo", O_WRONLY | O_NONBLOCK));
  opened("fifo without a writer", open("fifo", O_RDONLY | O_NONBLOCK));
  opened("by a bad address", open((char *)1, O_RDONLY));
}

static void both_ends_of_a_fifo(void) {
  pid_t child = must("fork", fork());
  if (!child) {
    int end = open("fifo", O_WRONLY);
    _exit(end >= 0 && write(end, "through", 7) == 7 ? 0 : 1);
  }
  say_content("fifo, opened at both ends", "fifo");
  int status;
  must("wait", waitpid(child, &status, 0));
  say_status("its writer", status);
}

int main(void) {
  must("symlink", symlink("plain", "link"));
  must("symlink", symlink("loop", "loop"));
  must("symlink", symlink("target", "dangling"));
  must("mkfifo", mkfifo("fifo", 0644));
  creating();
  truncating();
  unnamed();
  by_path_only();
  resolving();
  kinds_of_files();
  both_ends_of_a_fifo();
  opened("the lowest free descriptor", open("plain", O_RDONLY));
  return 0;
}
