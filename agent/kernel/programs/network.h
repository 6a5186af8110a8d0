// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// connect and send. A TCP connection is judged by the socket at its first step, whichever call made
// it (connect, a Fast Open send, io_uring); the rest when the call returns.

#define MAXIMUM_MESSAGES 16

static __always_inline void finish_network(struct facts *facts, struct walk *walk, u64 task, u32 want, u32 position) {
  struct act *act = &facts->act;
  u32 bytes = 0;
  want &= WANT_OBSERVE_READ | WANT_STOP_READ;
  if (!want) return;
  if (!(want & WANT_STOP_READ) || (act->result < 0 && act->kind == KIND_SEND)) {
    report(act, &walk->buffer[position & 2047], WALK_BYTES - position);
    return;
  }
  COPY_PATH(walk, position, facts->path, bytes, act->marks);
  act->path_bytes = bytes;
  facts->filename[0] = 0;
  read_arguments(facts, task, 1);
  read_surroundings(facts, walk, task, 1);
  read_ancestors(facts, task);
  stop(facts);
}

// raw tracepoint inet_sock_set_state(sock, old, new): SYN_SENT is entered only by the caller of
// connect or of a Fast Open send, with the address that the kernel has committed to.
int on_socket_state(struct bpf_raw_tracepoint_args *ctx) {
  if ((int)ctx->args[2] != STATE_SYN_SENT) return 0;
  u64 task = bpf_get_current_task(), sock = ctx->args[0], request = 0;
  u32 tgid = bpf_get_current_pid_tgid() >> 32, zero = 0;
  struct label label = {};
  struct config *config = configuration();
  if (!config || !(config->kinds & (1 << KIND_CONNECT)) || !find_label(task, tgid, config, &label, 0)) return 0;
  struct facts *facts = hf_facts.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  if (!facts || !walk) return 0;
  read_act(&facts->act, task, &label, config->mount_namespace);
  facts->act.kind = KIND_CONNECT;
  // A Fast Open send may put data into the very first packet, which leaves before the stop.
  READ(request, sock, tcp_sock, fastopen_req);
  facts->act.guarantee = request || shares_descriptors(task) ? GUARANTEE_LATE : GUARANTEE_STOPPED;
  facts->act.transport = TRANSPORT_TCP;
  // The call is not over: its result is not known, and the agent must not read one into it.
  facts->act.result = NOT_OVER;
  set_address_of_socket(&facts->act, sock);
  finish_network(facts, walk, task, want_address(config, &facts->act), WALK_BYTES);
  return 0;
}

// What the rules want of a send of which not every address could be read.
static __always_inline u32 want_uninspected(struct config *config, struct act *act, struct walk *walk, u16 family) {
  act->marks |= MARK_ADDRESSES_CUT;
  walk->want = 0;
  if (family == FAMILY_UNIX)
    want_anything(walk, OF_CUT_PATH(table_byte(config, TABLE_UNIX)));
  else
    want_anything(walk, table_byte(config, SLOT_UNINSPECTED));
  return walk->want;
}

// A connect or send through a descriptor that is no socket any more when the call returns.
static __always_inline void judge_unknown(struct config *config, struct label *label, struct facts *facts, struct walk *walk, u64 task, long result, u8 kind) {
  struct act *act = &facts->act;
  read_act(act, task, label, config->mount_namespace);
  act->kind = kind;
  act->guarantee = GUARANTEE_LATE;
  act->result = result;
  walk->buffer[WALK_BYTES] = 0;
  u32 want = want_uninspected(config, act, walk, FAMILY_INET);
  want |= want_uninspected(config, act, walk, FAMILY_UNIX);
  finish_network(facts, walk, task, want, WALK_BYTES);
}

static __always_inline void judge_connect(struct config *config, struct label *label, u64 task, long result, u32 descriptor) {
  u16 family = 0, type = 0;
  u8 state = 0;
  u32 zero = 0, want = 0, position = WALK_BYTES;
  u64 sock = socket_of(task, descriptor, &family, &type);
  struct facts *facts = hf_facts.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  // A connect that failed reached nothing; TCP is judged by on_socket_state, before the result.
  if (!facts || !walk || result < 0) return;
  if (!sock) {
    // Another thread has put something else under the number: it could have been any socket.
    judge_unknown(config, label, facts, walk, task, result, KIND_CONNECT);
    return;
  }
  u8 transport = transport_of(family, type);
  if (transport == TRANSPORT_TCP || (transport == TRANSPORT_OTHER && family != FAMILY_INET && family != FAMILY_INET6)) return;
  struct act *act = &facts->act;
  read_act(act, task, label, config->mount_namespace);
  act->kind = KIND_CONNECT;
  act->guarantee = shares_descriptors(task) ? GUARANTEE_LATE : GUARANTEE_STOPPED;
  act->result = result;
  act->transport = transport;
  walk->buffer[WALK_BYTES] = 0;
  if (transport == TRANSPORT_UNIX) {
    u8 table = table_byte(config, TABLE_UNIX);
    walk->want = 0;
    position = unix_peer(walk, act, sock, table);
    want_anything(walk, table);
    want = walk->want;
  } else {
    READ(state, sock, sock_common, skc_state);
    if (state != STATE_ESTABLISHED) return;  // it was called to disconnect
    set_address_of_socket(act, sock);
    want = want_address(config, act);
  }
  finish_network(facts, walk, task, want, position);
}

