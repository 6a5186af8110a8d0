// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Sockets: which one a descriptor is, how it sends, and where it goes.

#define FAMILY_UNIX 1
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define SOCKET_STREAM 1
#define SOCKET_DATAGRAM 2
#define SOCKET_RAW 3
#define STATE_ESTABLISHED 1
#define STATE_SYN_SENT 2
#define MODE_TYPE 0170000
#define MODE_SOCKET 0140000

static __always_inline void set_address4(struct act *act, const void *address) {
  act->address_family = 4;
  bpf_probe_read_kernel(act->address, 4, address);
}

static __always_inline void set_address6(struct act *act, const void *address) {
  u64 high = 0;
  u32 middle = 0;
  bpf_probe_read_kernel(act->address, 16, address);
  __builtin_memcpy(&high, act->address, 8);
  __builtin_memcpy(&middle, act->address + 8, 4);
  act->address_family = 6;
  if (high == 0 && middle == bpf_htonl(0xffff)) {
    // An IPv4 address in IPv6's clothes reaches the same host, and rules name it as IPv4.
    act->address_family = 4;
    __builtin_memcpy(act->address, act->address + 12, 4);
    __builtin_memset(act->address + 4, 0, 12);
  }
}

static __always_inline void set_address_of_socket(struct act *act, u64 sock) {
  u16 family = 0, port = 0;
  READ(family, sock, sock_common, skc_family);
  READ(port, sock, sock_common, skc_dport);
  act->port = bpf_ntohs(port);
  if (family == FAMILY_INET)
    set_address4(act, (void *)(sock + OFF_sock_common__skc_daddr));
  else if (family == FAMILY_INET6)
    set_address6(act, (void *)(sock + OFF_sock_common__skc_v6_daddr));
}

static __always_inline u8 transport_of(u16 family, u16 type) {
  if (family == FAMILY_UNIX) return TRANSPORT_UNIX;
  if (family != FAMILY_INET && family != FAMILY_INET6) return TRANSPORT_OTHER;
  if (type == SOCKET_STREAM) return TRANSPORT_TCP;
  if (type == SOCKET_DATAGRAM) return TRANSPORT_UDP;
  if (type == SOCKET_RAW) return TRANSPORT_RAW;
  return TRANSPORT_OTHER;
}

static __always_inline u64 socket_of(u64 task, u32 descriptor, u16 *family, u16 *type) {
  u64 file = file_of(task, descriptor), inode = 0, socket = 0, sock = 0;
  u16 mode = 0;
  short kind = 0;
  if (!file) return 0;
  READ(inode, file, file, f_inode);
  READ(mode, inode, inode, i_mode);
  if ((mode & MODE_TYPE) != MODE_SOCKET) return 0;
  READ(socket, file, file, private_data);
  READ(kind, socket, socket, type);
  READ(sock, socket, socket, sk);
  if (!sock) return 0;
  *type = kind;
  READ(*family, sock, sock_common, skc_family);
  return sock;
}

// Path of an AF_UNIX socket that has a name; returns its start.
static __always_inline u32 unix_place(struct walk *walk, struct act *act, u64 peer, u8 table) {
  u64 dentry = 0, vfsmount = 0, inode = 0, address = 0;
  int length = 0;
  bpf_probe_read_kernel(&dentry, 8, (void *)(peer + OFF_unix_sock__path + OFF_path__dentry));
  bpf_probe_read_kernel(&vfsmount, 8, (void *)(peer + OFF_unix_sock__path + OFF_path__mnt));
  if (dentry) {
    READ(inode, dentry, dentry, d_inode);
    read_inode(act, inode);
    if (table) want_inode(walk, table, act->inode, act->device);
    return walk_path(walk, dentry, vfsmount, table, &act->marks);
  }
  READ(address, peer, unix_sock, addr);
  if (!address) return WALK_BYTES;
  READ(length, address, unix_address, len);
  u32 bytes = length - 2;  // less the family
  if (bytes == 0 || bytes > 108) return WALK_BYTES;
  asm volatile("" : "+r"(bytes));
  bytes &= 127;
  u32 position = (WALK_BYTES - bytes) & 2047;
  if (position > WALK_BYTES) return WALK_BYTES;
  walk->buffer[WALK_BYTES] = 0;
  bpf_probe_read_kernel(&walk->buffer[position & 1023], bytes, (void *)(address + OFF_unix_address__name + 2));
  walk->buffer[position & 1023] = '@';  // an abstract name begins with a zero byte
  if (!table) return position;
  want_prefix(walk, table, &walk->buffer[position & 1023]);
  want_tail(walk, table, &walk->buffer[WALK_BYTES], bytes > 31 ? 31 : bytes);
  return position;
}

// Path of the socket that a connected AF_UNIX socket really reached; returns its start.
static __always_inline u32 unix_peer(struct walk *walk, struct act *act, u64 sock, u8 table) {
  u64 peer = 0;
  READ(peer, sock, unix_sock, peer);
  return peer ? unix_place(walk, act, peer, table) : WALK_BYTES;
}
