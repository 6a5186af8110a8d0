"""From our C sources to loaded programs, with bcc and without kernel headers.

bcc wants a kernel source tree. It gets one of a dozen small files: basic integer types and nothing
else, since every kernel field is read at an offset that comes from BTF. Headers that happen to be
installed are not looked at, so they cannot disagree with the running kernel.
"""

import os
import re
import tempfile

_KCONFIG = """
#ifndef HOLDFAST_KCONFIG
#define HOLDFAST_KCONFIG
#define CONFIG_BPF_SYSCALL 1
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE KERNEL_VERSION(%s)
#endif
#define PAGE_SIZE 4096
#define BPF_NO_PRESERVE_ACCESS_INDEX 1
#endif
"""
_TYPES = """
#ifndef HOLDFAST_TYPES
#define HOLDFAST_TYPES
typedef signed char __s8; typedef unsigned char __u8;
typedef short __s16; typedef unsigned short __u16;
typedef int __s32; typedef unsigned int __u32;
typedef long long __s64; typedef unsigned long long __u64;
typedef __s8 s8; typedef __u8 u8; typedef __s16 s16; typedef __u16 u16;
typedef __s32 s32; typedef __u32 u32; typedef __s64 s64; typedef __u64 u64;
typedef __u16 __be16; typedef __u32 __be32; typedef __u64 __be64;
typedef __u16 __sum16; typedef __u32 __wsum;
typedef __u16 __le16; typedef __u32 __le32; typedef __u64 __le64;
typedef unsigned long size_t; typedef unsigned long uintptr_t; typedef _Bool bool;
typedef int pid_t;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define NULL ((void *)0)
#define __always_inline inline __attribute__((always_inline))
struct pt_regs;
#endif
"""
_EMPTY = (
    "linux/version.h linux/log2.h linux/bpf.h linux/ptrace.h linux/bpf_common.h uapi/linux/bpf.h "
    "uapi/linux/if_packet.h uapi/linux/ptrace.h uapi/linux/if_ether.h asm/page.h"
).split()
_INCLUDE = re.compile(r'^#include "(\w+\.h)"$', re.MULTILINE)


def sources(directory, name):
    """Return (text, names): the program `name` with its own headers put in place."""
    names = [name]

    def put(match):
        names.append(match.group(1))
        with open(os.path.join(directory, match.group(1))) as file:
            return file.read()

    with open(os.path.join(directory, name)) as file:
        return _INCLUDE.sub(put, file.read()), names


def _tree(root):
    release = [int(part) for part in re.findall(r"\d+", os.uname().release)[:3]]
    version = ", ".join(str(part) for part in [*release, 0, 0][:3])
    files = {"linux/kconfig.h": _KCONFIG % version, "linux/types.h": _TYPES}
    files.update((name, "") for name in _EMPTY)
    for name, text in files.items():
        path = os.path.join(root, "include", name)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        with open(path, "w") as file:
            file.write(text)
    os.makedirs(os.path.join(root, "arch", "x86", "include"))


def compile_programs(text):
    """Return bcc's BPF object for C source `text`; bcc's own errors come through on stderr."""
    with tempfile.TemporaryDirectory(prefix="holdfast-") as root:
        _tree(root)
        os.environ["BCC_KERNEL_SOURCE"] = root
        from bcc import BPF

        return BPF(
            text=text, cflags=["-Wno-unused-function", "-Werror=implicit-function-declaration"]
        )
