// Threads that act at the same time: each gets its own result, once.

#include "case.h"

#define THREADS 8
#define TIMES 6

static pthread_barrier_t start;
static int created[THREADS], refused[THREADS], wrote[THREADS];

// All race to create the same files: of each exactly one wins. Then each opens files of its own.
static void *act(void *argument) {
  long me = (long)argument;
  char path[32];
  pthread_barrier_wait(&start);
  for (int i = 0; i < TIMES; i++) {
    snprintf(path, sizeof(path), "shared-%d", i);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (descriptor >= 0) {
      created[me]++;
      close(descriptor);
    } else if (errno == EEXIST) {
      refused[me]++;
    }
    snprintf(path, sizeof(path), "own-%ld-%d", me, i);
    descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (descriptor >= 0 && write(descriptor, path, strlen(path)) > 0 && !close(descriptor)) wrote[me]++;
  }
  return NULL;
}

static int total(int *of) {
  int sum = 0;
  for (int i = 0; i < THREADS; i++) sum += of[i];
  return sum;
}

// Threads that start children of their own, which act too.
static void *start_child(void *argument) {
  pid_t child = fork();
  if (!child) _exit(open("shared-0", O_RDONLY) >= 0 ? 10 + (int)(long)argument : 1);
  int status = 0;
  return (void *)(long)(waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1);
}

static void *counting(void *stop) {
  long count = 0;
  while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) count++, sched_yield();
  return (void *)count;
}

int main(void) {
  pthread_t threads[THREADS];
  int stop = 0;
  void *got;
  pthread_barrier_init(&start, NULL, THREADS);
  pthread_t counter = start_thread(counting, &stop);
  for (long i = 0; i < THREADS; i++) threads[i] = start_thread(act, (void *)i);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  say("created of the shared", "%d of %d", total(created), TIMES);
  say("refused of the shared", "%d of %d", total(refused), TIMES * (THREADS - 1));
  say("written of their own", "%d of %d", total(wrote), TIMES * THREADS);
  for (long i = 0; i < THREADS; i++) threads[i] = start_thread(start_child, (void *)i);
  for (int i = 0; i < THREADS; i++) {
    char key[32];
    snprintf(key, sizeof(key), "child of thread %d", i);
    pthread_join(threads[i], &got);
    say(key, "%ld", (long)got);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  pthread_join(counter, &got);
  say("the thread that only counts has counted", "%d", (long)got > 0);
  return 0;
}
