// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// exec, judged when the kernel has committed to the new program and before its first instruction.

// Which script this was, into the record; none if a program was started by itself.
static __always_inline void take_script(struct facts *facts) {
  struct identity *identity = &facts->identity;
  u32 tgid = facts->act.tgid;
  struct script *script = hf_scripts.lookup(&tgid);
  identity->inode = identity->number = 0;
  if (!script) return;
  if (script->start_ns != facts->act.start_ns || (script->state.inode == facts->act.inode && script->state.device == facts->act.device)) {
    hf_scripts.delete(&tgid);
    return;
  }
  identity->inode = script->state.inode;
  identity->device = script->state.device;
  identity->number = script->state.bytes;
  identity->second_inode = script->state.changed_s;
  identity->second_parent = script->state.changed_ns;
}

// raw tracepoint sched_process_exec(task, old_pid, bprm)
int on_exec(struct bpf_raw_tracepoint_args *ctx) {
  u64 task = bpf_get_current_task(), bprm = ctx->args[2], file = 0, name = 0;
  u32 tgid = bpf_get_current_pid_tgid() >> 32, zero = 0, bytes = 0, want;
  struct label label = {};
  struct config *config = configuration();
  if (!config || !find_label(task, tgid, config, &label, 1)) return 0;
  stop_for_quarantine(tgid, label.subject);
  if (!(config->kinds & (1 << KIND_EXEC))) return 0;
  struct facts *facts = hf_facts.lookup(&zero);
  struct walk *walk = hf_walk.lookup(&zero);
  if (!facts || !walk) return 0;
  read_act(&facts->act, task, &label, config->mount_namespace);
  facts->act.kind = KIND_EXEC;
  facts->act.guarantee = GUARANTEE_HELD;
  READ(file, bprm, linux_binprm, file);
  u8 table = table_byte(config, TABLE_EXEC);
  walk->want = 0;
  u32 position = file_path(walk, &facts->act, file, table);
  COPY_PATH(walk, position, facts->path, bytes, facts->act.marks);
  facts->act.path_bytes = bytes;
  __builtin_memset(facts->filename, 0, sizeof(facts->filename));
  READ(name, bprm, linux_binprm, filename);
  if (bpf_probe_read_kernel_str(facts->filename, sizeof(facts->filename), (void *)name) >= FILENAME_BYTES) {
    // The end of the name is missing, and with it what a rule may name: the agent shall look.
    facts->act.marks |= MARK_PATH_CUT;
    want_anything(walk, OF_CUT_PATH(table));
  }
#ifdef NOTES_SCRIPTS
  take_script(facts);
#endif
  want_filename(walk, table, facts);
  want_anything(walk, table);
  want = walk->want;
#ifdef NOTES_SCRIPTS
  if (!(want & WANT_STOP_READ)) hf_scripts.delete(&tgid);
#endif
  if (!want) return 0;
  read_arguments(facts, task, 1);
  read_surroundings(facts, walk, task, 0);
  read_ancestors(facts, task);
  if (!(want & WANT_STOP_READ)) {
    report_exec(facts);
    return 0;
  }
#ifdef HEARS_THE_HEARTBEAT
  if (exec_is_left_alone(facts, want)) return 0;
#endif
  stop(facts);
  return 0;
}
