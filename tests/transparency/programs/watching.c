// Events of inotify about what the program itself does, in their order; and locks between processes.

#include "case.h"
#include <sys/file.h>
#include <sys/inotify.h>

static void said(const char *key, int watch) {
  char room[4096] __attribute__((aligned(8))), line[400] = "";
  long length = read(watch, room, sizeof(room));
  for (long at = 0; at < length;) {
    struct inotify_event *one = (struct inotify_event *)(room + at);
    snprintf(line + strlen(line), sizeof(line) - strlen(line), " %#x:%s", one->mask, one->len ? one->name : "");
    at += sizeof(*one) + one->len;
  }
  say(key, "%s", length < 0 ? error_name(errno) : line);
}

static void events(void) {
  mkdir("seen", 0755);
  int watch = must("inotify_init1", inotify_init1(IN_NONBLOCK));
  must("inotify_add_watch", inotify_add_watch(watch, "seen", IN_ALL_EVENTS));
  int descriptor = open("seen/file", O_WRONLY | O_CREAT | O_EXCL, 0644);
  said("create", watch);
  result("write", write(descriptor, "x", 1));
  close(descriptor);
  said("write and close", watch);
  descriptor = open("seen/file", O_RDONLY);
  said("open", watch);
  close(descriptor);
  open("seen/file", O_WRONLY | O_CREAT | O_EXCL, 0644);
  said("create what is there", watch);
  close(open("seen/file", O_WRONLY | O_TRUNC));
  said("truncate by open", watch);
  truncate("seen/file", 3) ? abort() : (void)0;
  said("truncate", watch);
  chmod("seen/file", 0600);
  said("chmod", watch);
  rename("seen/file", "seen/other");
  said("rename", watch);
  link("seen/other", "seen/linked") ? abort() : (void)0;
  said("link", watch);
  mkdir("seen/directory", 0755);
  rmdir("seen/directory");
  said("directory made and gone", watch);
  unlink("seen/linked"), unlink("seen/other");
  said("delete", watch);
  close(watch);
}

static void locks(void) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int status, mine = must("open", open("lock", O_RDWR | O_CREAT, 0600));
  result("lock of a record", fcntl(mine, F_SETLK, &whole));
  pid_t child = must("fork", fork());
  if (!child) {
    int theirs = open("lock", O_RDWR);
    result("its lock by another", fcntl(theirs, F_SETLK, &whole));
    struct flock asked = whole;
    must("fcntl", fcntl(theirs, F_GETLK, &asked));
    say("held by the parent", "%d", asked.l_pid == getppid());
    result("its lock, waited for", fcntl(theirs, F_SETLKW, &whole));
    _exit(0);
  }
  pause_ms(400);
  whole.l_type = F_UNLCK;
  result("unlock", fcntl(mine, F_SETLK, &whole));
  must("waitpid", waitpid(child, &status, 0));
  say_status("who waited for it", status);
  result("lock of the file", flock(mine, LOCK_EX));
  int again = must("open", open("lock", O_RDWR));
  result("its lock by another opening", flock(again, LOCK_EX | LOCK_NB));
  close(mine);
  result("when the first is closed", flock(again, LOCK_EX | LOCK_NB));
  struct flock own = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  result("lock of an open file", fcntl(again, F_OFD_SETLK, &own));
  int third = must("open", open("lock", O_RDWR));
  result("that by another opening", fcntl(third, F_OFD_SETLK, &own));
  close(again), close(third);
}

int main(void) {
  events();
  locks();
  return 0;
}
