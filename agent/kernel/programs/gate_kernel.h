// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What changes the kernel itself: modules, BPF; and rings, which cannot be held.

#define READING_MODULE 2  // READING_MODULE and LOADING_MODULE
#define NO_SUCH_CALL -38  // -ENOSYS

static __always_inline int judge_module(struct bpf_raw_tracepoint_args *ctx, u64 file, u64 name) {
  BEGIN(KIND_BIT(KIND_MODULE));
  u32 bytes = 0, position;
  facts->act.kind = KIND_MODULE;
  facts->act.number = name ? NUMBER_LOAD_BY_NAME : NUMBER_LOAD;
  facts->path[0] = 0;
  if (file) {
    position = file_path(walk, &facts->act, file, 0);
    COPY_PATH(walk, position, facts->path, bytes, facts->act.marks);
    facts->act.path_bytes = bytes;
  }
  if (name) {
    bpf_probe_read_kernel_str(facts->path, 256, (void *)name);
    facts->act.marks |= MARK_UNRESOLVED;
  }
  begin_identity(facts, task);
  if (!name) return gate_other(config, facts, walk, task, KIND_MODULE);
  // Whoever asks the kernel for a module by its name does not hand on what is answered here, so the
  // call would not be made again: it can only be refused.
  u32 want = want_other(config, walk, KIND_MODULE);
  if (!(want & WANT_STOP_KIND(KIND_MODULE))) return gate_other(config, facts, walk, task, KIND_MODULE);
  read_process(&facts->act, task, config->mount_namespace);
  facts->filename[0] = facts->program[0] = facts->directory[0] = 0;
  facts->ancestors[0].tgid = 0;
  tell_unheld(facts, MARK_REFUSED, COUNT_HOLDS_LOST);
  return REFUSE;
}

// security_kernel_read_file(file, what for, whole)
int gate_kernel_read_file(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_kernel_read_file);
  if ((u32)ctx->args[1] != READING_MODULE) return 0;
  return judge_module(ctx, ctx->args[0], 0);
}

// security_kernel_load_data(what for, whole)
int gate_kernel_load_data(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_kernel_load_data);
  if ((u32)ctx->args[0] != READING_MODULE) return 0;
  return judge_module(ctx, 0, 0);
}

// security_kernel_module_request(name)
int gate_kernel_module_request(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_kernel_module_request);
  return judge_module(ctx, 0, ctx->args[0]);
}

// security_bpf(command, attributes, bytes)
int gate_bpf(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_bpf);
  BEGIN(KIND_BIT(KIND_BPF));
  facts->act.kind = KIND_BPF;
  facts->act.number = (u32)ctx->args[0];
  facts->path[0] = 0;
  begin_identity(facts, task);
  return gate_other(config, facts, walk, task, KIND_BPF);
}

// What a ring does runs where nobody can be stopped, so a watched process that rules want to stop gets
// none: libraries fall back to plain calls. A rule about the file "[io_uring]" has it asked about
// instead, or only observed.
static __always_inline int judge_ring(struct bpf_raw_tracepoint_args *ctx) {
  BEGIN(~0u);
  u32 want;
  if (call_of(task) != NR_io_uring_setup || !config->stops) return 0;
  const char name[] = "[io_uring]";
  u8 table = table_byte(config, TABLE_OPEN);
  __builtin_memcpy(&walk->buffer[WALK_BYTES - 10], name, 10);
  want_prefix(walk, table, &walk->buffer[WALK_BYTES - 10]);
  want_tail(walk, table, &walk->buffer[WALK_BYTES], 10);
  want_name(walk, table, &walk->buffer[WALK_BYTES - 10], 10);
  want = walk->want;
  facts->act.kind = KIND_OPEN;
  facts->act.open_flags = OPEN_READ_WRITE;
  read_process(&facts->act, task, config->mount_namespace);
  if (!(want & 15)) return NO_SUCH_CALL;
  if (!(want & (WANT_STOP_READ | WANT_STOP_WRITE))) {
    report(&facts->act, &walk->buffer[WALK_BYTES - 10], 10);
    return 0;
  }
  __builtin_memset(facts->path, 0, 16);
  __builtin_memcpy(facts->path, name, 10);
  facts->act.path_bytes = 10;
  begin_identity(facts, task);
  return gate(facts, walk, task, want);
}

// security_inode_init_security_anon(inode, name, other inode), from 5.12 on: what a ring is made of
int gate_inode_init_security_anon(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_inode_init_security_anon);
  return judge_ring(ctx);
}

// security_socket_create(family, type, protocol, by the kernel): before 5.12 a ring has one of its own
int gate_socket_create(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_socket_create);
  return (int)ctx->args[3] ? judge_ring(ctx) : 0;
}
