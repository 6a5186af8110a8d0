// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The superset of the rules that the kernel itself matches: paths by prefix, name and tail, inodes,
// address prefixes and ports. The agent decides exactly; here nothing that a rule wants may be missed.

#define WANT_OBSERVE_READ 1
#define WANT_OBSERVE_WRITE 2
#define WANT_STOP_READ 4
#define WANT_STOP_WRITE 8
#define WANT_REFUSE 268435456    // bit 28
#define WANT_NO_AGENT_DENY 536870912
#define WANT_NO_AGENT_HOLD 1073741824  // neither this nor the one before: it passes

// Whether the programs heed what goes with a stop: only those of gate mode can.
#ifndef GOES_WITH_STOPS
#define GOES_WITH_STOPS 0
#endif
#define WANT_WITH_STOP (WANT_REFUSE | WANT_NO_AGENT_DENY | WANT_NO_AGENT_HOLD)

// In TABLE_CHANGE and in SLOT_OTHER each kind has a bit for each instead of the first four.
#define WANT_OBSERVE_KIND(kind) (1u << 2 * ((kind) - ((kind) < KIND_LISTEN ? KIND_CREATE : KIND_LISTEN)))
#define WANT_STOP_KIND(kind) (2u << 2 * ((kind) - ((kind) < KIND_LISTEN ? KIND_CREATE : KIND_LISTEN)))

#define TABLE_EXEC 1
#define TABLE_OPEN 2
#define TABLE_UNIX 3
#define TABLE_CHANGE 6

// Further slots of hf_anything beside the tables. Where not all was seen, all that it could be counts.
#define SLOT_UNINSPECTED 4      // a send whose addresses were not all read
#define SLOT_OTHER 7            // kinds that have no file to look up
#define SLOT_UNRESOLVED 5       // a socket by its caller's name, whose components are not looked up
#define OF_CUT_PATH(table) ((table) + 8)

static __always_inline u8 table_byte(struct config *config, u8 table) {
  return (config->generation & 1) << 4 | table;
}

static __always_inline void want_anything(struct walk *walk, u8 table) {
  u32 index = table;
  u32 *want = hf_anything.lookup(&index);
  if (want) walk->want |= *want;
}

static __always_inline void swap(char *target, const char *from) {
  u64 bytes;
  __builtin_memcpy(&bytes, from, 8);
  bytes = __builtin_bswap64(bytes);
  __builtin_memcpy(target, &bytes, 8);
}

static __always_inline struct sieve *sieve_of(u8 table) {
  u32 index = table;
  return hf_sieves.lookup(&index);
}

// `name` is a component of the walk's or the record's own copy of a path.
static __always_inline void want_name(struct walk *walk, u8 table, const char *name, u32 bytes) {
  struct sieve *sieve = sieve_of(table);
  if (bytes > 31) bytes = 31;
  asm volatile("" : "+r"(bytes));
  bytes &= 31;
  if (sieve && !(sieve->lengths[(u8)*name] >> bytes & 1)) return;
  __builtin_memset(&walk->name_key, 0, sizeof(walk->name_key));
  walk->name_key.table = table;
  bpf_probe_read_kernel(walk->name_key.name, bytes, name);
  u32 *want = hf_names.lookup(&walk->name_key);
  if (want) walk->want |= *want;
}

static __always_inline void want_inode(struct walk *walk, u8 table, u64 inode, u32 device) {
  struct inode_key key = {.inode = inode, .device = device, .table = table};
  u32 *want = hf_inodes.lookup(&key);
  if (want) walk->want |= *want;
}

// `text` is a kernel buffer that can be read for at least 247 bytes from its first one.
static __always_inline void want_prefix(struct walk *walk, u8 table, const char *text) {
  walk->path_key.prefix_bits = 8 * (1 + sizeof(walk->path_key.text));
  walk->path_key.table = table;
  bpf_probe_read_kernel(walk->path_key.text, sizeof(walk->path_key.text), text);
  u32 *want = hf_paths.lookup(&walk->path_key);
  if (want) walk->want |= *want;
}

// What the rules want of a path that ends with the 31 bytes at `tail`, of which `bytes` are its own.
static __always_inline void want_ending(struct walk *walk, u8 table, const char *tail, u32 bytes) {
  struct sieve *sieve = sieve_of(table);
  if (sieve && (!(sieve->endings[(u8)tail[30]] & 1) || !(sieve->endings[(u8)tail[29]] & 2) ||
                !(sieve->endings[(u8)tail[28]] & 4)))
    return;
  walk->tail_key.table = table;
  // Turned round eight bytes at a time; the last eight have one byte again.
  swap(&walk->tail_key.reversed[0], &tail[23]);
  swap(&walk->tail_key.reversed[8], &tail[15]);
  swap(&walk->tail_key.reversed[16], &tail[7]);
  swap(&walk->tail_key.reversed[23], &tail[0]);
  // Only what belongs to the path counts; what lies before it in the buffer does not.
  walk->tail_key.prefix_bits = 8 * (1 + bytes);
  u32 *want = hf_tails.lookup(&walk->tail_key);
  if (want) walk->want |= *want;
}

