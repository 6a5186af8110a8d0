// What rootless containers are made of: namespaces, mounts, another root.

#include "case.h"
#include <sys/mount.h>
#include <sys/prctl.h>

static long map(const char *path, const char *text) {
  int descriptor = open(path, O_WRONLY);
  if (descriptor < 0) return -1;
  long written = write(descriptor, text, strlen(text));
  close(descriptor);
  return written < 0 ? -1 : 0;
}

static void become_root_inside(void) {
  char line[64];
  uid_t user = getuid();
  gid_t group = getgid();
  if (result("unshare user and mounts", unshare(CLONE_NEWUSER | CLONE_NEWNS)) < 0) _exit(0);
  result("refuse setgroups", map("/proc/self/setgroups", "deny"));
  snprintf(line, sizeof(line), "0 %d 1", user);
  result("map the user", map("/proc/self/uid_map", line));
  snprintf(line, sizeof(line), "0 %d 1", group);
  result("map the group", map("/proc/self/gid_map", line));
  say("user and group inside", "%d %d", getuid(), getgid());
}

static void mounts(void) {
  result("make mounts private", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  mkdir("root", 0755);
  result("mount a tmpfs", mount("none", "root", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755"));
  put("outside", "from outside");
  put("root/inside", "from inside");
  put("root/bound", "");
  result("bind a file", mount("outside", "root/bound", NULL, MS_BIND, NULL));
  say_content("the bound file", "root/bound");
  result("unmount it", umount2("root/bound", MNT_DETACH));
  result("mount what needs a device", mount("/dev/sda1", "root", "ext4", 0, NULL));
  mkdir("lower", 0755), mkdir("root/upper", 0755), mkdir("root/work", 0755), mkdir("merged", 0755);
  put("lower/file", "lower");
  if (result("mount an overlay", mount("none", "merged", "overlay", 0, "lowerdir=lower,upperdir=root/upper,workdir=root/work,userxattr")) == 0) {
    say_content("through the overlay", "merged/file");
    put("merged/file", "upper");
    say_content("below the overlay", "lower/file");
    result("unmount the overlay", umount2("merged", MNT_DETACH));
  }
}

static void another_root(void) {
  result("chroot", chroot("root"));
  must("chdir", chdir("/"));
  say_content("a file of that root", "/inside");
  result("a file of the other root", open("/outside", O_RDONLY));
  result("mkdir there", mkdir("/made", 0755));
  result("setuid to root inside", setuid(0));
  result("setuid to nobody who is mapped", setuid(1));
}

static void processes(void) {
  if (result("unshare processes and network", unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)) < 0) return;
  int status;
  pid_t child = must("fork", fork());
  if (!child) {
    say("number of the first inside", "%d", getpid());
    result("host name inside", sethostname("inside", 6));
    _exit(open("root/inside", O_RDONLY) >= 0 ? 3 : 4);
  }
  must("waitpid", waitpid(child, &status, 0));
  say_status("its end", status);
}

int main(void) {
  int status;
  pid_t child = must("fork", fork());
  if (!child) {
    become_root_inside();
    mounts();
    processes();
    another_root();
    return 0;
  }
  must("waitpid", waitpid(child, &status, 0));
  say_status("the one inside", status);
  result("what was mounted there is not here", open("root/inside", O_RDONLY));
  result("mount without a namespace", mount("none", "root", "tmpfs", 0, NULL));
  result("chroot without a namespace", chroot("root"));
  result("setuid to root", setuid(0));
  return 0;
}
