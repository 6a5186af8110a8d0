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
#define MARK_ADDRESSES_CUT 16  // more messages in one call than are inspected, or no address that rules can name
#define MARK_CREATED 32        // this open made the file
#define MARK_SHARED 128        // other processes have the same table of descriptors
#define MARK_KILLED 64         // could not be held, so it was killed
#define MARK_REFUSED 256       // could not be held, so the call failed with EPERM
#define MARK_SECOND_CUT 512    // the second path is cut
#define MARK_NO_AGENT 1024     // no agent was there to ask, and the rules said what to do then

// What act.number is, by the kind: create: the mode with the file's type; truncate: the size; delete:
// 1 for a directory; rename, mount, namespace: the flags; chmod: the mode; chown: user << 32 | group,
// all ones for one that stays; trace: the mode of access; identity: NUMBER_* << 32 | the id; bpf: the
// command; module: NUMBER_*.
#define NUMBER_SETUID 1
#define NUMBER_SETGID 2
#define NUMBER_SETGROUPS 3
#define NUMBER_LOAD 0
#define NUMBER_LOAD_BY_NAME 1
#define NUMBER_BIND 0x100000000  // mount: beside the flags, what the call was
#define NUMBER_MOVE 0x200000000
#define NUMBER_UNMOUNT 0x400000000
#define NUMBER_USERNS 0x10000000
#define NUMBER_SETNS 0x100000000  // namespace: setns and not unshare

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
  u32 grant;          // of one that a grant has let pass: where its terms are, and which, see grants.h
  u64 number;         // what the kind says of itself, see NUMBER_*
};

// One observed open, connect or send: fixed size, so that a batch is read with one stride. Acts are
// the same if all bytes behind boot_ns are: no byte may be left as it was.
struct observed {
  struct act act;
  char path[SHORT_PATH_BYTES];
};

// Somebody has sent SIGCONT to a process with a hold; or (ended 1) it has run on and was killed for
// it, or (ended 2) a watched process has traced it and was killed for that, or (ended 3) was refused to.
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

// A process that was stopped since its subject is in quarantine.
struct caught {
  u64 start_ns;
  u32 tgid;
  u32 subject;
};

#define NOT_OVER -0x7fffffff  // as a result: the call has not returned

// What makes one act that act and no other, for the gate: an approval lets through the very same, once.
// Bytes that a kind does not use are zero, so that all of them are compared.
struct identity {
  u64 thread_start_ns;  // of the thread that acts
  u64 inode;            // what is acted on
  u64 generation;       // of that inode: its number may be another file's later
  u64 parent;           // directories, where a name in them is acted on
  u64 second_inode;
  u64 second_parent;
  u64 number;
  u64 more;
  u32 device;
  u32 second_device;
  u32 kind;
  u32 flags;
  u16 port;
  u8 address_family;
  u8 transport;
  u32 reserved;
  u8 address[16];
  char name[256];
  char second_name[PATH_BYTES];
};

// Everything about one act: the value of the holds map, and an observed exec. argv comes last,
// so that a record in the ring ends where the arguments end; what follows is in the holds map alone.
struct facts {
  struct act act;
  char path[PATH_BYTES];           // exec: the new program; open, connect, send: the file or socket
  char program[DIRECTORY_BYTES];   // the program that acts; empty for exec
  char filename[FILENAME_BYTES];   // exec: as the caller named it
  char directory[DIRECTORY_BYTES]; // current directory
  struct process ancestors[ANCESTORS];
  struct process target;  // trace: the other process
  u32 argv_total;  // exact length of the argument block
  u32 argv_bytes;  // how much of it follows
  u32 environment_total;
  u32 environment_bytes;
  char environment[ENVIRONMENT_BYTES];  // of an act with two paths, the second one: see SECOND_PATH
  char argv[ARGV_BYTES];
  u32 identity_hash;
  u32 reserved;
  struct identity identity;
};
#define SECOND_PATH(facts) ((facts)->environment)
