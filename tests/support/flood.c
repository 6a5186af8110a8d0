// Opens files in turn, as fast as it can or at a rate, and says exactly how often it did.
//
//   flood COUNT SECONDS RATE FILE...
//
// Starts when it reads a line, ends after COUNT opens or SECONDS, whichever is first (0: no limit).
// RATE is opens a second, 0 as fast as possible. At the end it writes one line:
//
//   OPENS ELAPSED_NS CPU_NS
//
// An open that fails counts like any other: it is recorded too.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000000000L + time.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  long count = atol(argv[1]), limit = atol(argv[2]) * 1000000000L, rate = atol(argv[3]);
  char **files = argv + 4, go;
  int named = argc - 4, next = 0;
  if (read(0, &go, 1) != 1) return 3;
  long started = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID), opens = 0;
  while (!count || opens < count) {
    int file = open(files[next], O_RDONLY | O_CLOEXEC);
    if (file >= 0) close(file);
    if (++next == named) next = 0;
    opens++;
    if (opens % 64) continue;
    long elapsed = now(CLOCK_MONOTONIC) - started;
    if (limit && elapsed >= limit) break;
    if (!rate) continue;
    long ahead = opens * 1000000000L / rate - elapsed;
    if (ahead > 0) {
      struct timespec pause = {.tv_sec = ahead / 1000000000L, .tv_nsec = ahead % 1000000000L};
      nanosleep(&pause, 0);
    }
  }
  printf("%ld %ld %ld\n", opens, now(CLOCK_MONOTONIC) - started, now(CLOCK_PROCESS_CPUTIME_ID) - used);
  return 0;
}
