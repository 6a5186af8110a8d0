// What changes names, modes and lengths of files: each call, and how it fails.

#include "case.h"
#include <sys/file.h>

static int rename_by(const char *from, const char *to, unsigned flags) {
  return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void say_file(const char *key, const char *path) {
  struct stat found;
  if (lstat(path, &found) < 0)
    result(key, -1);
  else
    say(key, "mode %06o, %ld links, %ld bytes", found.st_mode, (long)found.st_nlink,
        S_ISDIR(found.st_mode) ? 0L : (long)found.st_size);
}

static void renaming(void) {
  put("one", "1");
  put("two", "22");
  result("rename", rename("one", "three"));
  say_file("its old name", "one");
  say_file("its new name", "three");
  result("rename over another", rename("three", "two"));
  say_content("what is there now", "two");
  put("left", "left");
  put("right", "right");
  result("exchange", rename_by("left", "right", RENAME_EXCHANGE));
  say_content("left has", "left");
  result("no replacement, taken", rename_by("left", "right", RENAME_NOREPLACE));
  result("no replacement, free", rename_by("left", "free", RENAME_NOREPLACE));
  result("rename what is not there", rename("left", "anything"));
  mkdir("full", 0755);
  put("full/file", "x");
  mkdir("empty", 0755);
  result("rename a directory over a full one", rename("empty", "full"));
  result("rename a directory over an empty one", rename("full", "empty"));
  result("rename a directory below itself", rename("empty", "empty/below"));
}

static void linking(void) {
  put("file", "content");
  result("link", link("file", "second"));
  result("link over another", link("file", "second"));
  say_file("file with two names", "second");
  result("link a directory", link("empty", "directory"));
  result("symbolic link", symlink("file", "soft"));
  result("symbolic link over another", symlink("elsewhere", "soft"));
  char text[32] = "";
  result("read it", readlink("soft", text, sizeof(text) - 1));
  say("it says", "%s", text);
  result("link the link", linkat(AT_FDCWD, "soft", AT_FDCWD, "softer", 0));
  result("link what it leads to", linkat(AT_FDCWD, "soft", AT_FDCWD, "third", AT_SYMLINK_FOLLOW));
  say_file("file with three names", "file");
}

static void modes(void) {
  result("chmod", chmod("file", 0604));
  say_file("file with another mode", "file");
  int descriptor = must("open", open("file", O_RDONLY));
  result("fchmod", fchmod(descriptor, 0640));
  close(descriptor);
  result("fchmodat", fchmodat(AT_FDCWD, "file", 04755, 0));
  say_file("file with a set-uid bit", "file");
  result("chmod what is not there", chmod("nothing", 0600));
  result("chmod what is another's", chmod("/etc/hostname", 0600));
  result("chown to oneself", chown("file", getuid(), getgid()));
  say_file("set-uid bit after chown", "file");
  result("chown to nobody in particular", chown("file", -1, -1));
  result("chown to root", chown("file", 0, -1));
  result("chown a link", lchown("soft", getuid(), -1));
  struct timespec times[2] = {{1000, 0}, {2000, 0}};
  result("utimensat", utimensat(AT_FDCWD, "file", times, 0));
  struct stat found;
  must("stat", stat("file", &found));
  say("time of the file", "%ld", (long)found.st_mtime);
}

static void lengths(void) {
  put("long", "0123456789");
  result("truncate", truncate("long", 4));
  say_content("truncated", "long");
  result("lengthen", truncate("long", 20));
  say_file("lengthened", "long");
  int descriptor = must("open", open("long", O_RDWR));
  result("ftruncate", ftruncate(descriptor, 2));
  close(descriptor);
  say_content("truncated by descriptor", "long");
  result("truncate a directory", truncate("empty", 0));
  result("truncate what is another's", truncate("/etc/hostname", 0));
}

static void making(void) {
  result("mkdir", mkdir("made", 01777));
  result("mkdir again", mkdir("made", 0755));
  say_file("directory", "made");
  result("mkfifo", mkfifo("made/fifo", 0600));
  result("mknod, a file", mknod("made/node", S_IFREG | 0600, 0));
  result("mknod, a socket", mknod("made/socket", S_IFSOCK | 0600, 0));
  result("mknod, a device", mknod("made/device", S_IFCHR | 0600, 0x103));
  result("rmdir, not empty", rmdir("made"));
  result("unlink a directory", unlink("made"));
}

static void deleting(void) {
  put("open", "still here");
  int descriptor = must("open", open("open", O_RDONLY));
  char text[32] = "";
  result("unlink", unlink("open"));
  result("unlink again", unlink("open"));
  result("read what has no name", read(descriptor, text, sizeof(text) - 1));
  say("it has", "%s", text);
  close(descriptor);
  result("unlink the fifo", unlink("made/fifo"));
  result("unlink the file", unlink("made/node"));
  result("unlink the socket", unlink("made/socket"));
  result("rmdir", rmdir("made"));
  result("rmdir a file", rmdir("file"));
  result("unlinkat a directory", unlinkat(AT_FDCWD, "empty", AT_REMOVEDIR));
  result("unlink what is another's", unlink("/etc/hostname"));
}

int main(void) {
  renaming();
  linking();
  modes();
  lengths();
  making();
  deleting();
  return 0;
}
