// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The maps, all of which the loader pins under their own names.

#ifndef MAXIMUM_HOLDS
#define MAXIMUM_HOLDS 512
#endif
#define MAXIMUM_LABELS 65536
#define MAXIMUM_SUBJECTS 256
#define WALK_BYTES 1024
#define MAXIMUM_COMPONENTS 64

struct config {
  u64 agent_start_ns;  // to the clock tick; with agent_tgid, who is never labelled
  u32 agent_tgid;
  u32 generation;      // which half of the rule tables is in force: 0 or 1
  u32 groups;          // how many of the groups array are in use
  u32 cgroups;         // whether any subject is a cgroup
  u32 kinds;           // bit per KIND_* that some rule cares about
  u32 mount_namespace; // of the host: paths of other ones are not to be relied on
  u32 stops;           // whether any rule wants a stop
};

struct label {
  u64 start_ns;  // to the clock tick where the agent's scan made the label
  u64 root_start_ns;
  u32 root_tgid;
  u16 subject;
  u16 caught;  // serial of the quarantine for which the kernel has stopped the process
  u32 login_uid;  // when the label was made: while it is unset, anyone may set it to whom they like
  u32 reserved2;
};

struct group {
  u32 gid;
  u32 subject;
};

// LPM keys: the first byte of data is generation << 4 | table.
struct path_key {
  u32 prefix_bits;
  u8 table;
  char text[247];
};
struct tail_key {
  u32 prefix_bits;
  u8 table;
  char reversed[31];
};
struct name_key {
  u8 table;
  char name[31];
};
// What no name and no tail of a rule can be, known by a letter or two: most of what is opened.
struct sieve {
  u32 lengths[256];  // by first letter: bit n is set if a name of n bytes (31: or more) begins so
  u8 endings[256];   // by letter: bit n is set if a tail has it n places from the end, or ends there
};
struct inode_key {
  u64 inode;
  u32 device;
  u32 table;
};
struct net4_key {
  u32 prefix_bits;
  u8 generation;
  u8 address[4];
  u8 pad[3];
};
struct net6_key {
  u32 prefix_bits;
  u8 generation;
  u8 address[16];
  u8 pad[3];
};
struct port_key {
  u32 region;
  u32 port;
};
struct region {
  u32 number;
  u32 any_port;
};
// By the number that labels carry, which keeps its meaning when the configuration changes.
struct subject {
  char name[64];
};
struct cgroup_path {
  char text[192];
};
// What an open call says of itself. `name` is 0 where it gives none.
struct opening {
  u64 name;
  u32 flags;
  u32 ring;  // io_uring_setup
};
// Working space of one program run. What loops carry along lives here and not in registers, so that
// the verifier sees the same state in every round and prunes instead of following each one.
struct walk {
  u64 dentry;
  u64 mount;
  u32 position;
  u32 want;
  u32 length;
  struct opening opening;
  u32 ends[MAXIMUM_COMPONENTS];
  struct path_key path_key;
  struct tail_key tail_key;
  struct name_key name_key;
  char tail[32];
  char buffer[WALK_BYTES + WALK_BYTES / 2];
};

// A quarantine, by the number of its subject. The agent writes it, but for `untold`.
#define QUARANTINE_OVER 0
#define QUARANTINE_IN_FORCE 1
#define QUARANTINE_LIFTED 2  // and not yet looked who was stopped for it
struct quarantine {
  u32 state;
  u32 serial;  // another one each time it is put in force
  u32 untold;  // whether somebody was stopped and the ring had no room to say so
  u32 reserved;
};

#define COUNT_EVENTS_LOST 0
#define COUNT_HOLDS_LOST 1
#define COUNT_LABELS_LOST 2
#define COUNT_NO_AGENT 3  // acts that passed or were refused since no agent was there
#define COUNTERS 4

struct about {
  u8 digest[32];  // of the sources, so that an agent knows whether these programs are its own
  u8 records[32];  // of records.h, so that it knows whether it can read what others have recorded
};

BPF_ARRAY(hf_about, struct about, 1);
// Which programs act: the PROGRAMS_ID of one set. An upgrade has two attached for a moment.
BPF_ARRAY(hf_active, u32, 1);
BPF_ARRAY(hf_config, struct config, 1);
BPF_TABLE("percpu_array", u32, u64, hf_counters, COUNTERS);
BPF_ARRAY(hf_told, u64, COUNTERS);  // the agent's: how much of each counter is in its record
BPF_HASH(hf_labels, u32, struct label, MAXIMUM_LABELS);
BPF_ARRAY(hf_subjects, struct subject, MAXIMUM_SUBJECTS);
BPF_HASH(hf_users, u32, u32, 256);
BPF_ARRAY(hf_groups, struct group, 8);
BPF_HASH(hf_cgroups, u64, u32, 4096);
BPF_HASH(hf_cgroup_paths, struct cgroup_path, u32, 64);

