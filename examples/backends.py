#!/usr/bin/env python3
"""Small HTTP servers that stand in for the workloads of examples/bookshop, all in one process.

  backends.py [--port PORT] [NAME=ADDRESS...]

Without names: those of the bookshop, on port 9080. Any address of 127.0.0.0/8 works on Linux without setting it up.
Every request is answered with JSON: which backend it was, and what it saw (method, path, host, headers). Part of the query:

  sleep=SECONDS   the answer comes so much later
  fail=N&key=KEY  the first N requests with this KEY are answered with 503
  key=KEY         /_seen?key=KEY, asked of a backend directly, tells how many requests with this KEY it got and the last one's
                  path and host

Prints "ready" when all listen, and runs until it gets SIGINT or SIGTERM.
"""
import argparse, asyncio, json, signal, urllib.parse

BOOKSHOP = {
    "shop-v1": "127.0.1.1",
    "reviews-v1": "127.0.1.11",
    "reviews-v2": "127.0.1.12",
    "ratings-v1": "127.0.1.21",
    "orders-v1": "127.0.1.31",
    "audit-v1": "127.0.1.41",
}
HEAD_MAX = 64 * 1024  # bytes of a request's head
KEYS_MAX = 100_000  # keys remembered by a backend


class Backend:
    def __init__(self, name):
        self.name = name
        self.seen = {}  # KEY: [count, path, host]

    def answer(self, method, target, headers):
        """Status, JSON and delay."""
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        key = query.get("key", "")
        if url.path == "/_seen":
            count, path, host = self.seen.get(key, (0, "", ""))
            return 200, {"backend": self.name, "count": count, "path": path, "host": host}, 0
        if key and (key in self.seen or len(self.seen) < KEYS_MAX):
            count = self.seen.get(key, (0,))[0] + 1
            self.seen[key] = (count, url.path, headers.get("host", ""))
            if count <= int(query.get("fail", 0)):
                return 503, {"backend": self.name, "failed": count}, 0
        seen = {"backend": self.name, "method": method, "path": url.path, "host": headers.get("host", ""),
                "headers": headers}
        return 200, seen, float(query.get("sleep", 0))

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the peer went away, or does not speak HTTP
        finally:
            writer.close()

    async def one(self, reader, writer):
        """One request; true if the connection stays."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await reader.readexactly(size + 2)
            await reader.readuntil(b"\r\n")
        elif length := int(headers.get("content-length", 0)):
            await reader.readexactly(length)
        status, seen, delay = self.answer(method, target, headers)
        if delay:
            await asyncio.sleep(delay)
        body = json.dumps(seen).encode() + b"\n"
        writer.write(b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nx-backend: %s\r\ncontent-length: %d\r\n\r\n"
                     % (status, b"OK" if status == 200 else b"Unavailable", self.name.encode(), len(body)))
        writer.write(body)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


async def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--port", type=int, default=9080)
    ap.add_argument("backends", nargs="*", metavar="NAME=ADDRESS")
    a = ap.parse_args()
    stop = asyncio.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(s, stop.set)
    servers = []
    for name, address in (b.split("=", 1) for b in a.backends) if a.backends else BOOKSHOP.items():
        servers.append(await asyncio.start_server(Backend(name).serve, address, a.port, limit=HEAD_MAX))
        if not a.backends:
            print(f"{name} on {address}:{a.port}")
    print("ready", flush=True)
    await stop.wait()
    for s in servers:
        s.close()


asyncio.run(main())
