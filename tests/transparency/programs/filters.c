// Programs that confine themselves: seccomp filters, limits, and a supervisor that answers calls.

#include "case.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

// Returns what seccomp(2) does. `action` is what happens at the call `number`.
static int filter(int number, unsigned action, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = 4, .filter = code};
  must("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void in_child(const char *key, void (*call)(void)) {
  int status;
  pid_t child = must("fork", fork());
  if (!child) {
    call();
    _exit(0);
  }
  must("waitpid", waitpid(child, &status, 0));
  say_status(key, status);
}

static void refused(void) {
  must("seccomp", filter(SYS_mkdirat, SECCOMP_RET_ERRNO | EPERM, 0));
  result("mkdirat under a filter", mkdirat(AT_FDCWD, "never", 0755));
  result("open under a filter", open("held", O_RDONLY));
}

static void killed(void) {
  must("seccomp", filter(SYS_mkdirat, SECCOMP_RET_KILL_PROCESS, 0));
  result("open before the end", open("held", O_RDONLY));
  mkdirat(AT_FDCWD, "never", 0755);
}

// A supervisor is told of each openat of another process, and lets it go on.
static void supervised(void) {
  int pair[2], status, told = 0;
  must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t child = must("fork", fork());
  if (!child) {
    // Its supervisor takes the descriptor by number; the child waits until that has been done.
    int listener = must("seccomp", filter(SYS_openat, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER));
    char byte;
    if (write(pair[1], &listener, sizeof(listener)) < 0 || read(pair[1], &byte, 1) != 1) _exit(1);
    close(listener);
    int descriptor = syscall(SYS_openat, AT_FDCWD, "held", O_RDONLY, 0);
    _exit(descriptor >= 0 ? 5 : 6);
  }
  int number;
  must("read", read(pair[0], &number, sizeof(number)));
  int process = must("pidfd_open", syscall(SYS_pidfd_open, child, 0));
  int listener = syscall(SYS_pidfd_getfd, process, number, 0);
  say("the descriptor of another", "%s", listener >= 0 ? "taken" : error_name(errno));
  must("write", write(pair[0], "x", 1));
  // Until the child has ended: before Linux 6.11 the listener does not tell of that.
  struct pollfd wait[] = {{.fd = listener, .events = POLLIN}, {.fd = process, .events = POLLIN}};
  while (listener >= 0 && poll(wait, 2, -1) > 0 && !wait[1].revents) {
    struct seccomp_notif asked = {};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) break;
    struct seccomp_notif_resp answer = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    told++;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
  must("waitpid", waitpid(child, &status, 0));
  say("calls that the supervisor was told of", "%d", told);
  say_status("who was supervised", status);
  close(listener), close(process), close(pair[0]), close(pair[1]);
}

static void limited(void) {
  struct rlimit files = {.rlim_cur = 4, .rlim_max = 1024}, size = {.rlim_cur = 4, .rlim_max = RLIM_INFINITY};
  must("setrlimit", setrlimit(RLIMIT_NOFILE, &files));
  result("the last descriptor", open("held", O_RDONLY));
  result("one more", open("held", O_RDONLY));
  close(3);
  signal(SIGXFSZ, SIG_IGN);
  int descriptor = must("open", open("limited", O_WRONLY | O_CREAT, 0644));
  must("setrlimit", setrlimit(RLIMIT_FSIZE, &size));
  long first = write(descriptor, "0123456789", 10), second = write(descriptor, "x", 1);
  // What this program says may go to a file as well.
  size.rlim_cur = RLIM_INFINITY;
  must("setrlimit", setrlimit(RLIMIT_FSIZE, &size));
  say("written up to the limit, and beyond", "%ld %ld", first, second);
}

int main(void) {
  put("held", "content");
  in_child("a filter that refuses", refused);
  in_child("a filter that kills", killed);
  supervised();
  in_child("limits", limited);
  return 0;
}
