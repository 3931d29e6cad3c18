"""A provider of language models on loopback whose tokens say when they left it.

It reads what to do from the prompt: `tokens=500 pace=50` is 500 tokens, fifty a second; without a pace
they leave all at once. So what is measured goes the whole way: provider adapter, gateway, journal,
socket, browser.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pipelines.graph.graph import Edge, Graph, Node, Position

PROFILE = "paced"
CYCLE = 10**8
"""A token is `t`, the milliseconds since 1970, of which the last eight digits are enough, and its number."""

HOLD = 0.5
"""Seconds until the answer ends: a node shows what it writes only while it runs."""
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)


@contextmanager
def provider() -> Iterator[str]:
    """The base URL of one that serves on a thread of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def prompt(**asked: int) -> str:
    """`tokens=500 pace=50`; names that mean nothing make a prompt another one."""
    return " ".join(f"{name}={value}" for name, value in asked.items())


def pipeline(base_url: str, streams: int = 1) -> str:
    """A pipeline in the administrator's project that asks the provider so many times at once; its
    identifier. To be made before the server begins, once for each number of streams."""
    from django.contrib.auth.models import User

    from pipelines import services
    from pipelines.models import ApprovedHost, LMProfile

    user = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("admin")
    project = services.personal_project(user=user)
    if not LMProfile.objects.filter(name=PROFILE).exists():
        origin = base_url.removesuffix("/v1")
        if not ApprovedHost.objects.filter(origin=origin).exists():
            services.approve_host(user=user, origin=origin)
        services.save_lm_profile(
            user=user,
            profile=LMProfile(
                project=project,
                name=PROFILE,
                adapter="openai_compatible",
                model="paced",
                base_url=base_url,
                concurrency=100,
            ),
        )
    made = services.create_pipeline(project=project, user=user, graph=_graph(streams))
    return str(made.pk)


def _graph(streams: int) -> Graph:
    names = [f"lm_{number}" for number in range(streams)]
    ports = [{"name": "prompt", "type": "str"}]
    texts = [{"name": f"text_{number}", "type": "str"} for number in range(streams)]
    graph = Graph.of(
        [
            Node(id="input", kind="input", config={"fields": ports}),
            *(Node(id=name, kind="lm", config={"lm": PROFILE}) for name in names),
            Node(id="output", kind="output", config={"fields": texts}),
        ],
        [edge for number, name in enumerate(names) for edge in _edges(name, number)],
        name="Paced",
    )
    # In rows that fit into the window at a zoom at which nodes show what they write.
    places = {
        node: Position(x=at % 7 * 290, y=at // 7 * 200) for at, node in enumerate(graph.nodes)
    }
    return replace(graph, layout=places)


def _edges(name: str, number: int) -> tuple[Edge, Edge]:
    return (
        Edge(source="input", source_port="prompt", target=name, target_port="prompt"),
        Edge(source=name, source_port="text", target="output", target_port=f"text_{number}"),
    )


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        prompt = json.loads(body)["messages"][-1]["content"]
        asked = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", prompt)}
        writer.write(_HEAD)
        await _stream(writer, asked["tokens"], asked.get("pace", 0))
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the asker has left
    finally:
        writer.close()


async def _stream(writer: asyncio.StreamWriter, tokens: int, pace: int) -> None:
    begin = time.monotonic()
    for number in range(tokens):
        if pace:
            await asyncio.sleep(begin + number / pace - time.monotonic())
        _write(writer, {"content": f"t{int(time.time() * 1000) % CYCLE:08}.{number:04} "})
    await writer.drain()
    await asyncio.sleep(HOLD)
    _write(writer, {"content": "end."}, finish="stop")
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


def _write(writer: asyncio.StreamWriter, delta: dict[str, Any], finish: str | None = None) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    line = f"data: {json.dumps({'model': 'paced', 'choices': [choice]})}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(line), line))
