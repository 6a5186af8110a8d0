"""The kernel side: BPF programs in C, and the loader that runs under the system's Python."""
