// A program that traces a child of its own, as a debugger or strace does, while the child acts.

#include "case.h"
#include <sys/ptrace.h>

// The child acts by `call`; its tracer lets every stop pass on, as strace does, and counts calls.
static void traced(const char *of, int (*call)(void)) {
  char key[64];
  int status, opens = 0, stops = 0, entering = 1;
  pid_t child = must("fork", fork());
  if (!child) {
    must("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    raise(SIGSTOP);
    _exit(call());
  }
  must("waitpid", waitpid(child, &status, 0));
  must("ptrace", ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
  long number = 0;
  for (;;) {
    if (ptrace(PTRACE_SYSCALL, child, NULL, number) < 0) break;
    if (waitpid(child, &status, 0) < 0 || WIFEXITED(status) || WIFSIGNALED(status)) break;
    number = 0;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      struct __ptrace_syscall_info info;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) > 0 && entering)
        opens += info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_openat;
      entering = !entering;
    } else if (WSTOPSIG(status) == SIGSTOP) {
      stops++;
      number = SIGSTOP;
    }
  }
  snprintf(key, sizeof(key), "end of a traced child that %s", of);
  say_status(key, status);
  snprintf(key, sizeof(key), "calls of openat seen of a child that %s", of);
  say(key, "%d", opens);
}

static int opens_held(void) { return open("held", O_RDONLY) == 3 ? 5 : 6; }

static int opens_free(void) { return open("/dev/null", O_RDONLY) == 3 ? 5 : 6; }

// Attached to when the act is over, and let go again.
static void attached(void) {
  int ready[2], status;
  char byte;
  must("pipe", pipe(ready));
  pid_t child = must("fork", fork());
  if (!child) {
    int descriptor = open("held", O_RDONLY);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause_ms(300);
    _exit(descriptor >= 0 ? 7 : 8);
  }
  must("read", read(ready[0], &byte, 1));
  result("attach", ptrace(PTRACE_SEIZE, child, NULL, NULL));
  result("interrupt", ptrace(PTRACE_INTERRUPT, child, NULL, NULL));
  must("waitpid", waitpid(child, &status, 0));
  result("detach", ptrace(PTRACE_DETACH, child, NULL, NULL));
  must("waitpid", waitpid(child, &status, 0));
  say_status("end of a child that was attached to", status);
}

int main(void) {
  put("held", "content");
  traced("opens what nobody asks about", opens_free);
  traced("opens what may be held", opens_held);
  attached();
  return 0;
}
