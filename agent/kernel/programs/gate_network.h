// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// connect, send and listen, before any packet leaves. By address where that is what is reached; a
// socket of the file system by the one that the kernel has found, whatever the caller called it.

#define SEND_FAST_OPEN 0x20000000  // MSG_FASTOPEN
#define FAMILY_NETLINK 16
#define FAMILY_PACKET 17

static __always_inline u64 sock_of(u64 socket, u16 *family, u16 *type) {
  u64 sock = 0;
  short kind = 0;
  READ(sock, socket, socket, sk);
  READ(kind, socket, socket, type);
  *type = kind;
  if (sock) READ(*family, sock, sock_common, skc_family);
  return sock;
}

// Ends a program: `position` is where a path lies in the walk's buffer, WALK_BYTES without one.
static __always_inline int gate_address(struct config *config, struct facts *facts, struct walk *walk, u64 task, u32 want, u32 position) {
  struct act *act = &facts->act;
  u32 bytes = 0;
  if (!(want & (WANT_OBSERVE_READ | WANT_STOP_READ))) return 0;
  read_process(act, task, config->mount_namespace);
  if (!(want & WANT_STOP_READ)) {
    report(act, &walk->buffer[position & 2047], WALK_BYTES - position);
    return 0;
  }
  COPY_PATH(walk, position, facts->path, bytes, act->marks);
  act->path_bytes = bytes;
  begin_identity(facts, task);
  struct identity *identity = &facts->identity;
  identity->port = act->port;
  identity->address_family = act->address_family;
  identity->transport = act->transport;
  __builtin_memcpy(identity->address, act->address, sizeof(identity->address));
  // An abstract socket has no inode that tells it from another.
  bpf_probe_read_kernel_str(identity->second_name, PATH_BYTES, facts->path);
  return gate_unless_granted(facts, walk, task, want);
}

// What is wanted of `bytes` bytes of a struct sockaddr of the kernel's.
static __always_inline u32 want_sockaddr(struct config *config, struct act *act, struct walk *walk, u16 of_socket, u64 address, u32 bytes) {
  u16 family = 0, port = 0;
  u64 raw[2] = {};
  if (!address || bytes < 2) return 0;
  bpf_probe_read_kernel(&family, 2, (void *)address);
  // Sockets of IPv4 take an address without a family for one of theirs, connect for none at all.
  if (!family && of_socket == FAMILY_INET && act->kind == KIND_SEND) family = FAMILY_INET;
  if (family == FAMILY_INET || family == FAMILY_INET6) {
    bpf_probe_read_kernel(&port, 2, (void *)(address + 2));
    act->port = bpf_ntohs(port);
    // The kernel sends what is for nobody to this host itself.
    if (family == FAMILY_INET6) {
      bpf_probe_read_kernel(raw, 16, (void *)(address + 8));
      if (!raw[0] && !raw[1]) raw[1] = (u64)bpf_htonl(1) << 32;
      set_address6(act, raw);
    } else {
      bpf_probe_read_kernel(raw, 4, (void *)(address + 4));
      if (!raw[0]) raw[0] = bpf_htonl(0x7f000001);
      set_address4(act, raw);
    }
    return want_address(config, act);
  }
  if (!family || family == FAMILY_UNIX || family == FAMILY_NETLINK) return 0;
  // Packets, virtual machines and the rest: no rule can name such an address, so all that are about
  // any network count, here and by the mark also where the agent decides.
  act->number = family;
  act->marks |= MARK_ADDRESSES_CUT;
  if (family == FAMILY_PACKET) act->transport = TRANSPORT_RAW;
  bpf_probe_read_kernel(act->address, 16, (void *)(address + 2));
  want_anything(walk, table_byte(config, SLOT_UNINSPECTED));
  return walk->want;
}

// security_socket_connect(socket, address, bytes)
int gate_socket_connect(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_socket_connect);
  BEGIN(KIND_BIT(KIND_CONNECT));
  u16 family = 0, type = 0;
  u32 want;
  if (!sock_of(ctx->args[0], &family, &type)) return 0;
  facts->act.kind = KIND_CONNECT;
  facts->act.transport = transport_of(family, type);
  want = want_sockaddr(config, &facts->act, walk, family, ctx->args[1], ctx->args[2]);
  return gate_address(config, facts, walk, task, want, WALK_BYTES);
}

