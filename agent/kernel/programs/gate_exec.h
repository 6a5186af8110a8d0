// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// exec is held as in stop mode, when it is committed to: the parent of a vfork waits no longer, and
// gate_get_signal keeps the new program from its first instruction. Earlier is only noted which script
// it was, since its interpreter opens that by its name later.

// security_bprm_check(bprm): once for the file that was named, then for each interpreter
int gate_bprm_check(struct bpf_raw_tracepoint_args *ctx) {
  ANSWER(ctx, ARGUMENTS_gate_bprm_check);
  BEGIN(KIND_BIT(KIND_EXEC));
  u64 bprm = ctx->args[0], file = 0, inode = 0, name = 0, interpreter = 0;
  u32 position;
  READ(name, bprm, linux_binprm, filename);
  READ(interpreter, bprm, linux_binprm, interp);
  READ(file, bprm, linux_binprm, file);
  READ(inode, file, file, f_inode);
  if (name != interpreter) return 0;  // of a script, which was noted
  position = file_path(walk, &facts->act, file, 0);
  // It is too much for the stack, so it is made where a record's arguments are.
  struct script *script = (struct script *)facts->argv;
  end_of_path(walk, position, script->path);
  script->start_ns = start_of(task);
  script->opens = 0;
  read_state(&script->state, inode);
  __builtin_memset(script->filename, 0, sizeof(script->filename));
  bpf_probe_read_kernel_str(script->filename, sizeof(script->filename), (void *)name);
  hf_scripts.update(&tgid, script);
  return 0;
}
