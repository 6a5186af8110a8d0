// Time goes on while an act is held: timers ring, sleeps are as long as they were asked to be.

#include "case.h"
#include <sys/timerfd.h>

static volatile sig_atomic_t rung;

static void ring(int number) {
  (void)number;
  rung++;
}

static void *open_held(void *unused) {
  pause_ms(100);
  int descriptor = open("held", O_RDONLY);
  result("open", descriptor);
  close(descriptor);
  return unused;
}

#define WHILE_HELD(call)                                \
  ({                                                    \
    pthread_t thread = start_thread(open_held, NULL);   \
    long came_to = (call);                              \
    int error = errno;                                  \
    pthread_join(thread, NULL);                         \
    errno = error;                                      \
    came_to;                                            \
  })

static void sleeping(void) {
  struct timespec whole = {1, 200000000}, left = {};
  long began = now_ms();
  result("nanosleep", WHILE_HELD(nanosleep(&whole, &left)));
  say("it was long enough", "%d", now_ms() - began >= 1200);
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 1;
  returned("clock_nanosleep until a time", WHILE_HELD(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL)));
  began = now_ms();
  result("usleep", WHILE_HELD(usleep(900000)));
  say("that was long enough", "%d", now_ms() - began >= 900);
}

// Cut short by an alarm that has a handler: what is left of it is said, and is right.
static void cut_short(void) {
  struct sigaction action = {.sa_handler = ring};
  struct timespec whole = {30, 0}, left = {};
  sigaction(SIGALRM, &action, NULL);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
  pthread_t thread = start_thread(open_held, NULL);
  pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
  long began = now_ms();
  alarm(1);
  returned("clock_nanosleep, cut short", clock_nanosleep(CLOCK_MONOTONIC, 0, &whole, &left));
  long slept = now_ms() - began, says = 30000 - (left.tv_sec * 1000 + left.tv_nsec / 1000000);
  say("what is left fits what was slept", "%d", slept >= 1000 && says <= slept + 5 && says >= 995);
  pthread_join(thread, NULL);
  say("rung", "%d", rung);
}

static void by_descriptor(void) {
  int timer = must("timerfd_create", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  struct itimerspec every = {{0, 100000000}, {0, 100000000}};
  unsigned long times = 0;
  must("timerfd_settime", timerfd_settime(timer, 0, &every, NULL));
  long began = now_ms();
  int descriptor = open("held", O_RDONLY);
  pause_ms(350);
  result("read of the timer", read(timer, &times, sizeof(times)));
  long due = (now_ms() - began) / 100;
  say("it counted what has passed", "%d", (long)times >= 3 && (long)times <= due + 1);
  close(descriptor), close(timer);
}

static void set_and_asked(void) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  struct itimerspec once = {.it_value = {0, 300000000}}, left;
  rung = 0;
  must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
  must("timer_settime", timer_settime(timer, 0, &once, NULL));
  int descriptor = open("held", O_RDONLY);
  while (!rung) pause_ms(5);
  say("a timer of POSIX has rung", "%d", rung);
  must("timer_gettime", timer_gettime(timer, &left));
  say("nothing is left of it", "%d", left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
  close(descriptor);
  timer_delete(timer);
}

static void timeouts(void) {
  int ends[2];
  must("pipe", pipe(ends));
  struct pollfd wait = {.fd = ends[0], .events = POLLIN};
  result("poll with a timeout", WHILE_HELD(poll(&wait, 1, 900)));
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  struct timeval most = {0, 900000};
  result("select with a timeout", WHILE_HELD(select(ends[0] + 1, &set, NULL, NULL, &most)));
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1;
  pthread_mutex_lock(&lock);
  returned("a condition with a timeout", WHILE_HELD(pthread_cond_timedwait(&never, &lock, &until)));
  pthread_mutex_unlock(&lock);
}

int main(void) {
  put("held", "content");
  sleeping();
  cut_short();
  by_descriptor();
  set_and_asked();
  timeouts();
  return 0;
}
