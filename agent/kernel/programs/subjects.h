// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Labels: who is watched. A process is labelled once and for its life; the label is never worked
// out again from its current user, so sudo, su, setsid and a double fork do not shake it off.

static __always_inline int in_group_list(u64 cred, u32 gid) {
  u64 list = 0;
  u32 total = 0, low = 0, high;
  // By the helper, since the verifier follows every sum of a pointer that it knows and a number.
  bpf_probe_read_kernel(&list, 8, (void *)(cred + OFF_cred__group_info));
  if (!list) return 0;
  READ(total, list, group_info, ngroups);
  high = total;
  // The kernel keeps the list sorted; 17 halvings cover its largest length, 65536.
  for (int i = 0; i < 17; i++) {
    u32 here = 0;
    if (low >= high) return 0;
    u32 middle = (low + high) / 2;
    bpf_probe_read_kernel(&here, sizeof(here), (void *)(list + OFF_group_info__gid + (u64)middle * 4));
    if (here == gid) return 1;
    if (here < gid)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

#ifdef OFF_cgroup__ancestor_ids
// Before 6.1 a cgroup has the ids of those above it, and its own. Before 5.15 the helper that goes by
// them is not for programs of tracepoints.
static __always_inline u64 cgroup_of(u64 task, int *level) {
  u64 set = 0, cgroup = 0;
  bpf_probe_read_kernel(&set, 8, (void *)(task + OFF_task_struct__cgroups));
  bpf_probe_read_kernel(&cgroup, 8, (void *)(set + OFF_css_set__dfl_cgrp));
  bpf_probe_read_kernel(level, sizeof(*level), (void *)(cgroup + OFF_cgroup__level));
  return cgroup;
}
#endif

// The id of the cgroup so many levels below the root that the current process is in; 0 if none.
static __always_inline u64 cgroup_above(u64 task, int level) {
#ifdef OFF_cgroup__ancestor_ids
  int own = 0;
  u64 id = 0, cgroup = cgroup_of(task, &own);
  if (level > own) return 0;
  bpf_probe_read_kernel(&id, 8, (void *)(cgroup + OFF_cgroup__ancestor_ids + (u64)level * 8));
  return id;
#else
  return bpf_get_current_ancestor_cgroup_id(level);
#endif
}

// The subject (1 and up) that the current process matches by itself, or 0.
static __always_inline u32 matching_subject(u64 task, struct config *config, int at_exec) {
  u64 cred = 0;
  u32 uid = 0, euid = 0, *found;
  READ(cred, task, task_struct, cred);
  READ(uid, cred, cred, uid);
  READ(euid, cred, cred, euid);
  found = hf_users.lookup(&uid);
  if (found) return *found;
  // A daemon of root that takes on a user for a moment (sshd, a mailer) is not that user's, unless
  // it starts a program so.
  if (euid != uid && (uid || at_exec)) {
    found = hf_users.lookup(&euid);
    if (found) return *found;
  }
  if (config->groups) {
    u32 gid = 0, egid = 0;
    READ(gid, cred, cred, gid);
    READ(egid, cred, cred, egid);
    for (u32 i = 0; i < 8; i++) {
      u32 index = i;
      struct group *group = hf_groups.lookup(&index);
      if (i >= config->groups || !group) break;
      if (group->gid == gid || group->gid == egid || in_group_list(cred, group->gid))
        return group->subject;
    }
  }
  if (config->cgroups) {
    for (int level = 1; level < 12; level++) {
      u64 id = cgroup_above(task, level);
      if (!id) break;
      found = hf_cgroups.lookup(&id);
      if (found) return *found;
    }
  }
  return 0;
}

static __always_inline int is_agent(struct config *config, u32 tgid, u64 start) {
  return tgid == config->agent_tgid && same_start(start, config->agent_start_ns);
}

// Copies the current process's label to `label`, making it at the first match; 0 if unwatched.
static __always_inline int find_label(u64 task, u32 tgid, struct config *config, struct label *label, int at_exec) {
  struct label *known = hf_labels.lookup(&tgid);
  u64 start;
  if (known) {
    start = start_of(task);
    // A label of another start is of an earlier process of this number, and means nothing.
    if (same_start(start, known->start_ns)) {
      if (is_agent(config, tgid, start)) return 0;
      *label = *known;
      return 1;
    }
  }
  u32 subject = matching_subject(task, config, at_exec);
  if (!subject) return 0;
  start = start_of(task);
  if (is_agent(config, tgid, start)) return 0;
  *label = (struct label){.start_ns = start, .root_start_ns = start, .root_tgid = tgid, .subject = subject, .login_uid = login_of(task)};
  if (hf_labels.update(&tgid, label)) {
    // A process that should be watched and cannot be is an escape: end it.
    count(COUNT_LABELS_LOST);
    bpf_send_signal(SIGNAL_KILL);
    return 0;
  }
  return 1;
}

// raw tracepoint sched_process_fork(parent, child): in the parent, before the child can run.
int on_fork(struct bpf_raw_tracepoint_args *ctx) {
  u64 task = bpf_get_current_task(), child = ctx->args[1];
  u32 tgid = bpf_get_current_pid_tgid() >> 32, child_tgid = 0;
  struct label label = {};
  struct config *config = configuration();
  if (!config || !find_label(task, tgid, config, &label, 0)) return 0;
  READ(child_tgid, child, task_struct, tgid);
  if (child_tgid == tgid) return 0;  // a thread, which shares its process's label
  READ(label.start_ns, child, task_struct, start_boottime);
  if (hf_labels.update(&child_tgid, &label)) {
    count(COUNT_LABELS_LOST);
    bpf_send_signal(SIGNAL_KILL);
  }
  return 0;
}

// raw tracepoint sched_process_exit(task): the label goes with the last thread, not with the leader.
int on_exit(struct bpf_raw_tracepoint_args *ctx) {
  u64 task = bpf_get_current_task(), signal = 0;
  u32 tgid = bpf_get_current_pid_tgid() >> 32, tid = bpf_get_current_pid_tgid();
  int live = 1;
  READ(signal, task, task_struct, signal);
  READ(live, signal, signal_struct, live);
  if (live == 0) {
    hf_labels.delete(&tgid);
    hf_guarded.delete(&tgid);
    hf_scripts.delete(&tgid);
  }
  hf_threads.delete(&tid);
  return 0;
}

// The id of a cgroup v2, 0 for one of v1.
static __always_inline u64 id_of_cgroup(u64 cgroup) {
  u64 root = 0, node = 0, id = 0;
  int hierarchy = -1;
  READ(root, cgroup, cgroup, root);
  READ(hierarchy, root, cgroup_root, hierarchy_id);
  if (hierarchy != 0) return 0;
  READ(node, cgroup, cgroup, kn);
  READ(id, node, kernfs_node, id);
  return id;
}

// raw tracepoint cgroup_mkdir(cgroup, path): a unit that restarts gets a new cgroup of the same name.
int on_cgroup_mkdir(struct bpf_raw_tracepoint_args *ctx) {
  u64 id = id_of_cgroup(ctx->args[0]);
  struct cgroup_path path = {};
  if (!id) return 0;
  bpf_probe_read_kernel_str(path.text, sizeof(path.text), (void *)ctx->args[1]);
  u32 *subject = hf_cgroup_paths.lookup(&path);
  if (!subject) return 0;
  u32 value = *subject;
  if (hf_cgroups.update(&id, &value)) count(COUNT_LABELS_LOST);
  return 0;
}

// raw tracepoint cgroup_rmdir(cgroup, path): ids are never used again, and the map must not fill.
int on_cgroup_rmdir(struct bpf_raw_tracepoint_args *ctx) {
  u64 id = id_of_cgroup(ctx->args[0]);
  if (id) hf_cgroups.delete(&id);
  return 0;
}
