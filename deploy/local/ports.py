"""Ports on the loopback address."""

import socket


class PortTaken(RuntimeError):
    """Somebody listens on the port that was asked for."""


def free_port(wanted: int = 0) -> int:
    """The port `wanted` on 127.0.0.1, or any if 0, that nobody listens on now; PortTaken otherwise.

    Another process may still be quicker to take it.
    """
    with socket.socket() as listener:
        # Connections of an earlier server that wait out their end don't count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise PortTaken(f"port {wanted} on 127.0.0.1: {error.strerror}") from error
        port: int = listener.getsockname()[1]
        return port