// `end` points behind the last of `bytes` (at most 31) characters; 31 bytes before it can be read.
static __always_inline void want_tail(struct walk *walk, u8 table, const char *end, u32 bytes) {
  bpf_probe_read_kernel(walk->tail, 31, end - 31);
  want_ending(walk, table, walk->tail, bytes);
}

// As the two before, for the path that starts at `position` of the walk's buffer and ends at
// WALK_BYTES. Every open comes through here, so nothing is copied that is in place already.
static __always_inline void want_path(struct walk *walk, u8 table, u32 position) {
  u32 bytes = WALK_BYTES - position, *want;
  const u32 head = __builtin_offsetof(struct path_key, text);
  if (position >= head && position < WALK_BYTES) {
    // A key is made of the path by what is written before it.
    u32 at = position - head;
    asm volatile("" : "+r"(at));
    struct path_key *key = (struct path_key *)&walk->buffer[at & (WALK_BYTES - 1)];
    key->prefix_bits = 8 * (1 + sizeof(key->text));
    key->table = table;
    want = hf_paths.lookup(key);
    if (want) walk->want |= *want;
  } else {
    want_prefix(walk, table, &walk->buffer[position & (WALK_BYTES - 1)]);
  }
  want_ending(walk, table, &walk->buffer[WALK_BYTES - 31], bytes > 31 ? 31 : bytes);
}

// The name as the caller wrote it: each of its components may be what a rule names.
static __always_inline void want_filename(struct walk *walk, u8 table, struct facts *facts) {
  // First where the components end, then the look-ups: each loop is simple enough for the verifier.
  walk->length = walk->position = 0;
  for (u32 i = 0; i < FILENAME_BYTES; i++) {
    // Keeps the compiler from carrying what is in walk along in registers.
    asm volatile("" ::: "memory");
    char letter = facts->filename[i];
    if (letter == '/' || letter == 0) {
      walk->ends[walk->position & (MAXIMUM_COMPONENTS - 1)] = i;
      walk->position++;
    }
    if (letter == 0) break;
    walk->length++;
  }
  // More components than are kept: the agent shall look.
  if (walk->position > MAXIMUM_COMPONENTS) want_anything(walk, OF_CUT_PATH(table));
  for (u32 i = 0; i < MAXIMUM_COMPONENTS; i++) {
    u32 start = i ? walk->ends[(i - 1) & (MAXIMUM_COMPONENTS - 1)] + 1 : 0;
    if (i >= walk->position) break;
    want_name(walk, table, &facts->filename[start & (FILENAME_BYTES - 1)], walk->ends[i] - start);
  }
  want_prefix(walk, table, facts->filename);
  // The program's path lies before the name in the record, so 31 bytes before the end can be read.
  u32 bytes = walk->length & (FILENAME_BYTES - 1);
  want_tail(walk, table, &facts->filename[bytes], bytes > 31 ? 31 : bytes);
}

static __always_inline u32 want_region(struct region *region, u16 port) {
  if (!region) return 0;
  struct port_key key = {.region = region->number, .port = port};
  u32 *want = hf_ports.lookup(&key);
  return want ? *want : region->any_port;
}

// The tables have what is wanted of TCP, of UDP and of all else in four bits each.
static __always_inline u32 want_of_transport(u32 wants, u8 transport) {
  u32 own = wants >> (transport == TRANSPORT_TCP ? 0 : transport == TRANSPORT_UDP ? 4 : 8) & 15;
  return GOES_WITH_STOPS ? own | (wants & WANT_WITH_STOP) : own;
}

static __always_inline u32 want_address(struct config *config, struct act *act) {
  if (act->address_family == 4) {
    struct net4_key key = {.prefix_bits = 40, .generation = config->generation & 1};
    __builtin_memcpy(key.address, act->address, 4);
    return want_of_transport(want_region(hf_net4.lookup(&key), act->port), act->transport);
  }
  if (act->address_family == 6) {
    struct net6_key key = {.prefix_bits = 136, .generation = config->generation & 1};
    __builtin_memcpy(key.address, act->address, 16);
    return want_of_transport(want_region(hf_net6.lookup(&key), act->port), act->transport);
  }
  return 0;
}
