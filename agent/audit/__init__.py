"""Mode `audit`: auditd's records made into acts, for kernels on which no BPF can be loaded."""
