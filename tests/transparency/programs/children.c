// Every way to start a program, and what its parent is told of it.

#include "case.h"
#include <linux/sched.h>
#include <spawn.h>

extern char **environ;
static char *const SAYS[] = {"says", "one", "two words", "", NULL};

static void waited(const char *key, pid_t child) {
  int status = 0;
  pid_t found = waitpid(child, &status, 0);
  if (found != child)
    result(key, -1);
  else
    say_status(key, status);
}

static void forked(const char *key, const char *program) {
  pid_t child = must("fork", fork());
  if (!child) {
    execv(program, SAYS);
    _exit(errno == ENOENT ? 90 : errno == EACCES ? 91 : errno == ENOEXEC ? 92 : 93);
  }
  waited(key, child);
}

static void vforked(void) {
  volatile int ran_in_mine = 0;
  pid_t child = vfork();
  if (!child) {
    ran_in_mine = 1;
    execv("./says", SAYS);
    _exit(90);
  }
  must("vfork", child);
  say("vfork shares memory", "%d", ran_in_mine);
  waited("vfork and exec", child);
  child = vfork();
  if (!child) {
    execv("./absent", SAYS);
    _exit(errno == ENOENT ? 90 : 93);
  }
  waited("vfork and exec of nothing", child);
}

static void spawned(void) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none;
  pid_t child = -1;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "spawned", O_WRONLY | O_CREAT, 0644);
  posix_spawnattr_init(&attributes);
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  returned("posix_spawn", posix_spawn(&child, "./says", &actions, &attributes, SAYS, environ));
  waited("what it spawned", child);
  say_content("what that said", "spawned");
  returned("posix_spawn of nothing", posix_spawn(&child, "./absent", NULL, NULL, SAYS, environ));
  returned("posix_spawnp", posix_spawnp(&child, "true", NULL, NULL, (char *[]){"true", NULL}, environ));
  waited("what it found on the path", child);
}

static void by_shell(void) {
  say_status("system", system("exit 7"));
  say_status("system, several programs", system("./says a b >> log && ./says c >> log; cat log | wc -l > lines"));
  say_content("lines of those", "lines");
  FILE *pipe = popen("./says through; exit 3", "r");
  char line[64] = "";
  say("popen", "%d", pipe != NULL);
  while (fgets(line, sizeof(line), pipe)) say("popen reads", "%.*s", (int)strcspn(line, "\n"), line);
  say_status("pclose", pclose(pipe));
}

static void by_descriptor(void) {
  int program = must("open", open("./says", O_RDONLY | O_CLOEXEC));
  pid_t child = must("fork", fork());
  if (!child) {
    fexecve(program, SAYS, environ);
    _exit(90);
  }
  waited("fexecve", child);
  child = must("fork", fork());
  if (!child) {
    syscall(SYS_execveat, program, "", SAYS, environ, AT_EMPTY_PATH);
    _exit(90);
  }
  waited("execveat of a descriptor", child);
  int here = must("open", open(".", O_PATH | O_DIRECTORY));
  child = must("fork", fork());
  if (!child) {
    syscall(SYS_execveat, here, "says", SAYS, environ, 0);
    _exit(90);
  }
  waited("execveat in a directory", child);
  close(here);
  int memory = must("memfd_create", syscall(SYS_memfd_create, "program", MFD_CLOEXEC));
  char part[4096];
  long length;
  while ((length = read(program, part, sizeof(part))) > 0) must("write", write(memory, part, length));
  child = must("fork", fork());
  if (!child) {
    fexecve(memory, SAYS, environ);
    _exit(90);
  }
  waited("exec of what is in memory only", child);
  close(memory), close(program);
}

static void *exec_here(void *unused) {
  (void)unused;
  execv("./says", SAYS);
  _exit(90);
}

static void *wait_here(void *unused) {
  for (;;) pause();
  return unused;
}

static void from_a_thread(void) {
  pid_t child = must("fork", fork());
  if (!child) {
    for (int i = 0; i < 4; i++) start_thread(wait_here, NULL);
    start_thread(exec_here, NULL);
    for (;;) pause();
  }
  waited("exec from a thread", child);
}

static void by_clone(void) {
  int pidfd = -1;
  struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (unsigned long)&pidfd, .exit_signal = SIGCHLD};
  pid_t child = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (!child) {
    execv("./says", SAYS);
    _exit(90);
  }
  must("clone3", child);
  struct pollfd wait = {.fd = pidfd, .events = POLLIN};
  result("poll until it has ended", poll(&wait, 1, 60000));
  siginfo_t how = {};
  result("waitid by descriptor", waitid(3 /* P_PIDFD */, pidfd, &how, WEXITED));
  say("how it ended", "code %d, status %d, itself %d", how.si_code, how.si_status, how.si_pid == child);
  close(pidfd);
}

static void with_open_files(void) {
  int kept = must("open", open("kept", O_RDWR | O_CREAT, 0644));
  int closed = must("open", open("closed", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  char one[8], two[8];
  snprintf(one, sizeof(one), "%d", kept), snprintf(two, sizeof(two), "%d", closed);
  pid_t child = must("fork", fork());
  if (!child) {
    execl("./says", "says", "--write", one, two, (char *)NULL);
    _exit(90);
  }
  waited("program with inherited files", child);
  say_content("what was kept", "kept");
  say_content("what was closed", "closed");
  close(kept), close(closed);
}

static void script(const char *name, const char *interpreter, mode_t mode) {
  char text[128];
  snprintf(text, sizeof(text), "#!%s\n", interpreter);
  put(name, text);
  must("chmod", chmod(name, mode));
}

int main(void) {
  script("first", "./says of-the-script", 0755);
  script("second", "./first again", 0755);
  script("third", "./second", 0755);
  script("orphan", "./no-interpreter", 0755);
  script("forbidden", "./says", 0644);
  put("words", "no program\n");
  must("chmod", chmod("words", 0755));
  forked("fork and exec", "./says");
  forked("exec of nothing", "./absent");
  forked("exec of a file that is no program", "./words");
  forked("exec of what may not be run", "./forbidden");
  forked("a script", "./first");
  forked("a chain of scripts", "./third");
  forked("a script without its interpreter", "./orphan");
  vforked();
  spawned();
  by_shell();
  by_descriptor();
  from_a_thread();
  by_clone();
  with_open_files();
  result("wait for nobody", wait(NULL));
  return 0;
}
