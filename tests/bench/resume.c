// What the guard is measured with: a victim that gets past its held act if it is let, and its parent,
// which lets it run on.
//
//   resume creates FILE            makes the file, by its very first system call after the C library's
//   resume reads FILE FILE         opens the first, which is held, then makes the second
//   resume acts FILE FILE FILE     opens the first, which is held, then makes one with each call
//   resume ATTACK DEAF VICTIM...   runs the victim, says its pid, attacks it, says "done", waits
//
// ATTACK is `later` (fifty times, once it is held for a while), `at-once` (as soon as it stops) or
// `flood` (all the time, from before the act). DEAF 1: the parent ignores SIGCHLD.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FLOOD_NS 200000000L

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int create(const char *path) {
  int file = open(path, O_CREAT | O_WRONLY, 0666);
  return file < 0 ? 1 : close(file);
}

static int victim(char **words) {
  char byte;
  if (!strcmp(words[1], "creates")) return create(words[2]);
  int file = open(words[2], O_RDONLY);
  if (!strcmp(words[1], "acts")) {
    int first = open(words[3], O_CREAT | O_WRONLY, 0666), second = open(words[4], O_CREAT | O_WRONLY, 0666);
    return file < 0 || first < 0 || second < 0;
  }
  if (read(file, &byte, 1) < 0) return 1;
  return create(words[3]);
}

static void attack(const char *how, pid_t child) {
  if (!strcmp(how, "at-once")) {
    int status;
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGCONT);
    usleep(FLOOD_NS / 1000);
  } else if (!strcmp(how, "later")) {
    usleep(100000);
    for (int i = 0; i < 50; i++) {
      kill(child, SIGCONT);
      usleep(1000);
    }
  } else {
    for (long end = now() + FLOOD_NS; now() < end;) kill(child, SIGCONT);
  }
}

int main(int count, char **words) {
  if (count < 3) return 2;
  if (!strcmp(words[1], "creates") || !strcmp(words[1], "reads") || !strcmp(words[1], "acts")) return victim(words);
  int ready[2];
  char byte = 0;
  if (pipe(ready)) return 1;
  if (atoi(words[2])) signal(SIGCHLD, SIG_IGN);
  pid_t child = fork();
  if (!child) {
    if (read(ready[0], &byte, 1) == 1) execv(words[3], words + 3);
    _exit(1);
  }
  printf("%d\n", child);
  fflush(stdout);
  if (write(ready[1], &byte, 1) != 1) return 1;
  attack(words[1], child);
  printf("done\n");
  fflush(stdout);
  pause();
  return 0;
}
