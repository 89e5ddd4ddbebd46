"""The endpoint for Prometheus."""

import pytest
import trio

from vexfs_fuse.quantities import Address
from vexfs_fuse.runtime.scrape import serve_metrics

HOST = "127.0.0.1"


@pytest.fixture
async def port(nursery: trio.Nursery) -> int:
    with trio.socket.socket() as free:
        await free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    nursery.start_soon(serve_metrics, Address(HOST, port), lambda: b"vexfs_up 1\n")
    await trio.testing.wait_all_tasks_blocked()
    return port


async def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Send a request; return its head and body."""
    stream = await trio.open_tcp_stream(HOST, port)
    async with stream:
        await stream.send_all(request)
        answer = b"".join([part async for part in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


async def test_metrics_are_answered(port: int) -> None:
    head, body = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 11" in head
    assert body == b"vexfs_up 1\n"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GET / HTTP/1.1", b"404"), (b"POST /metrics HTTP/1.1", b"405"), (b"junk", b"404")],
)
async def test_nothing_else_is(port: int, request_line: bytes, status: bytes) -> None:
    head, _ = await ask(port, request_line + b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)


async def test_a_port_that_is_taken_does_not_end_the_daemon(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    await serve_metrics(Address(HOST, port), lambda: b"")
    assert "no metrics at" in caplog.text


async def test_no_address_no_server() -> None:
    await serve_metrics(None, lambda: b"")