// security_socket_sendmsg(socket, message, bytes): once for each message with an address of its own
int gate_socket_sendmsg(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_socket_sendmsg);
  u64 name = 0, message = ctx->args[1];
  READ(name, message, msghdr, msg_name);
  // Without an address it goes where the socket is connected, which was judged at connect.
  if (!name) return 0;
  BEGIN(KIND_BIT(KIND_SEND) | KIND_BIT(KIND_CONNECT));
  u16 family = 0, type = 0;
  u32 flags = 0, want;
  int bytes = 0;
  READ(bytes, message, msghdr, msg_namelen);
  READ(flags, message, msghdr, msg_flags);
  if (!sock_of(ctx->args[0], &family, &type)) return 0;
  facts->act.kind = KIND_SEND;
  facts->act.transport = transport_of(family, type);
  if (facts->act.transport == TRANSPORT_TCP) {
    // It goes where the socket is connected, unless this is what connects it.
    if (!(flags & SEND_FAST_OPEN)) return 0;
    facts->act.kind = KIND_CONNECT;
  }
  want = want_sockaddr(config, &facts->act, walk, family, name, bytes);
  return gate_address(config, facts, walk, task, want, WALK_BYTES);
}

static __always_inline int judge_unix(struct bpf_raw_tracepoint_args *ctx, u64 from, u64 to) {
  BEGIN(KIND_BIT(KIND_CONNECT) | KIND_BIT(KIND_SEND));
  u64 peer = 0, nr;
  u32 old = is_old_call(task), position;
  READ(peer, from, unix_sock, peer);
  if (peer == to) return 0;  // a datagram to what was judged at connect
  nr = call_of(task);
  int connects = old ? nr == OLD_NR_connect || nr == OLD_NR_socketcall : nr == NR_connect;
  facts->act.kind = connects ? KIND_CONNECT : KIND_SEND;
  facts->act.transport = TRANSPORT_UNIX;
  u8 table = table_byte(config, TABLE_UNIX);
  position = unix_place(walk, &facts->act, to, table);
  want_anything(walk, table);
  return gate_address(config, facts, walk, task, walk->want, position);
}

// security_unix_stream_connect(sock, other, new sock)
int gate_unix_stream_connect(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_unix_stream_connect);
  return judge_unix(ctx, ctx->args[0], ctx->args[1]);
}

// security_unix_may_send(socket, other socket): datagrams, at connect and at each send
int gate_unix_may_send(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_unix_may_send);
  u64 from = 0, to = 0;
  READ(from, ctx->args[0], socket, sk);
  READ(to, ctx->args[1], socket, sk);
  if (!from || !to) return 0;
  return judge_unix(ctx, from, to);
}

// What is wanted of a kind that has no file, in all of this: no further condition is looked at here.
static __always_inline u32 want_other(struct config *config, struct walk *walk, u32 kind) {
  walk->want = 0;
  want_anything(walk, table_byte(config, SLOT_OTHER));
  return walk->want & (WANT_OBSERVE_KIND(kind) | WANT_STOP_KIND(kind) | WANT_WITH_STOP);
}

// Ends a program about a kind that has no file; facts->path may be filled.
static __always_inline int gate_other(struct config *config, struct facts *facts, struct walk *walk, u64 task, u32 kind) {
  u32 want = want_other(config, walk, kind);
  if (!(want & (WANT_OBSERVE_KIND(kind) | WANT_STOP_KIND(kind)))) return 0;
  read_process(&facts->act, task, config->mount_namespace);
  if (!(want & WANT_STOP_KIND(kind))) {
    if (kind == KIND_TRACE) {
      facts->argv_bytes = facts->argv_total = 0;
      facts->filename[0] = facts->program[0] = facts->directory[0] = 0;
      facts->ancestors[0].tgid = 0;
      report_exec(facts);
    } else {
      report(&facts->act, facts->path, facts->act.path_bytes);
    }
    return 0;
  }
  return gate(facts, walk, task, want);
}

// security_socket_listen(socket, backlog)
int gate_socket_listen(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_socket_listen);
  BEGIN(KIND_BIT(KIND_LISTEN));
  u16 family = 0, type = 0, port = 0;
  u32 bytes = 0, position = WALK_BYTES;
  u64 sock = sock_of(ctx->args[0], &family, &type);
  if (!sock) return 0;
  struct act *act = &facts->act;
  act->kind = KIND_LISTEN;
  act->transport = transport_of(family, type);
  facts->path[0] = 0;
  if (family == FAMILY_UNIX) {
    position = unix_place(walk, act, sock, 0);
    COPY_PATH(walk, position, facts->path, bytes, act->marks);
    act->path_bytes = bytes;
  } else if (family == FAMILY_INET || family == FAMILY_INET6) {
    READ(port, sock, sock_common, skc_num);
    act->port = port;
    if (family == FAMILY_INET)
      set_address4(act, (void *)(sock + OFF_sock_common__skc_rcv_saddr));
    else
      set_address6(act, (void *)(sock + OFF_sock_common__skc_v6_rcv_saddr));
  }
  begin_identity(facts, task);
  facts->identity.port = act->port;
  facts->identity.address_family = act->address_family;
  facts->identity.transport = act->transport;
  __builtin_memcpy(facts->identity.address, act->address, 16);
  bpf_probe_read_kernel_str(facts->identity.second_name, PATH_BYTES, facts->path);
  return gate_other(config, facts, walk, task, KIND_LISTEN);
}
