"""The asyncio client of python-socketio."""

import asyncio

import pytest
import socketio

TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]]


def run(coroutine):
    """Runs one test with a limit on its time."""
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def open_client(target, transports, namespaces=("/",), **options):
    client = socketio.AsyncClient(**{"reconnection": False, **options})
    client.got = asyncio.Queue()

    async def receive(event, *args):
        await client.got.put((event, *args))

    for name in namespaces:
        client.on("*", receive, namespace=name)
    await client.connect(target.url, transports=transports, namespaces=list(namespaces), wait_timeout=5)
    return client


@pytest.mark.parametrize("transports", TRANSPORTS, ids="-".join)
def test_everyday(target, transports):
    async def scenario():
        client = await open_client(target, transports, ("/", "/custom"))
        assert (await client.got.get())[0] == "welcome"
        for args in ((), ("é😀", 1, None), (b"\x00\x01", {"deep": [b"x"]})):
            await client.emit("echo", args)
            assert await client.got.get() == ("echo", *args)
        assert await client.call("ack", {"b": b"1"}) == {"b": b"1"}
        answers = await asyncio.gather(*(client.call("ack", i) for i in range(50)))
        assert answers == list(range(50))
        first, second = await asyncio.gather(client.call("slow", (200, "slow")), client.call("ack", "fast"))
        assert (first, second) == ("slow", "fast")
        await client.disconnect()

    run(scenario())


@pytest.mark.parametrize("transports", TRANSPORTS, ids="-".join)
def test_order_across_upgrade(target, transports):
    async def scenario():
        for _ in range(5):
            client = await open_client(target, transports)
            for i in range(200):
                await client.emit("echo", (i, b"x") if i % 7 == 0 else i)
            assert [(await client.got.get())[1] for _ in range(200)] == list(range(200))
            await client.disconnect()

    run(scenario())


@pytest.mark.parametrize("transports", TRANSPORTS, ids="-".join)
def test_heartbeat(start, transports):
    target = start("--ping-interval", "300", "--ping-timeout", "300")

    async def scenario():
        client = await open_client(target, transports)
        await asyncio.sleep(2)
        assert client.connected
        assert await client.call("ack", 1) == 1
        await client.disconnect()

    run(scenario())


# A close packet, which an orderly end sends to those who poll, is final for this client: it comes back from a crash only.
@pytest.mark.parametrize(
    ("transports", "end"), [(["polling"], "crash"), (["websocket"], "stop"), (["websocket"], "crash"), (["polling", "websocket"], "crash")]
)
def test_comes_back(start, transports, end):
    target = start()

    async def scenario():
        options = {"reconnection": True, "reconnection_delay": 0.1, "reconnection_delay_max": 0.5}
        clients = [await open_client(target, transports, **options) for _ in range(20)]
        before = [client.get_sid() for client in clients]
        await asyncio.to_thread(getattr(target, end))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(target.start)
        for client, sid in zip(clients, before):
            while not client.connected or client.get_sid() in (None, sid):
                await asyncio.sleep(0.05)
            assert await client.call("ack", "back") == "back"
            await client.disconnect()

    run(scenario())
