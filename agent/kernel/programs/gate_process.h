// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What a process does to others and to what it may do: tracing, another identity, namespaces; and the
// watch over those that are held.

#define MODE_READ 1    // PTRACE_MODE_READ
#define MODE_ATTACH 2  // PTRACE_MODE_ATTACH

// security_ptrace_access_check(other process, mode)
int gate_ptrace_access_check(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_ptrace_access_check);
  if (!((u32)ctx->args[1] & MODE_ATTACH)) return 0;
  u64 other = ctx->args[0], leader = 0, cred = 0;
  u32 other_tgid = 0;
  READ(other_tgid, other, task_struct, tgid);
  u64 self = bpf_get_current_task();
  u32 self_tgid = bpf_get_current_pid_tgid() >> 32;
  struct guarded *known = hf_guarded.lookup(&other_tgid);
  struct label *own = hf_labels.lookup(&self_tgid);
  // Who traces a held process could change what is shown of it.
  if (known && own && same_start(start_of(self), own->start_ns)) {
    tell_of_tracing(known, other_tgid, REFUSED_TRACING);
    return REFUSE;
  }
  BEGIN(KIND_BIT(KIND_TRACE));
  struct process *target = &facts->target;
  READ(leader, other, task_struct, group_leader);
  READ(target->start_ns, leader, task_struct, start_boottime);
  READ(cred, leader, task_struct, cred);
  READ(target->uid, cred, cred, euid);
  READ(target->comm, leader, task_struct, comm);
  target->tgid = other_tgid;
  u64 regs = registers_of(task), nr = 0, request = 0;
  u32 old = is_old_call(task);
  READ(nr, regs, pt_regs, orig_ax);
  request = ARGUMENT(regs, old, di, bx);
  int traces = nr == (old ? OLD_NR_ptrace : NR_ptrace);
  facts->act.kind = KIND_TRACE;
  facts->act.number = (traces ? request : 0) << 32 | (u32)nr;
  facts->path[0] = 0;
  begin_identity(facts, task);
  facts->identity.inode = target->start_ns;
  facts->identity.parent = target->tgid;
  // By another call than ptrace the kernel says EACCES or EPERM itself, whatever is answered here: it
  // can be refused, and not be made again.
  u32 want = want_other(config, walk, KIND_TRACE);
  if (!traces && want & WANT_STOP_KIND(KIND_TRACE)) {
    read_process(&facts->act, task, config->mount_namespace);
    facts->filename[0] = facts->program[0] = facts->directory[0] = 0;
    facts->ancestors[0].tgid = 0;
    tell_unheld(facts, MARK_REFUSED, COUNT_HOLDS_LOST);
    return REFUSE;
  }
  return gate_other(config, facts, walk, task, KIND_TRACE);
}

// security_task_kill(process, info, signal, credentials): nobody but the agent lets a held one run on
int gate_task_kill(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_task_kill);
  if ((int)ctx->args[2] != SIGNAL_CONTINUE) return 0;
  u64 task = ctx->args[0];
  u32 tgid = 0, by = bpf_get_current_pid_tgid() >> 32;
  READ(tgid, task, task_struct, tgid);
  struct guarded *known = guarded(task, tgid);
  struct config *config = configuration();
  if (!known || !config || by == config->agent_tgid) return 0;
  known->resumes++;
  if (known->resumes >= known->tell_at) {
    known->tell_at *= 10;
    tell_of(known, tgid, RESUMED);
  }
  return REFUSE;
}

// The end of get_signal(), on every way back to user space that has to do with signals: whoever has a
// hold goes no further, whether it was a process, a tracer or the kernel itself that has let it run on.
int gate_get_signal(struct bpf_raw_tracepoint_args *ctx) {
  u64 task;
  u32 tgid = bpf_get_current_pid_tgid() >> 32, flags = 0;
  if (!hf_guarded.lookup(&tgid)) return 0;
  task = bpf_get_current_task();
  READ(flags, task, task_struct, flags);
  if (flags & (TASK_EXITING | TASK_IO_WORKER | TASK_KERNEL_THREAD)) return 0;
  struct guarded *known = guarded(task, tgid);
  if (known) send_stop();
  return 0;
}

static __always_inline int judge_identity(struct bpf_raw_tracepoint_args *ctx, u64 what, u64 id, int changes) {
  BEGIN(KIND_BIT(KIND_IDENTITY));
  if (!changes) return 0;
  facts->act.kind = KIND_IDENTITY;
  facts->act.number = what << 32 | (u32)id;
  facts->path[0] = 0;
  begin_identity(facts, task);
  return gate_other(config, facts, walk, task, KIND_IDENTITY);
}

// security_task_fix_setuid(new credentials, old ones, flags)
int gate_task_fix_setuid(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_task_fix_setuid);
  u64 fresh = ctx->args[0], old = ctx->args[1];
  u32 uid = 0, euid = 0, suid = 0, was = 0, were = 0, saved = 0;
  READ(uid, fresh, cred, uid);
  READ(euid, fresh, cred, euid);
  READ(suid, fresh, cred, suid);
  READ(was, old, cred, uid);
  READ(were, old, cred, euid);
  READ(saved, old, cred, suid);
  return judge_identity(ctx, NUMBER_SETUID, euid != were ? euid : uid != was ? uid : suid, uid != was || euid != were || suid != saved);
}

// security_task_fix_setgid(new credentials, old ones, flags)
int gate_task_fix_setgid(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_task_fix_setgid);
  u64 fresh = ctx->args[0], old = ctx->args[1];
  u32 gid = 0, egid = 0, sgid = 0, was = 0, were = 0, saved = 0;
  READ(gid, fresh, cred, gid);
  READ(egid, fresh, cred, egid);
  READ(sgid, fresh, cred, sgid);
  READ(was, old, cred, gid);
  READ(were, old, cred, egid);
  READ(saved, old, cred, sgid);
  return judge_identity(ctx, NUMBER_SETGID, egid != were ? egid : gid != was ? gid : sgid, gid != was || egid != were || sgid != saved);
}

// security_task_fix_setgroups(new credentials, old ones), from 6.0 on
int gate_task_fix_setgroups(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_task_fix_setgroups);
  u64 list = 0;
  u32 total = 0;
  READ(list, ctx->args[0], cred, group_info);
  if (list) READ(total, list, group_info, ngroups);
  return judge_identity(ctx, NUMBER_SETGROUPS, total, 1);
}

// security_create_user_ns(credentials), from 6.1 on: by unshare and by clone
int gate_userns_create(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_userns_create);
  BEGIN(KIND_BIT(KIND_NAMESPACE));
  u64 regs = registers_of(task), nr = 0;
  u32 old = is_old_call(task);
  READ(nr, regs, pt_regs, orig_ax);
  facts->act.kind = KIND_NAMESPACE;
  facts->act.number = NUMBER_USERNS;
  // unshare and clone have their flags in the same place; clone3 has them in memory.
  if (!old && nr == NR_unshare) facts->act.number |= (u32)ARGUMENT(regs, old, di, bx);
  facts->path[0] = 0;
  begin_identity(facts, task);
  return gate_other(config, facts, walk, task, KIND_NAMESPACE);
}
