// What every case in C shares: one line of output for each result, and names of errors.
//
// A line is `key: value`. Nothing that varies by nature may stand in one: no numbers of processes, no
// times, no inode numbers. Descriptors may: the lowest free number is what the system promises.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline const char *error_name(int number) {
#define NAME(e) \
  case e:       \
    return #e
  switch (number) {
    NAME(EACCES);
    NAME(EADDRINUSE);
    NAME(EAGAIN);
    NAME(EALREADY);
    NAME(EBADF);
    NAME(EBUSY);
    NAME(ECHILD);
    NAME(ECONNREFUSED);
    NAME(EDESTADDRREQ);
    NAME(EEXIST);
    NAME(EFAULT);
    NAME(EINPROGRESS);
    NAME(EINTR);
    NAME(EINVAL);
    NAME(EISCONN);
    NAME(EISDIR);
    NAME(ELOOP);
    NAME(EMFILE);
    NAME(ENOENT);
    NAME(ENOEXEC);
    NAME(ENOSYS);
    NAME(ENOTDIR);
    NAME(ENOTEMPTY);
    NAME(ENXIO);
    NAME(EPERM);
    NAME(EPIPE);
    NAME(ETIMEDOUT);
    NAME(ETXTBSY);
    NAME(EXDEV);
  }
#undef NAME
  static char other[24];
  snprintf(other, sizeof(other), "errno %d", number);
  return other;
}

// One line in one write, so that lines of several processes do not mix.
static inline void say(const char *key, const char *format, ...) {
  char line[512];
  va_list rest;
  int length = snprintf(line, sizeof(line), "%s: ", key);
  va_start(rest, format);
  length += vsnprintf(line + length, sizeof(line) - length - 1, format, rest);
  va_end(rest);
  if (length > (int)sizeof(line) - 2) length = sizeof(line) - 2;
  line[length++] = '\n';
  if (write(1, line, length) != length) _exit(111);
}

// What a call came to: its result, or the name of its error.
static inline long result(const char *key, long value) {
  if (value < 0)
    say(key, "-1 %s", error_name(errno));
  else
    say(key, "%ld", value);
  return value;
}

// The same for calls that return an error instead of setting errno.
static inline void returned(const char *key, int error) { say(key, "%s", error ? error_name(error) : "0"); }

static inline const char *signal_name(int number) {
  static const char *const names[] = {[SIGHUP] = "HUP", [SIGKILL] = "KILL", [SIGUSR1] = "USR1", [SIGUSR2] = "USR2",
      [SIGALRM] = "ALRM", [SIGTERM] = "TERM", [SIGCHLD] = "CHLD", [SIGCONT] = "CONT", [SIGSTOP] = "STOP",
      [SIGTSTP] = "TSTP", [SIGTRAP] = "TRAP", [SIGPIPE] = "PIPE", [SIGSYS] = "SYS", [SIGINT] = "INT"};
  static char other[16];
  if (number < (int)(sizeof(names) / sizeof(*names)) && names[number]) return names[number];
  snprintf(other, sizeof(other), "signal %d", number);
  return other;
}

// How a process ended, or was stopped.
static inline void say_status(const char *key, int status) {
  if (WIFEXITED(status))
    say(key, "exit %d", WEXITSTATUS(status));
  else if (WIFSIGNALED(status))
    say(key, "killed by %s", signal_name(WTERMSIG(status)));
  else if (WIFSTOPPED(status))
    say(key, "stopped by %s", signal_name(WSTOPSIG(status)));
  else
    say(key, "continued");
}

// Only calls that must work whatever is being tested go through this.
static inline long must(const char *what, long value) {
  if (value < 0) {
    say(what, "failed with %s", error_name(errno));
    _exit(112);
  }
  return value;
}

static inline void put(const char *path, const char *text) {
  int descriptor = must(path, open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  must(path, write(descriptor, text, strlen(text)));
  close(descriptor);
}

static inline void say_content(const char *key, const char *path) {
  char text[256] = "";
  int descriptor = open(path, O_RDONLY);
  if (descriptor < 0) {
    result(key, -1);
    return;
  }
  long length = read(descriptor, text, sizeof(text) - 1);
  say(key, "%ld bytes '%.*s'", length, (int)(length > 0 ? length : 0), text);
  close(descriptor);
}

static inline void pause_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
}

static inline long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline pthread_t start_thread(void *(*call)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, call, argument)) must("pthread_create", -1);
  return thread;
}
