// One thread waits in a call while another one's act may be held. What it waits for comes after
// that, so without a hold each of them comes to its end.

#include "case.h"
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static const char *name;
static void *(*finish)(void);

static void *act(void *unused) {
  char key[64];
  pause_ms(150);
  int descriptor = open("held", O_RDONLY);
  snprintf(key, sizeof(key), "open beside %s", name);
  result(key, descriptor < 0 ? -1 : 0);
  close(descriptor);
  if (finish) finish();
  return unused;
}

#define BESIDE(of, ends, call)                  \
  do {                                          \
    name = of;                                  \
    finish = ends;                              \
    pthread_t thread = start_thread(act, NULL); \
    long came_to = call;                        \
    int error = errno;                          \
    pthread_join(thread, NULL);                 \
    errno = error;                              \
    result(of, came_to);                        \
  } while (0)

static int pipe_ends[2], event, semaphores, queue, word;
static char room[4096];

static void *write_pipe(void) { return (void *)write(pipe_ends[1], "x", 1); }
static void *write_event(void) {
  unsigned long one = 1;
  return (void *)write(event, &one, sizeof(one));
}
static void *raise_semaphore(void) {
  struct sembuf up = {0, 1, 0};
  return (void *)(long)semop(semaphores, &up, 1);
}
static void *send_message(void) {
  struct { long type; char text[1]; } message = {1, {'x'}};
  return (void *)(long)msgsnd(queue, &message, 1, 0);
}
static void *wake(void) {
  __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
  return (void *)syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
static void *make_file(void) {
  put("seen", "x");
  return NULL;
}
static void *send_usr1(void) { return (void *)(long)kill(getpid(), SIGUSR1); }

static void on_descriptors(void) {
  char byte;
  must("pipe", pipe(pipe_ends));
  BESIDE("read of a pipe", write_pipe, read(pipe_ends[0], &byte, 1));
  struct pollfd wait = {.fd = pipe_ends[0], .events = POLLIN};
  BESIDE("poll", write_pipe, poll(&wait, 1, -1));
  must("read", read(pipe_ends[0], &byte, 1));
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe_ends[0], &set);
  BESIDE("select", write_pipe, select(pipe_ends[0] + 1, &set, NULL, NULL, NULL));
  must("read", read(pipe_ends[0], &byte, 1));
  event = must("eventfd", eventfd(0, 0));
  int waiting = must("epoll_create1", epoll_create1(0));
  struct epoll_event wanted = {.events = EPOLLIN};
  must("epoll_ctl", epoll_ctl(waiting, EPOLL_CTL_ADD, event, &wanted));
  BESIDE("epoll_wait", write_event, epoll_wait(waiting, &wanted, 1, -1));
  unsigned long value;
  must("read", read(event, &value, sizeof(value)));
  BESIDE("read of an eventfd", write_event, read(event, &value, sizeof(value)) - 8);
  int watching = must("inotify_init", inotify_init());
  must("inotify_add_watch", inotify_add_watch(watching, ".", IN_CREATE));
  BESIDE("read of inotify", make_file, read(watching, room, sizeof(room)) > 0 ? 1 : -1);
  close(watching), close(waiting), close(event);
}

static struct sockaddr_in server;

static void *reach_server(void) {
  int client = socket(AF_INET, SOCK_STREAM, 0);
  return (void *)(long)connect(client, (struct sockaddr *)&server, sizeof(server));
}

static int pair[2];

static void *write_pair(void) { return (void *)write(pair[1], "x", 1); }

static void on_sockets(void) {
  struct timeval most = {60, 0};
  char byte;
  socklen_t length = sizeof(server);
  int accepting = must("socket", socket(AF_INET, SOCK_STREAM, 0));
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  must("bind", bind(accepting, (struct sockaddr *)&server, length));
  must("getsockname", getsockname(accepting, (struct sockaddr *)&server, &length));
  must("listen", listen(accepting, 4));
  BESIDE("accept", reach_server, accept(accepting, NULL, NULL) >= 0 ? 0 : -1);
  must("setsockopt", setsockopt(accepting, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)));
  BESIDE("accept with a timeout", reach_server, accept(accepting, NULL, NULL) >= 0 ? 0 : -1);
  must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  BESIDE("recv", write_pair, recv(pair[0], &byte, 1, 0));
  must("setsockopt", setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)));
  BESIDE("recv with a timeout", write_pair, recv(pair[0], &byte, 1, 0));
}

// As every user of futexes waits: until the word is another one.
static long wait_for_word(struct timespec *most) {
  while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
    if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, most, NULL, 0) < 0 && errno != EAGAIN) return -1;
  return 0;
}

static void on_memory(void) {
  BESIDE("futex", wake, wait_for_word(NULL));
  word = 0;
  struct timespec most = {60, 0};
  BESIDE("futex with a timeout", wake, wait_for_word(&most));
  semaphores = must("semget", semget(IPC_PRIVATE, 1, 0600));
  struct sembuf down = {0, -1, 0};
  BESIDE("semop", raise_semaphore, semop(semaphores, &down, 1));
  semctl(semaphores, 0, IPC_RMID);
  queue = must("msgget", msgget(IPC_PRIVATE, 0600));
  struct { long type; char text[8]; } message;
  BESIDE("msgrcv", send_message, msgrcv(queue, &message, 8, 0, 0));
  msgctl(queue, IPC_RMID, NULL);
}

static void on_signals(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  BESIDE("sigwaitinfo", send_usr1, sigwaitinfo(&mask, NULL));
  struct timespec none = {}, most = {60, 0};
  while (sigtimedwait(&mask, NULL, &none) > 0) continue;  // what came after the wait was over
  BESIDE("sigtimedwait", send_usr1, sigtimedwait(&mask, NULL, &most));
}

static void on_others(void) {
  struct timespec most = {60, 0};
  struct io_event done;
  aio_context_t context = 0;
  must("io_setup", syscall(SYS_io_setup, 4, &context));
  event = must("eventfd", eventfd(0, 0));
  struct iocb request = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = event, .aio_buf = POLLIN}, *list = &request;
  must("io_submit", syscall(SYS_io_submit, context, 1, &list));
  BESIDE("io_getevents", write_event, syscall(SYS_io_getevents, context, 1, 1, &done, &most));
  syscall(SYS_io_destroy, context);
  int lock = must("open", open("lock", O_RDWR | O_CREAT, 0600));
  pid_t holder = must("fork", fork());
  if (!holder) {
    int mine = open("lock", O_RDWR);
    if (flock(mine, LOCK_EX) || write(pipe_ends[1], "x", 1) != 1) _exit(1);
    pause_ms(1500);
    _exit(0);
  }
  must("read", read(pipe_ends[0], room, 1));
  BESIDE("flock", NULL, flock(lock, LOCK_EX));
  waitpid(holder, NULL, 0);
  holder = must("fork", fork());
  if (!holder) {
    pause_ms(1500);
    _exit(0);
  }
  BESIDE("waitpid", NULL, waitpid(holder, NULL, 0) == holder ? 0 : -1);
}

int main(void) {
  put("held", "content");
  on_descriptors();
  on_sockets();
  on_memory();
  on_signals();
  on_others();
  return 0;
}
