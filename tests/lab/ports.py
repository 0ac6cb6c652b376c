"""Free ports that stay free while a server restarts."""

import random
import socket

# Below the range the kernel gives to outgoing connections, so none of those takes a stopped server's port.
_FIRST, _LAST = 15000, 32000
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on and that this process has not given out before.

    Raises RuntimeError if none is found.
    """
    for _ in range(1000):
        port = random.SystemRandom().randint(_FIRST, _LAST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")
