"""Serving the panel until Ctrl-C."""

from collections.abc import Callable

from fastapi import FastAPI

from understudy.serving import listen, quiet_server

STOP_S = 5  # that requests in progress have on Ctrl-C


def serve(app: FastAPI, host: str, port: int, proxied: bool, ready: Callable[[str], None]) -> None:
    """Serve an app until Ctrl-C; what is being answered then is answered to its end.

    Args:
        app: the panel's.
        host: where to listen.
        port: 0 takes a free one.
        proxied: a proxy on this machine, or at the addresses in FORWARDED_ALLOW_IPS, says who the
            clients are and that they speak TLS.
        ready: called with the panel's address once it can be reached.

    Raises:
        UserError: the port is taken or the host is none of this machine's.
    """
    with listen(host, port) as listener:
        ready(f"http://{host}:{listener.getsockname()[1]}")
        server = quiet_server(app, proxy_headers=proxied, timeout_graceful_shutdown=STOP_S)
        server.run(sockets=[listener])
