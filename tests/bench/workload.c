/* What the measured users do. Each command does a fixed number of one operation, or a fixed time of
 * it, and reports nanoseconds that it has measured itself by CLOCK_MONOTONIC.
 *
 *   getppid N            the cheapest system call
 *   open PATH N          open and close
 *   spawn N              fork, exec of this program, wait
 *   connect N            TCP connect over loopback, and close
 *   handled N            kill of itself by a signal that it handles
 *   continued N          kill of itself by SIGCONT, which does nothing to who runs
 *   time COMMAND...      one run of a command
 *       print: operations nanoseconds
 *   flood PATH RATE MS   open and close, RATE a second (0: as fast as it goes), for MS milliseconds
 *       prints: opens nanoseconds
 *       prints, for each: the time before the call and the time after it
 *   nothing              ends at once
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
/* Connections that nobody accepts wait in the listener's queue; this many surely have room. */
#define QUEUE 1000
/* A paced flood looks at the clock this often. */
#define TICKS 500

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void open_once(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        fail(path);
    close(fd);
}

static void spawn_once(char *const *argv)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        execv(argv[0], argv);
        fail(argv[0]);
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "workload: %s ended with status %d\n", argv[0], status);
        _exit(1);
    }
}

static int listener(struct sockaddr_in *at)
{
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)at, size) || listen(fd, 2 * QUEUE) ||
        getsockname(fd, (struct sockaddr *)at, &size))
        fail("listen");
    return fd;
}

static void connect_once(const struct sockaddr_in *to)
{
    /* Closed by a reset, or a minute of closed connections would use up the ports. */
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to))
        fail("connect");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

static uint64_t connects(long count)
{
    uint64_t spent = 0;
    while (count > 0) {
        struct sockaddr_in at;
        int fd = listener(&at);
        long some = count < QUEUE ? count : QUEUE;
        uint64_t began = now();
        for (long n = 0; n < some; n++)
            connect_once(&at);
        spent += now() - began;
        close(fd);
        count -= some;
    }
    return spent;
}

static volatile sig_atomic_t handled;

static void handle(int signal)
{
    (void)signal;
    handled++;
}

static void kills(int number, long count)
{
    pid_t me = getpid();
    for (long n = 0; n < count; n++)
        if (kill(me, number))
            fail("kill");
}

static void flood(const char *path, long rate, long milliseconds)
{
    uint64_t began = now(), until = began + milliseconds * (SECOND / 1000);
    long done = 0;
    if (rate == 0) {
        for (; now() < until; done += 100)
            for (int n = 0; n < 100; n++)
                open_once(path);
    } else {
        for (uint64_t at = began; at < until; at += SECOND / TICKS) {
            long due = (double)(at - began) * rate / SECOND;
            struct timespec next = {.tv_sec = at / SECOND, .tv_nsec = at % SECOND};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
            for (; done < due; done++)
                open_once(path);
        }
    }
    printf("%ld %llu\n", done, (unsigned long long)(now() - began));
}

static void measure(int argc, char **argv)
{
    const char *what = argv[1];
    long count = argc > 2 ? atol(argv[argc - 1]) : 0;
    uint64_t began = now(), spent;
    if (!strcmp(what, "getppid")) {
        for (long n = 0; n < count; n++)
            syscall(SYS_getppid);
        spent = now() - began;
    } else if (!strcmp(what, "open")) {
        for (long n = 0; n < count; n++)
            open_once(argv[2]);
        spent = now() - began;
    } else if (!strcmp(what, "spawn")) {
        char *const nothing[] = {argv[0], "nothing", NULL};
        for (long n = 0; n < count; n++)
            spawn_once(nothing);
        spent = now() - began;
    } else if (!strcmp(what, "connect")) {
        spent = connects(count);
    } else if (!strcmp(what, "handled")) {
        signal(SIGUSR1, handle);
        began = now();
        kills(SIGUSR1, count);
        spent = now() - began;
        if (handled != count)
            fail("a signal was not handled");
    } else if (!strcmp(what, "continued")) {
        kills(SIGCONT, count);
        spent = now() - began;
    } else {
        count = 1;
        spawn_once(argv + 2);
        spent = now() - began;
    }
    printf("%ld %llu\n", count, (unsigned long long)spent);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "nothing"))
        return 0;
    if (argc == 5 && !strcmp(argv[1], "flood")) {
        flood(argv[2], atol(argv[3]), atol(argv[4]));
        return 0;
    }
    if (argc < 3)
        return 2;
    /* In a child, since audit decides at fork, by the user that forks, what it makes of a process;
     * this one was still root's at that moment. */
    int status;
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        measure(argc, argv);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        return 1;
    return 0;
}
