// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What crosses from kernel to agent. agent/sensor/records.py reads the same layout, and a test
// compares the two; every field is in host byte order unless it says otherwise.

#define KIND_EXEC 1
#define KIND_OPEN 2
#define KIND_CONNECT 3
#define KIND_SEND 4
#define KIND_CREATE 5
#define KIND_TRUNCATE 6
#define KIND_DELETE 7
#define KIND_RENAME 8
#define KIND_LINK 9
#define KIND_SYMLINK 10
#define KIND_CHMOD 11
#define KIND_CHOWN 12
#define KIND_MOUNT 13
#define KIND_LISTEN 14
#define KIND_TRACE 15
#define KIND_IDENTITY 16
#define KIND_MODULE 17
#define KIND_BPF 18
#define KIND_NAMESPACE 19

#define GUARANTEE_HELD 1
#define GUARANTEE_STOPPED 2
#define GUARANTEE_LATE 3

#define TRANSPORT_NONE 0
#define TRANSPORT_TCP 1
#define TRANSPORT_UDP 2
#define TRANSPORT_UNIX 3
#define TRANSPORT_RAW 4
#define TRANSPORT_OTHER 5

#define MARK_PATH_CUT 1
#define MARK_UNRESOLVED 2      // the path is as the caller wrote it, or as its own mounts make it
#define MARK_ARGV_CUT 4
#define MARK_ENVIRONMENT_CUT 8
#define MARK_ADDRESSES_CUT 16  // more messages in one call than are inspected
#define MARK_CREATED 32        // this open made the file
#define MARK_SHARED 128        // other processes have the same table of descriptors
#define MARK_KILLED 64         // could not be held, so it was killed

#define PATH_BYTES 1024
#define SHORT_PATH_BYTES 256
#define FILENAME_BYTES 256
#define DIRECTORY_BYTES 512
#define ARGV_BYTES 4096
#define ENVIRONMENT_BYTES 4096
#define ANCESTORS 12

struct process {
  u64 start_ns;
  u32 tgid;
  u32 uid;
  char comm[16];
};

// First when and by whom, with what came of it; then, from `inode` on, what was done.
struct act {
  u64 boot_ns;
  u64 start_ns;
  u64 root_start_ns;
  s64 result;
  u32 root_tgid;
  u32 tgid;
  u32 tid;
  u32 uid;
  u32 gid;
  u32 login_uid;
  char comm[16];
  u64 inode;
  u32 device;  // the kernel's own encoding: major << 20 | minor
  u32 open_flags;
  u32 messages;
  u32 marks;
  u16 subject;
  u16 port;
  u8 kind;
  u8 guarantee;
  u8 transport;
  u8 address_family;  // 0, 4 or 6
  u8 address[16];     // network order
  u32 path_bytes;     // length without the terminating zero
  u32 reserved;
};

// One observed open, connect or send: fixed size, so that a batch is read with one stride. Acts are
// the same if all bytes behind boot_ns are: no byte may be left as it was.
struct observed {
  struct act act;
  char path[SHORT_PATH_BYTES];
};

// Somebody has sent SIGCONT to a process with a hold; or (ended 1) it has run on and was killed for
// it, or (ended 2) a watched process has traced it and was killed for that.
struct resume {
  u64 boot_ns;
  u64 start_ns;  // of the process, with tgid
  u64 count;     // how often by now
  u32 tgid;
  u32 by_tgid;
  u32 by_uid;
  u32 ended;
  char by_comm[16];
};

// Everything about one act: the value of the holds map, and an observed exec. argv comes last,
// so that a record in the ring ends where the arguments end.
struct facts {
  struct act act;
  char path[PATH_BYTES];           // exec: the new program; open, connect, send: the file or socket
  char program[DIRECTORY_BYTES];   // the program that acts; empty for exec
  char filename[FILENAME_BYTES];   // exec: as the caller named it
  char directory[DIRECTORY_BYTES]; // current directory
  struct process ancestors[ANCESTORS];
  u32 argv_total;  // exact length of the argument block
  u32 argv_bytes;  // how much of it follows
  u32 environment_total;
  u32 environment_bytes;
  char environment[ENVIRONMENT_BYTES];
  char argv[ARGV_BYTES];
};
