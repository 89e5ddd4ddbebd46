"""Where Prometheus comes by: HTTP of the least kind, `GET /metrics`."""

import logging
from collections.abc import Callable
from typing import Final

import trio

from vexfs_fuse.observe.metrics import CONTENT_TYPE
from vexfs_fuse.quantities import Address

REQUEST_BYTES_MAX: Final = 8 * 1024
CONNECTIONS_MAX: Final = 16
PATIENCE_S: Final = 5.0
"""How long a client may take to ask and to listen."""

_END_OF_HEADERS: Final = b"\r\n\r\n"

_log = logging.getLogger(__name__)


async def serve_metrics(address: Address | None, metrics: Callable[[], bytes]) -> None:
    """Answer scrapes at `address` until cancelled; a port that is taken is logged, not fatal."""
    if address is None:
        return
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as why:
        _log.warning("no metrics at %s: %s", address, why)
        return
    seats = trio.Semaphore(CONNECTIONS_MAX)

    async def answer(stream: trio.SocketStream) -> None:
        async with seats, stream:
            with trio.move_on_after(PATIENCE_S):
                try:
                    await stream.send_all(_response(await _request(stream), metrics))
                except trio.BrokenResourceError:
                    pass  # it did not wait for the answer

    await trio.serve_listeners(answer, listeners)


async def _request(stream: trio.SocketStream) -> bytes:
    request = b""
    while _END_OF_HEADERS not in request and len(request) < REQUEST_BYTES_MAX:
        more = await stream.receive_some(REQUEST_BYTES_MAX)
        if not more:
            break
        request += more
    return bytes(request)


def _response(request: bytes, metrics: Callable[[], bytes]) -> bytes:
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path != b"/metrics":
        return _message("404 Not Found", b"see /metrics\n", "text/plain")
    if method != b"GET":
        return _message("405 Method Not Allowed", b"", "text/plain")
    return _message("200 OK", metrics(), CONTENT_TYPE)


def _message(status: str, body: bytes, kind: str) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
