// What a parent is told of a child that acts: its end, and its stops if it asks for those.

#include "case.h"

static volatile sig_atomic_t told[8];

static void on_child(int number, siginfo_t *info, void *unused) {
  (void)number, (void)unused;
  if (info->si_code < 8) told[info->si_code]++;
}

static pid_t acting(void) {
  pid_t child = must("fork", fork());
  if (!child) {
    int descriptor = open("held", O_RDONLY);
    _exit(descriptor >= 0 ? 5 : 6);
  }
  return child;
}

static void by_waitpid(void) {
  int status, stops = 0, continues = 0;
  pid_t child = acting();
  do {
    must("waitpid", waitpid(child, &status, WUNTRACED | WCONTINUED));
    stops += WIFSTOPPED(status) != 0;
    continues += WIFCONTINUED(status) != 0;
  } while (!WIFEXITED(status) && !WIFSIGNALED(status));
  say("stops that waitpid tells of", "%d", stops > 0);
  say_status("the end that waitpid tells of", status);
}

static void by_waitid(void) {
  siginfo_t info;
  int first = 0;
  pid_t child = acting();
  do {
    must("waitid", waitid(P_PID, child, &info, WEXITED | WSTOPPED));
    if (!first) first = info.si_code;
  } while (info.si_code == CLD_STOPPED);
  say("the first that waitid tells of", "%s", first == CLD_EXITED ? "its end" : first == CLD_STOPPED ? "a stop" : "another");
  say("the last that waitid tells of", "code %d, status %d", info.si_code, info.si_status);
}

static void by_signal(const char *of, int flags) {
  struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART | flags};
  char key[64];
  memset((void *)told, 0, sizeof(told));
  sigaction(SIGCHLD, &action, NULL);
  pid_t child = acting();
  int status;
  must("waitpid", waitpid(child, &status, 0));
  snprintf(key, sizeof(key), "stops that %s tells of", of);
  say(key, "%d", told[CLD_STOPPED] > 0);
  // Of signals with one number that wait, one is delivered: a stop, or the end.
  snprintf(key, sizeof(key), "%s has come", of);
  say(key, "%d", told[CLD_EXITED] + told[CLD_STOPPED] + told[CLD_CONTINUED] > 0);
}

static void on_continue(int number) {
  (void)number;
  told[0]++;
}

static void own_continue(void) {
  struct sigaction action = {.sa_handler = on_continue};
  told[0] = 0;
  sigaction(SIGCONT, &action, NULL);
  int descriptor = open("held", O_RDONLY);
  result("open with a handler of SIGCONT", descriptor);
  say("it was called", "%d", told[0] > 0);
  close(descriptor);
}

int main(void) {
  put("held", "content");
  by_waitpid();
  by_waitid();
  by_signal("SIGCHLD", 0);
  by_signal("SIGCHLD with SA_NOCLDSTOP", SA_NOCLDSTOP);
  signal(SIGCHLD, SIG_DFL);
  own_continue();
  return 0;
}
