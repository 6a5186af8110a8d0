// What is held is one process: its children, parents and siblings run on meanwhile.

#include "case.h"
#include <sys/prctl.h>

static const long MOST_MS = 700;

// Beats into shared memory until told to stop; keeps the longest time between two beats.
static pid_t beating(long *longest, int *stop) {
  pid_t child = must("fork", fork());
  if (child) return child;
  long last = now_ms();
  while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
    long now = now_ms();
    if (now - last > *longest) *longest = now - last;
    last = now;
    pause_ms(10);
  }
  _exit(0);
}

static void opened(const char *key) {
  int descriptor = open("held", O_RDONLY);
  result(key, descriptor);
  close(descriptor);
}

static long *longest;
static int *stop;

static void ended(const char *key, pid_t child) {
  __atomic_store_n(stop, 1, __ATOMIC_RELEASE);
  must("waitpid", waitpid(child, NULL, 0));
  say(key, "%d", *longest < MOST_MS);
  *longest = 0, *stop = 0;
}

int main(void) {
  longest = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  stop = (int *)(longest + 8);
  put("held", "content");
  pid_t child = beating(longest, stop);
  opened("open with a child");
  ended("the child beat on", child);
  // Again right after it ran on: such a child is in whatever its parent was in then.
  opened("open before a child");
  child = beating(longest, stop);
  opened("open with a child that was forked right after");
  ended("that child beat on", child);
  pid_t other = must("fork", fork());
  if (!other) {
    opened("open by a child");
    _exit(0);
  }
  long last = now_ms(), most = 0;
  while (waitpid(other, NULL, WNOHANG) == 0) {
    long now = now_ms();
    if (now - last > most) most = now - last;
    last = now;
    pause_ms(10);
  }
  say("the parent ran on", "%d", most < MOST_MS);
  return 0;
}
