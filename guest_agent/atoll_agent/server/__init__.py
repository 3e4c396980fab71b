"""The Docker Engine API over HTTP/1.1: requests read, handlers found, answers written, connections handed over."""