// A process with a hold. Empty while nothing is held, and then the guard looks no further.
struct guarded {
  u64 start_ns;
  u64 resumes;  // how often somebody has sent it SIGCONT
  u64 tell_at;  // the count that is told next; each is ten times the last, so nobody floods the ring
};

// An approval, or with `refuse` a refusal, of one act of one thread. The agent writes it.
struct ticket_key {
  u32 tid;
  u32 identity_hash;
};
struct ticket {
  u64 expires_boot_ns;
  u64 refuse;
  struct identity identity;
};
// Acts that pass without being held, so often and so long. The agent writes these; how often it has
// been, the kernel counts apart in hf_taken, so that neither ever overwrites what the other has written.
#define MAXIMUM_GRANTS 256
struct granted_key {
  u32 subject;
  u32 root_tgid;  // 0: any session of the subject
  u32 identity_hash;
  u32 reserved;
};
struct terms {
  u64 expires_boot_ns;
  u64 limit;  // what hf_taken may come to; 0 where no grant is
  u64 root_start_ns;
  u32 root_tgid;  // 0: any session of the subject
  u32 subject;
  u32 uid;
  u32 gid;
  u32 serial;  // another one for each grant that has been here
  u32 reserved;
  char order[32];
  struct identity identity;  // without the thread
};
// An act of a process that was refused so often of late that the kernel refuses it by itself for a while.
// The agent writes and deletes it; how often that was, the kernel counts.
struct repeat_key {
  u32 tgid;
  u32 identity_hash;
};
struct repeat {
  u64 start_ns;  // of the process
  u64 until_boot_ns;
  u64 count;
  struct identity identity;
};
// How often watched processes have tried to trace a held one.
struct traced {
  u64 start_ns;  // of the held one
  u64 count;
  u64 tell_at;  // as of struct guarded
};
// What a thread was last held for.
struct thread {
  u64 start_ns;
  u64 hold;  // key in hf_holds
};
// The script that a held process was started with, until its interpreter has read it: which file it
// was, and when that was last changed.
struct state {
  u64 inode;
  u64 changed_s;
  u64 changed_ns;
  u64 bytes;
  u64 device;
};
struct script {
  struct state state;
  u64 start_ns;  // of the process
  u64 opens;     // how many it has made since
  char filename[FILENAME_BYTES];  // as the caller of exec named it
  char path[SHORT_PATH_BYTES];    // as the kernel had resolved it, or the end of that
};
// The agent writes it every second.
struct heartbeat {
  u64 boot_ns;
  u64 limit_ns;  // when it is older than this, no agent is there
};

BPF_HASH(hf_holds, u64, struct facts, MAXIMUM_HOLDS);
BPF_HASH(hf_tickets, struct ticket_key, struct ticket, 1024);
BPF_HASH(hf_repeats, struct repeat_key, struct repeat, 256);
BPF_HASH(hf_granted, struct granted_key, u32, 1024);
BPF_ARRAY(hf_terms, struct terms, MAXIMUM_GRANTS);
BPF_ARRAY(hf_taken, u64, MAXIMUM_GRANTS);
BPF_RINGBUF_OUTPUT(hf_uses, 512);  // some 250 uses that no agent has read
BPF_HASH(hf_threads, u32, struct thread, 2048);
BPF_HASH(hf_scripts, u32, struct script, 4096);
BPF_ARRAY(hf_heartbeat, struct heartbeat, 1);
BPF_ARRAY(hf_quarantines, struct quarantine, MAXIMUM_SUBJECTS);
BPF_HASH(hf_guarded, u32, struct guarded, MAXIMUM_HOLDS);
BPF_TABLE("lru_hash", u32, struct traced, hf_traced, MAXIMUM_HOLDS);
BPF_ARRAY(hf_resumed, u32, 1);  // whether any of them was sent SIGCONT, to look no further otherwise
BPF_RINGBUF_OUTPUT(hf_wake, 16);
BPF_RINGBUF_OUTPUT(hf_resumes, 4);
BPF_RINGBUF_OUTPUT(hf_caught, 8);
BPF_RINGBUF_OUTPUT(hf_acts, 2048);  // 8 MiB: 35 ms of 600 000 acts a second
BPF_RINGBUF_OUTPUT(hf_execs, 1024);

BPF_LPM_TRIE(hf_paths, struct path_key, u32, 16384);
BPF_LPM_TRIE(hf_tails, struct tail_key, u32, 4096);
BPF_HASH(hf_names, struct name_key, u32, 16384);
BPF_ARRAY(hf_sieves, struct sieve, 32);  // by generation << 4 | table
BPF_HASH(hf_inodes, struct inode_key, u32, 16384);
BPF_ARRAY(hf_anything, u32, 32);
BPF_LPM_TRIE(hf_net4, struct net4_key, struct region, 8192);
BPF_LPM_TRIE(hf_net6, struct net6_key, struct region, 8192);
BPF_HASH(hf_ports, struct port_key, u32, 65536);

BPF_PERCPU_ARRAY(hf_facts, struct facts, 1);
BPF_PERCPU_ARRAY(hf_walk, struct walk, 1);
