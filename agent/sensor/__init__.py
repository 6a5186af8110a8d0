"""The sensor: what the kernel side reports of watched processes, as values of the wire."""
