// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The superset of the rules that the kernel itself matches: paths by prefix, name and tail, inodes,
// address prefixes and ports. The agent decides exactly; here nothing that a rule wants may be missed.

#define WANT_OBSERVE_READ 1
#define WANT_OBSERVE_WRITE 2
#define WANT_STOP_READ 4
#define WANT_STOP_WRITE 8

#define TABLE_EXEC 1
#define TABLE_OPEN 2
#define TABLE_UNIX 3

static __always_inline u8 table_byte(struct config *config, u8 table) {
  return (config->generation & 1) << 4 | table;
}

static __always_inline void want_anything(struct walk *walk, u8 table) {
  u32 index = table;
  u32 *want = hf_anything.lookup(&index);
  if (want) walk->want |= *want;
}

static __always_inline void want_name(struct walk *walk, u8 table, const char *name, u32 bytes) {
  __builtin_memset(&walk->name_key, 0, sizeof(walk->name_key));
  walk->name_key.table = table;
  if (bytes > 31) bytes = 31;
  asm volatile("" : "+r"(bytes));
  bytes &= 31;
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

// `end` points behind the last of `bytes` (at most 31) characters; 31 bytes before it can be read.
static __always_inline void want_tail(struct walk *walk, u8 table, const char *end, u32 bytes) {
  bpf_probe_read_kernel(walk->tail, 31, end - 31);
  walk->tail_key.table = table;
#pragma unroll
  for (int i = 0; i < 31; i++) walk->tail_key.reversed[i] = walk->tail[30 - i];
  // Only what belongs to the text counts; what lies before it in the buffer does not.
  walk->tail_key.prefix_bits = 8 * (1 + bytes);
  u32 *want = hf_tails.lookup(&walk->tail_key);
  if (want) walk->want |= *want;
}

static __always_inline u32 want_region(struct region *region, u16 port) {
  if (!region) return 0;
  struct port_key key = {.region = region->number, .port = port};
  u32 *want = hf_ports.lookup(&key);
  return want ? *want : region->any_port;
}

static __always_inline u32 want_address(struct config *config, struct act *act) {
  if (act->address_family == 4) {
    struct net4_key key = {.prefix_bits = 40, .generation = config->generation & 1};
    __builtin_memcpy(key.address, act->address, 4);
    return want_region(hf_net4.lookup(&key), act->port);
  }
  if (act->address_family == 6) {
    struct net6_key key = {.prefix_bits = 136, .generation = config->generation & 1};
    __builtin_memcpy(key.address, act->address, 16);
    return want_region(hf_net6.lookup(&key), act->port);
  }
  return 0;
}
