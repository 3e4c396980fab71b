"""The first process of a machine: from the kernel's hand-over to a running supervisor."""
