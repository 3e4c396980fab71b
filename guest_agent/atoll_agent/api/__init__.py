"""The wire: everything host and guest must agree on.

Pure values and codecs that import on any operating system and do no I/O. The host imports this package and
nothing else of the guest.
"""
