"""The kernel, thinly: each function is one system call or one netlink exchange.

Raises OSError and nothing else, knows no policy, and imports nothing of the rest of the agent.
"""
