"""Who may look and who may not, of a viewer that runs."""

from __future__ import annotations

import asyncio
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

from rllib_integration.viewer.guards import Guards
from tests.patience import PATIENCE
from tests.ports import free_port


@pytest.fixture
def viewer(start_viewer):
    return start_viewer(f"--carla-port={free_port()}")


def ask(viewer, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_page_comes_with_a_policy_that_lets_nothing_foreign_in(viewer):
    status, headers, body = ask(viewer)
    assert (status, b"<canvas" in body) == (200, True)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", ""])
def test_a_name_that_was_pointed_to_this_machine_is_refused(viewer, host):
    assert ask(viewer, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8081"])
def test_a_tunnel_may_have_another_port(viewer, host):
    assert ask(viewer, Host=host)[0] == 200


def test_pages_of_other_sites_may_not_ask(viewer):
    assert ask(viewer, Origin="http://evil.example")[0] == 403
    assert ask(viewer, Origin=f"http://127.0.0.1:{viewer.port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../viewer/web.py",
        "/js/../../web.py",
        "/%2e%2e/web.py",
        "/town/../../etc/passwd",
        "/town/" + "0" * 32,
        "/no.js",
    ],
)
def test_no_path_leads_out_of_the_page(viewer, path):
    assert ask(viewer, path)[0] == 404


def test_it_listens_on_loopback_alone(viewer):
    others = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1"
    }
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, viewer.port), 1.0)


def in_a_loop(work):
    """The result of a coroutine, run in a thread: a browser of another test may keep this one's event loop busy."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def talk(viewer, greeting, headers=None):
    """The socket's first message, or the code that it was closed with."""

    async def run():
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{viewer.port}/socket"
            async with session.ws_connect(url, headers=headers or {}, max_msg_size=0) as connection:
                await connection.send_json(greeting)
                message = await asyncio.wait_for(connection.receive(), PATIENCE)
                return message.type, message.data

    return in_a_loop(run())


def test_a_socket_of_another_site_is_refused(viewer):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        talk(viewer, {}, {"Origin": "http://evil.example"})
    assert refusal.value.status == 403


def test_opened_wider_it_wants_the_token(start_viewer):
    viewer = start_viewer("--host=127.0.0.1", "--controls", f"--carla-port={free_port()}")
    assert viewer.token
    assert talk(viewer, {"token": ""})[0] == aiohttp.WSMsgType.BINARY  # looking is free on this machine
    guards = Guards.for_address("0.0.0.0", controls=False)
    assert not guards.may_look(None)
    assert not guards.may_look("wrong")
    assert guards.may_look(guards.token)
    assert not guards.may_control(guards.token)
    own = Guards.for_address("127.0.0.1", controls=True)
    assert own.may_look(None)
    assert not own.may_control("")
    assert own.may_control(own.token)


def test_a_command_that_is_none_closes_the_socket_and_nothing_else(viewer):
    async def run():
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{viewer.port}/socket"
            for nonsense in ("[1]", "{}", '{"do":"drop tables"}', '{"do":"watch","source":"x"}', "no json"):
                async with session.ws_connect(url, max_msg_size=0) as connection:
                    await connection.send_json({"token": ""})
                    await connection.send_str(nonsense)
                    while not connection.closed:
                        await asyncio.wait_for(connection.receive(), PATIENCE)
                    assert connection.close_code == 1003

    in_a_loop(run())
    assert ask(viewer)[0] == 200


def test_a_port_that_is_taken_is_told_in_a_sentence(start_viewer):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(RuntimeError, match="in use; choose another one"):
        start_viewer(f"--port={port}")
