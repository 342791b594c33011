"""The server: the files of the page and a WebSocket for each tab, on the loopback interface only.

Every address begins with a secret token, so that neither other users of the machine nor other pages in the browser have
access; requests must also name this server as their host and origin.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import typer
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chainrule.app.playground.lessons import LESSONS
from chainrule.app.playground.session import Worker
from chainrule.errors import look_up

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 50 << 20
"""A table of the user's own comes as one message."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",  # the token in the address is another one each time
}


def application(token: str, port: int) -> ASGIApp:
    """Return the application, which answers under /token/ alone."""
    page = Path(str(files("chainrule.app.playground").joinpath("page")))
    routes = [WebSocketRoute("/socket", _tab), Mount("/", StaticFiles(directory=page, html=True))]
    return _Guarded(Starlette(routes=[Mount(f"/{token}", routes=routes)]), token, port)


class _Guarded:
    """Lets a request through if its token, host and origin are right, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_allowed(scope):
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(code=1008)
        else:
            await PlainTextResponse("Open the address that chainrule playground prints.", 403)(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        named = scope["path"].split("/")[1] if scope["path"].count("/") > 1 else ""
        if not secrets.compare_digest(named.encode(), self.token.encode()) or headers.get("host") not in self.hosts:
            return False
        if origin is None:  # a browser sends it with every WebSocket
            return scope["type"] != "websocket"
        return origin.removeprefix("http://") in self.hosts


def _with_headers(send: Send) -> Send:
    async def sending(message: dict) -> None:  # type: ignore[type-arg]
        if message["type"] == "http.response.start":
            extra = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending  # type: ignore[return-value]


async def _tab(websocket: WebSocket) -> None:
    """Connect a tab with a session of its own, which ends with the connection."""
    await websocket.accept()
    loop, outbox = asyncio.get_running_loop(), asyncio.Queue[str | bytes]()

    def send(message: str | bytes) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(outbox.put_nowait, message)

    worker = Worker(send)
    worker.start()
    sender = asyncio.create_task(_send_all(websocket, outbox))
    try:
        async for text in websocket.iter_text():
            worker.inbox.put(text)
    finally:
        worker.close()
        sender.cancel()


async def _send_all(websocket: WebSocket, outbox: asyncio.Queue[str | bytes]) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # the tab has been closed
        while True:
            message = await outbox.get()
            await (websocket.send_text(message) if isinstance(message, str) else websocket.send_bytes(message))


# Running it.


def listen(port: int | None) -> socket.socket:
    """Return a socket on the port, or on a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port or 0))
    except OSError as error:
        listener.close()
        raise ValueError(f"--port must be a free port, got {port} ({error.strerror})") from None
    listener.listen()
    return listener


def server(token: str, listener: socket.socket) -> uvicorn.Server:
    """Return the server for `run(sockets=[listener])`."""
    config = uvicorn.Config(
        application(token, listener.getsockname()[1]),
        log_level="critical",
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def serve(
    port: int | None, lesson: str | None, browser: bool, opening: Callable[[str], object] = webbrowser.open
) -> None:
    """Serve the page until Ctrl-C; `opening` opens the address."""
    if lesson is not None:
        look_up(LESSONS, lesson, "--lesson")
    token = secrets.token_urlsafe(16)
    listener = listen(port)
    address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/" + (f"?lesson={quote(lesson)}" if lesson else "")
    typer.echo(f"chainrule playground  {address}\nPress Ctrl-C to stop.")
    if browser:
        opening(address)
    with suppress(KeyboardInterrupt):
        server(token, listener).run(sockets=[listener])