// The beginning of struct msghdr as sendmsg(2) takes it.
struct message_header {
  u64 name;
  u32 name_bytes;
  u32 pad;
};
struct old_message_header {
  u32 name;
  u32 name_bytes;
};
#define MESSAGE_STRIDE 64  // sizeof(struct mmsghdr)
#define OLD_MESSAGE_STRIDE 32

// One call that sends `messages` times: to `single`, or to the names in `vector` of mmsghdr.
struct sending {
  struct message_header single;
  u64 vector;
  u32 messages;
  u32 descriptor;
  u32 old;  // the structures are those of a 32-bit program
};

static __always_inline int read_header(struct message_header *header, u64 address, u32 old) {
  struct old_message_header small = {};
  if (!old) return bpf_probe_read_user(header, sizeof(*header), (void *)address);
  int failed = bpf_probe_read_user(&small, sizeof(small), (void *)address);
  header->name = small.name;
  header->name_bytes = small.name_bytes;
  return failed;
}

static __always_inline u32 destination_inet(struct config *config, struct act *act, struct walk *walk, u16 family, u64 address) {
  u16 port = 0;
  u64 raw[2] = {};
  if (bpf_probe_read_user(&port, 2, (void *)(address + 2))) return want_uninspected(config, act, walk, family);
  act->port = bpf_ntohs(port);
  // The kernel sends what is for nobody to this host itself.
  if (family == FAMILY_INET6) {
    bpf_probe_read_user(raw, 16, (void *)(address + 8));
    if (!raw[0] && !raw[1]) raw[1] = (u64)bpf_htonl(1) << 32;
    set_address6(act, raw);
  } else {
    bpf_probe_read_user(raw, 4, (void *)(address + 4));
    if (!raw[0]) raw[0] = bpf_htonl(0x7f000001);
    set_address4(act, raw);
  }
  return want_address(config, act);
}

// The first `length` bytes of the walk's buffer are the name of a socket as its caller wrote it.
static __always_inline u32 want_socket_name(struct config *config, struct walk *walk, u32 length, u32 *position) {
  u8 table = table_byte(config, TABLE_UNIX);
  u32 start = (WALK_BYTES - length) & 1023;
  if (!length) return 0;
  bpf_probe_read_kernel(&walk->buffer[start], length, walk->buffer);
  *position = start;
  walk->want = 0;
  want_prefix(walk, table, &walk->buffer[start]);
  want_tail(walk, table, &walk->buffer[WALK_BYTES], length > 31 ? 31 : length);
  want_anything(walk, table);
  want_anything(walk, table_byte(config, SLOT_UNRESOLVED));
  return walk->want;
}

// Reads one destination from the caller's memory; returns what the rules want of it.
static __always_inline u32 destination(struct config *config, struct act *act, struct walk *walk, u16 of_socket, u64 address, u32 bytes, u32 *position) {
  u16 family = 0;
  *position = WALK_BYTES;
  walk->buffer[WALK_BYTES] = 0;
  if (!address || bytes < 2) return 0;
  // Another thread may have taken the memory away since the kernel read it.
  if (bpf_probe_read_user(&family, 2, (void *)address)) return want_uninspected(config, act, walk, of_socket);
  // Sockets of IPv4 take an address without a family for one of theirs.
  if (!family && of_socket == FAMILY_INET) family = FAMILY_INET;
  if (family == FAMILY_INET || family == FAMILY_INET6) return destination_inet(config, act, walk, family, address);
  if (family != FAMILY_UNIX) return 0;
  u32 length = bytes - 2;
  if (length > 108) length = 108;
  asm volatile("" : "+r"(length));
  length &= 127;
  if (bpf_probe_read_user(walk->buffer, length, (void *)(address + 2)))
    return want_uninspected(config, act, walk, of_socket);
  walk->buffer[length] = 0;
  if (walk->buffer[0]) {
    // A path ends at its zero byte, whatever length the caller gave.
    long read = bpf_probe_read_kernel_str(&walk->buffer[128], 128, walk->buffer);
    length = read > 0 ? read - 1 : 0;
  } else {
    walk->buffer[0] = '@';
  }
  act->marks |= MARK_UNRESOLVED;
  return want_socket_name(config, walk, length & 127, position);
}

