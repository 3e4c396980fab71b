"""Networks of containers: the bridge, addresses, and the firewall table. Netlink only, no helper program."""
