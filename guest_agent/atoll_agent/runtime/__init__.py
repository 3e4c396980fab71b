"""One container from one plan: the supervisor forks it, `init` builds its world from inside and becomes its program.

Imported by the supervisor, so it stays small: no thread, no HTTP, nothing of the engine.
"""
