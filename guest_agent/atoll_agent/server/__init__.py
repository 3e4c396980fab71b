"""The Docker Engine API over HTTP/1.1: reading requests, finding the handler, writing answers, handing connections over."""
