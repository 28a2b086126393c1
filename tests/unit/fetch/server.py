"""A web server that misbehaves on request, on loopback, with and without TLS."""

import asyncio
import ssl
from contextlib import asynccontextmanager

from certipy import Certipy

from cernvmcontroller.tasks import end


class Server:
    """Answers each path with what `paths` has for it: bytes of a whole response, or a coroutine function."""

    def __init__(self):
        self.paths = {}
        self.requests = []
        self.port = 0
        self._serving = set()

    def page(self, path, body=b"", status="200 OK", **headers):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.paths[path] = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def redirect(self, path, to, status="302 Found"):
        self.page(path, status=status, Location=to)

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
            }
            path = first.split()[1]
            self.requests.append((path, headers))
            answer = self.paths[path]
            if callable(answer):
                await answer(writer, headers)
            else:
                writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._serving.discard(asyncio.current_task())

    @asynccontextmanager
    async def run(self, context=None, host="127.0.0.1"):
        server = await asyncio.start_server(self._serve, host, 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await end(self._serving)

    def etag(self, path, body, tag='"v1"'):
        """Serve a page as a server does that knows its versions."""

        async def answer(writer, headers):
            fresh = f"ETag: {tag}\r\nLast-Modified: Fri, 04 Apr 2008 18:13:17 GMT\r\nConnection: close\r\n"
            if headers.get("if-none-match") == tag:
                writer.write(f"HTTP/1.1 304 Not Modified\r\n{fresh}\r\n".encode())
            else:
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{fresh}\r\n".encode() + body)

        self.paths[path] = answer

    def file(self, path, body, *, breaks=(), tag='"v1"', ranges=True):
        """Serve a file in parts where asked to; break off after so many bytes, once for each of `breaks`."""
        left = list(breaks)

        async def answer(writer, headers):
            start = 0
            if ranges and headers.get("if-range") == tag:
                start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            head = f"ETag: {tag}\r\nConnection: close\r\nContent-Length: {len(body) - start}\r\n"
            if start:
                head = (
                    f"206 Partial Content\r\nContent-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n"
                    + head
                )
            else:
                head = f"200 OK\r\n{head}"
            end = start + left.pop(0) if left else len(body)
            writer.write(f"HTTP/1.1 {head}\r\n".encode() + body[start:end])

        self.paths[path] = answer


def tls(folder, *names):
    """Return the contexts of a server with a certificate for these names, and of clients that trust it."""
    made = Certipy(store_dir=str(folder))
    made.create_ca("ca")
    record = made.create_signed_pair("server", "ca", alt_names=[f"DNS:{name}" for name in names])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(record["files"]["cert"], record["files"]["key"])
    client = ssl.create_default_context(cafile=made.store.get_record("ca")["files"]["cert"])
    return server, client
