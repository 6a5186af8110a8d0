// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Where system calls end. Each program here is attached to the raw tracepoint sys_exit(regs, result)
// while rules need it, and never more than one of them: every process pays for each that is.

#define AT_RETURN(regs, nr, result)                                 \
  u64 regs = ctx->args[0], nr = 0;                                  \
  long result = ctx->args[1];                                       \
  if (killed_for_running()) return 0;                               \
  READ(nr, regs, pt_regs, orig_ax);                                 \
  if ((nr == NR_ptrace || nr == OLD_NR_ptrace) && killed_for_tracing(regs, nr)) return 0

// While a rule cares about open, and none about connect.
int on_open_return(struct bpf_raw_tracepoint_args *ctx) {
  AT_RETURN(regs, nr, result);
  return open_returned(regs, nr, result);
}

// While a rule cares about connect, and none about open.
int on_network_return(struct bpf_raw_tracepoint_args *ctx) {
  AT_RETURN(regs, nr, result);
  return network_returned(regs, nr, result);
}

// While rules care about both.
int on_call_return(struct bpf_raw_tracepoint_args *ctx) {
  AT_RETURN(regs, nr, result);
  // No number means an open one way, native or 32-bit, and a connect or send the other way.
  if (IS_OPEN(nr, NR_) || IS_OPEN(nr, OLD_NR_)) return open_returned(regs, nr, result);
  return network_returned(regs, nr, result);
}
