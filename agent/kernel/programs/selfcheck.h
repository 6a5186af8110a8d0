// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// The loader runs this in its own process before anything is attached, and compares what it reads
// with the operating system's own answers. A wrong offset shows here, not in a production trail.

struct check {
  struct facts facts;
  char opened[PATH_BYTES];
  struct act socket;
  char socket_path[SHORT_PATH_BYTES];
  u32 in_group;
  u32 not_in_group;
  u32 live;
  u32 descriptor_mode;
  u32 uid;
  u32 gid;
  u32 descriptor_flags;
  u32 state;
  u64 cgroup;
  u32 mount_namespace;
  u32 shares_descriptors;
  u32 threads;
  u32 reserved;
};
BPF_ARRAY(hf_check, struct check, 1);

// arguments: descriptor of a file, of a connected socket, a group of the loader, a group that is not
int check_offsets(struct bpf_raw_tracepoint_args *ctx) {
  u64 task = bpf_get_current_task(), cred = 0, signal = 0, file;
  u32 zero = 0, bytes = 0, position;
  struct check *check = hf_check.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  struct label label = {.start_ns = start_of(task), .login_uid = login_of(task)};
  if (!check || !walk) return 0;
  read_act(&check->facts.act, task, &label, mount_namespace_of(task));
  read_arguments(&check->facts, task, 1);
  read_surroundings(&check->facts, walk, task, 1);
  read_ancestors(&check->facts, task);
  file = file_of(task, ctx->args[0]);
  if (file) {
    position = file_path(walk, &check->facts.act, file, 0);
    COPY_PATH(walk, position, check->opened, bytes, check->facts.act.marks);
    READ(check->descriptor_mode, file, file, f_mode);
    READ(check->descriptor_flags, file, file, f_flags);
  }
  u16 family = 0, type = 0;
  u8 state = 0;
  u64 sock = socket_of(task, ctx->args[1], &family, &type);
  if (sock) {
    READ(state, sock, sock_common, skc_state);
    check->state = state;
    check->socket.transport = transport_of(family, type);
    check->socket.marks = 0;
    if (family == FAMILY_UNIX) {
      position = unix_peer(walk, &check->socket, sock, 0);
      COPY_PATH(walk, position, check->socket_path, bytes, check->socket.marks);
    } else {
      set_address_of_socket(&check->socket, sock);
    }
  }
  READ(cred, task, task_struct, cred);
  READ(check->uid, cred, cred, uid);
  READ(check->gid, cred, cred, gid);
  check->in_group = in_group_list(cred, ctx->args[2]);
  check->not_in_group = in_group_list(cred, ctx->args[3]);
  READ(signal, task, task_struct, signal);
  READ(check->live, signal, signal_struct, live);
  int threads = 0;
  READ(threads, signal, signal_struct, nr_threads);
  check->threads = threads;
  check->shares_descriptors = shares_descriptors(task);
  check->mount_namespace = mount_namespace_of(task);
#ifdef OFF_cgroup__ancestor_ids
  int level = 0;
  cgroup_of(task, &level);
  check->cgroup = cgroup_above(task, level);
#else
  check->cgroup = bpf_get_current_cgroup_id();
#endif
  return 0;
}
