"""The programs of gate mode, and which functions of the kernel they are attached to.

For an LSM program that is bpf_lsm_ and the hook's name, for fmod_ret security_ and the function's.
"""

import kernel

# Program: the LSM hook, and the security function where its name is another.
HOOKS = {
    "gate_file_open": ("file_open", ""),
    "gate_path_mknod": ("path_mknod", ""),
    "gate_path_mkdir": ("path_mkdir", ""),
    "gate_path_unlink": ("path_unlink", ""),
    "gate_path_rmdir": ("path_rmdir", ""),
    "gate_path_rename": ("path_rename", ""),
    "gate_path_link": ("path_link", ""),
    "gate_path_symlink": ("path_symlink", ""),
    "gate_path_chmod": ("path_chmod", ""),
    "gate_path_chown": ("path_chown", ""),
    "gate_path_truncate": ("path_truncate", ""),
    "gate_file_truncate": ("file_truncate", ""),
    "gate_sb_mount": ("sb_mount", ""),
    "gate_move_mount": ("move_mount", ""),
    "gate_sb_umount": ("sb_umount", ""),
    "gate_socket_connect": ("socket_connect", ""),
    "gate_socket_sendmsg": ("socket_sendmsg", ""),
    "gate_socket_listen": ("socket_listen", ""),
    "gate_socket_create": ("socket_create", ""),
    "gate_unix_stream_connect": ("unix_stream_connect", ""),
    "gate_unix_may_send": ("unix_may_send", ""),
    "gate_ptrace_access_check": ("ptrace_access_check", ""),
    "gate_task_kill": ("task_kill", ""),
    "gate_task_fix_setuid": ("task_fix_setuid", ""),
    "gate_task_fix_setgid": ("task_fix_setgid", ""),
    "gate_task_fix_setgroups": ("task_fix_setgroups", ""),
    "gate_userns_create": ("userns_create", "create_user_ns"),
    "gate_kernel_read_file": ("kernel_read_file", ""),
    "gate_kernel_load_data": ("kernel_load_data", ""),
    "gate_kernel_module_request": ("kernel_module_request", ""),
    "gate_bpf": ("bpf", ""),
    "gate_inode_init_security_anon": ("inode_init_security_anon", ""),
    "gate_bprm_check": ("bprm_check_security", "bprm_check"),
}
GUARD = "gate_get_signal"
# Without these nothing is held that could not be let run on by somebody else.
NEEDED = frozenset((GUARD, "gate_file_open", "gate_task_kill", "gate_ptrace_access_check"))
# What nobody may do to a process that is held, attached for as long as the programs are loaded.
ALWAYS = (GUARD, "gate_task_kill", "gate_ptrace_access_check")
SORTS = {"lsm": kernel.LSM, "fmod_ret": kernel.MODIFY_RETURN}


def security_function(program):
    """Return the name of the security function behind a hook."""
    hook, function = HOOKS[program]
    return "security_" + (function or hook)


def target(program, way):
    """Return (sort, function of the kernel) of a program that is attached to one."""
    if program == GUARD:
        return kernel.FEXIT, "get_signal"
    name = "bpf_lsm_" + HOOKS[program][0] if way == "lsm" else security_function(program)
    return SORTS[way], name


def header(btf):
    """Return ARGUMENTS_* of each program: where, behind them, it finds what was answered before."""
    counts = {name: btf.parameters(security_function(name)) or 1 for name in HOOKS}
    return "".join("#define ARGUMENTS_%s %d\n" % pair for pair in sorted(counts.items()))
