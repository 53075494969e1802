"""What the servers of this program have in common: how they listen and how they are run."""

import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from understudy.errors import UserError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UserError: the port is taken or the host is none of this machine's.
    """
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except (OSError, OverflowError) as error:
        raise UserError(f"port {port} on {host}: {error}; choose another with --port") from None
    # What is accepted inherits it. Without, answers wait 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def quiet_server(app: FastAPI, **settings: Any) -> uvicorn.Server:
    """A server that prints nothing and says nothing of itself; further settings are uvicorn's."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            **settings,
        )
    )
