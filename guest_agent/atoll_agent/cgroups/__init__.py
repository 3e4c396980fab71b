"""Docker's resource limits as writes to cgroup v2 files; one controller, one module. Plans only: the runtime writes."""
