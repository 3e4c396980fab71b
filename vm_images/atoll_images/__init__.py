"""The machine's image: Debian packages, pinned by hash, assembled into a kernel, an initramfs and a read-only root.

Pure Python and the same on every OS: no root, no mount, no debootstrap, no maintainer script is ever run.
`build` tells the story from the lock file to the finished directory.
"""
