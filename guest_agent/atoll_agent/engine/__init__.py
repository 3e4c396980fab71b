"""What a Docker user sees: containers and their life, execs, logs, events; and their state on disk."""
