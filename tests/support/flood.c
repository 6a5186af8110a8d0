// Does one act again and again, as fast as it can or at a rate, and says exactly how often it did.
//
//   flood open COUNT SECONDS RATE FILE...      opens files in turn, and closes them
//   flood connect COUNT SECONDS RATE NAME...   connects one socket to abstract ones of its own in turn
//
// Starts when it reads a line, ends after COUNT acts or SECONDS, whichever is first (0: no limit).
// RATE is acts a second, 0 as fast as possible. At the end it writes one line:
//
//   ACTS ELAPSED_NS CPU_NS
//
// An open that fails counts like any other: it is recorded too. A connect that fails is not, and
// ends the flood. A datagram socket connects in one call that neither sends nor waits, which makes
// it the act of which a process can do the most.

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static long now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void open_once(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file >= 0) close(file);
}

struct target {
  struct sockaddr_un address;
  socklen_t bytes;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct target listen_at(const char *name) {
  struct target target = {.address.sun_family = AF_UNIX};
  // Behind a zero byte, which makes it abstract.
  strncpy(target.address.sun_path + 1, name, sizeof(target.address.sun_path) - 2);
  target.bytes = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(target.address.sun_path + 1);
  if (bind(socket(AF_UNIX, SOCK_DGRAM, 0), (struct sockaddr *)&target.address, target.bytes)) fail(name);
  return target;
}

static void connect_once(int socket, const struct target *to) {
  if (connect(socket, (const struct sockaddr *)&to->address, to->bytes)) fail("connect");
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  int connects = !strcmp(argv[1], "connect");
  long count = atol(argv[2]), limit = atol(argv[3]) * 1000000000L, rate = atol(argv[4]);
  char **named = argv + 5, go;
  int names = argc - 5, next = 0, sender = connects ? socket(AF_UNIX, SOCK_DGRAM, 0) : -1;
  struct target targets[names];
  for (int name = 0; connects && name < names; name++) targets[name] = listen_at(named[name]);
  if (read(0, &go, 1) != 1) return 3;
  long started = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID), acts = 0;
  while (!count || acts < count) {
    if (connects)
      connect_once(sender, &targets[next]);
    else
      open_once(named[next]);
    if (++next == names) next = 0;
    acts++;
    if (acts % 64) continue;
    long elapsed = now(CLOCK_MONOTONIC) - started;
    if (limit && elapsed >= limit) break;
    if (!rate) continue;
    long ahead = acts * 1000000000L / rate - elapsed;
    if (ahead > 0) {
      struct timespec pause = {.tv_sec = ahead / 1000000000L, .tv_nsec = ahead % 1000000000L};
      nanosleep(&pause, 0);
    }
  }
  printf("%ld %ld %ld\n", acts, now(CLOCK_MONOTONIC) - started, now(CLOCK_PROCESS_CPUTIME_ID) - used);
  return 0;
}