static __always_inline void judge_send(struct config *config, struct label *label, u64 task, long result, struct sending *sending) {
  u16 family = 0, type = 0;
  u32 zero = 0, want = 0, position = WALK_BYTES, messages = sending->messages;
  u64 sock = socket_of(task, sending->descriptor, &family, &type);
  u64 stride = sending->old ? OLD_MESSAGE_STRIDE : MESSAGE_STRIDE;
  struct facts *facts = hf_facts.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  if (!facts || !walk) return;
  if (!sock) {
    if (result >= 0) judge_unknown(config, label, facts, walk, task, result, KIND_SEND);
    return;
  }
  u8 transport = transport_of(family, type);
  if (transport == TRANSPORT_TCP) return;
  struct act *act = &facts->act;
  read_act(act, task, label, config->mount_namespace);
  act->kind = KIND_SEND;
  act->guarantee = GUARANTEE_LATE;
  act->result = result;
  act->transport = transport;
  act->messages = sending->vector ? (result > 0 ? result : 0) : (result >= 0);
  if (sending->vector && result > 0 && result < messages) messages = result;  // the rest was not sent
  for (u32 i = 0; i < MAXIMUM_MESSAGES; i++) {
    struct message_header header = sending->single;
    if (i >= messages) break;
    if (sending->vector && read_header(&header, sending->vector + stride * i, sending->old)) {
      want = want_uninspected(config, act, walk, family);
      break;
    }
    if (!header.name) continue;
    want = destination(config, act, walk, family, header.name, header.name_bytes, &position);
    if (want) break;
  }
  // What was not inspected could be any address: the agent shall look.
  if (!want && messages > MAXIMUM_MESSAGES) want = want_uninspected(config, act, walk, family);
  finish_network(facts, walk, task, want, position);
}

// The call's number as a 64-bit program would make it, 0 for another call. socketcall(2), by which
// 32-bit programs make most of theirs, has its arguments in memory.
static __always_inline u32 network_call(u64 nr, u32 old, u64 first) {
  if (!old) return nr == NR_connect || nr == NR_sendto || nr == NR_sendmsg || nr == NR_sendmmsg ? nr : 0;
  if (nr == OLD_NR_connect || (nr == OLD_NR_socketcall && first == 3)) return NR_connect;
  if (nr == OLD_NR_sendto || (nr == OLD_NR_socketcall && first == 11)) return NR_sendto;
  if (nr == OLD_NR_sendmsg || (nr == OLD_NR_socketcall && first == 16)) return NR_sendmsg;
  if (nr == OLD_NR_sendmmsg || (nr == OLD_NR_socketcall && first == 20)) return NR_sendmmsg;
  return 0;
}

static __always_inline int network_returned(u64 regs, u64 nr, long result) {
  u64 first, second, third, fifth, sixth;
  if (nr != NR_connect && nr != NR_sendto && nr != NR_sendmsg && nr != NR_sendmmsg && nr != OLD_NR_socketcall &&
      nr != OLD_NR_connect && nr != OLD_NR_sendto && nr != OLD_NR_sendmsg && nr != OLD_NR_sendmmsg)
    return 0;
  u64 task = bpf_get_current_task();
  u32 tgid = bpf_get_current_pid_tgid() >> 32, old = is_old_call(task), call;
  first = ARGUMENT(regs, old, di, bx);
  call = network_call(nr, old, first);
  if (!call) return 0;
  struct label label = {};
  struct config *config = configuration();
  if (!config || !find_label(task, tgid, config, &label, 0)) return 0;
  second = ARGUMENT(regs, old, si, cx);
  third = ARGUMENT(regs, old, dx, dx);
  fifth = ARGUMENT(regs, old, r8, di);
  sixth = ARGUMENT(regs, old, r9, bp);
  if (old && nr == OLD_NR_socketcall) {
    u32 given[6] = {};
    bpf_probe_read_user(given, sizeof(given), (void *)second);
    first = given[0];
    second = given[1];
    third = given[2];
    fifth = given[4];
    sixth = given[5];
  }
  if (call == NR_connect) {
    judge_connect(config, &label, task, result, first);
    return 0;
  }
  struct sending sending = {.messages = 1, .descriptor = first, .old = old};
  if (call == NR_sendto) {
    sending.single.name = fifth;
    sending.single.name_bytes = sixth;
  } else if (call == NR_sendmmsg) {
    sending.vector = second;
    sending.messages = third;
  } else if (read_header(&sending.single, second, old)) {
    // Unreadable by now: an address that cannot be read, either.
    sending.single.name = second;
    sending.single.name_bytes = 2;
  }
  // Without an address it goes where the socket is connected, which was judged at connect.
  if (sending.vector || sending.single.name) judge_send(config, &label, task, result, &sending);
  return 0;
}
