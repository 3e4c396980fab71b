"""The engine's API as Python methods, over any byte stream.

    engine.Engine     what callers use: connections, kept alive, and the API's nouns below it
    containers, execs, images, system
                      one method per endpoint
    transport         HTTP/1.1 on a stream: requests, answers, upgrades
    streams           the streams: unix socket, loopback TCP, Windows named pipe
    demux             a container's stdout and stderr out of one byte stream
    types             the shapes of what is sent and answered

Nothing is imported here: the command line's floor is paid in imports.
"""
