// Signals that arrive while an act may be held: each is delivered, once, and spoils no call.
//
// A child sends them a third of a second after the act began, which is when it is held.

#include "case.h"
#include <sys/signalfd.h>

static volatile sig_atomic_t calls, values[8], on_other_stack;
static char other_stack[1 << 16];

static void count(int number) {
  (void)number;
  calls++;
}

static void take(int number, siginfo_t *info, void *unused) {
  (void)number, (void)unused;
  if (calls < 8) values[calls] = info->si_value.sival_int;
  calls++;
}

static void where(int number) {
  char here;
  (void)number;
  on_other_stack = &here >= other_stack && &here < other_stack + sizeof(other_stack);
  calls++;
}

static void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  must("sigaction", sigaction(number, &action, NULL));
}

static pid_t sender(int number, int times) {
  pid_t child = must("fork", fork());
  if (child) return child;
  pid_t parent = getppid();
  pause_ms(300);
  for (int i = 0; i < times; i++) {
    if (times == 1)
      kill(parent, number);
    else
      sigqueue(parent, number, (union sigval){.sival_int = i + 1});
  }
  _exit(0);
}

static void until(int wanted, pid_t child) {
  while (calls < wanted) pause_ms(5);
  waitpid(child, NULL, 0);
}

static void opened(const char *key) {
  int descriptor = open("held", O_RDONLY);
  result(key, descriptor);
  close(descriptor);
}

static void with_a_handler(const char *of, int flags) {
  char key[64];
  calls = 0;
  handle(SIGUSR1, count, flags);
  pid_t child = sender(SIGUSR1, 1);
  snprintf(key, sizeof(key), "open, handler %s", of);
  opened(key);
  until(1, child);
  snprintf(key, sizeof(key), "calls of the handler %s", of);
  say(key, "%d", calls);
}

static void by_an_alarm(void) {
  calls = 0;
  handle(SIGALRM, count, 0);
  struct itimerval once = {.it_value = {0, 300000}};
  setitimer(ITIMER_REAL, &once, NULL);
  opened("open, alarm");
  while (!calls) pause_ms(5);
  say("calls at the alarm", "%d", calls);
}

static void in_a_queue(void) {
  struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
  calls = 0;
  must("sigaction", sigaction(SIGRTMIN, &action, NULL));
  pid_t child = sender(SIGRTMIN, 3);
  opened("open, three in a queue");
  until(3, child);
  say("values in their order", "%d %d %d", values[0], values[1], values[2]);
}

static void blocked(void) {
  sigset_t mask, pending, before;
  calls = 0;
  handle(SIGUSR2, count, 0);
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  sigprocmask(SIG_BLOCK, &mask, &before);
  pid_t child = sender(SIGUSR2, 1);
  opened("open, blocked");
  waitpid(child, NULL, 0);
  sigpending(&pending);
  say("pending and not delivered", "%d %d", sigismember(&pending, SIGUSR2), calls);
  sigprocmask(SIG_SETMASK, &before, NULL);
  say("delivered when it may be", "%d", calls);
}

static void waited_for(void) {
  sigset_t mask;
  siginfo_t info = {};
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  pid_t child = sender(SIGUSR2, 1);
  opened("open, before sigwaitinfo");
  result("sigwaitinfo", sigwaitinfo(&mask, &info));
  say("from the child", "%d", info.si_pid == child);
  waitpid(child, NULL, 0);
  int descriptor = must("signalfd", signalfd(-1, &mask, SFD_CLOEXEC));
  child = sender(SIGUSR2, 1);
  opened("open, before signalfd");
  struct signalfd_siginfo read_info = {};
  result("read from signalfd", read(descriptor, &read_info, sizeof(read_info)));
  say("it is", "%s", signal_name(read_info.ssi_signo));
  waitpid(child, NULL, 0);
  close(descriptor);
  sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

static void elsewhere(void) {
  stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
  calls = 0;
  must("sigaltstack", sigaltstack(&stack, NULL));
  handle(SIGUSR1, where, SA_ONSTACK);
  pid_t child = sender(SIGUSR1, 1);
  opened("open, handler on a stack of its own");
  until(1, child);
  say("it ran there", "%d", on_other_stack);
}

static void *open_in_thread(void *unused) {
  pause_ms(100);
  opened("open by another thread");
  return unused;
}

// The main thread waits in read while another one's act may be held and a signal arrives.
static void while_another_reads(const char *of, int flags) {
  int pipe_ends[2];
  char key[64], byte;
  calls = 0;
  handle(SIGALRM, count, flags);
  must("pipe", pipe(pipe_ends));
  pid_t writer = must("fork", fork());
  if (!writer) {
    pause_ms(1200);
    _exit(write(pipe_ends[1], "x", 1) != 1);
  }
  pthread_t thread;
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
  thread = start_thread(open_in_thread, NULL);
  pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
  struct itimerval once = {.it_value = {0, 400000}};
  setitimer(ITIMER_REAL, &once, NULL);
  long got = read(pipe_ends[0], &byte, 1);
  snprintf(key, sizeof(key), "read, %s", of);
  result(key, got);
  say("calls meanwhile", "%d", calls);
  pthread_join(thread, NULL);
  waitpid(writer, NULL, 0);
}

int main(void) {
  put("held", "content");
  with_a_handler("that restarts", SA_RESTART);
  with_a_handler("that does not restart", 0);
  by_an_alarm();
  in_a_queue();
  blocked();
  waited_for();
  elsewhere();
  while_another_reads("restarting", SA_RESTART);
  while_another_reads("not restarting", 0);
  return 0;
}
