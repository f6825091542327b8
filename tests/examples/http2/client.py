# Uses the conformance program over HTTP/2: `client.py PART URI`. Prints `done` at the end.

import asyncio
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import httpx

MIB = 1024 * 1024


def client(kind, uri):
    # Without HTTP/1, httpx starts with the preface.
    return kind(base_url=uri, http2=True, http1=uri.startswith("https"), verify=False, timeout=20)


def expect(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def routes(uri):
    with client(httpx.Client, uri) as http:
        def check(method, path, status, body, **more):
            response = http.request(method, path, **more)
            expect(response.http_version, "HTTP/2")
            expect((response.status_code, response.content), (status, body))
            return response

        for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"]:
            check(method, "/", 200, b"")
        check("POST", "/", 200, b"body", content=b"body")
        check("POST", "/echo", 200, b"body", content=b"body")
        expect(check("GET", "/hello", 200, b"hello world\n").headers["content-length"], "12")
        expect(check("HEAD", "/hello", 200, b"").headers["content-length"], "12")
        check("POST", "/slow", 200, b"hello world\n", content=b"body")
        pieces = b"".join(b"chunk-%d\n" % n for n in range(10))
        assert "content-length" not in check("GET", "/stream", 200, pieces).headers
        check("HEAD", "/stream", 200, b"")
        check("GET", "/big", 200, b"x" * MIB)
        check("HEAD", "/big", 200, b"")
        check("GET", "/empty", 204, b"")
        expect(check("GET", "/notmodified", 304, b"").headers["etag"], '"v1"')
        check("GET", "/header", 200, b"a, b", headers=[("x-probe", "a"), ("x-probe", "b")])
        check("GET", "/host", 200, b"a.example", headers={"host": "a.example"})
        check("GET", "/cookie", 200, b"a=b; c=d", headers=[("cookie", "a=b"), ("cookie", "c=d")])
        check("GET", "/trailers", 200, b"trailers\n")
        expect(check("GET", "/set-header?v=a%20b", 200, b"").headers["x-echo"], "a b")
        assert check("GET", "/redirect?v=%2Fb", 302, b"").headers["location"].endswith("/b")
        expect(http.get("/nothing").status_code, 404)
        expect(http.get("/echo").status_code, 405)
        expect(http.request("OPTIONS", "/hello").http_version, "HTTP/2")
        body = bytes(range(251)) * (MIB // 251)
        check("POST", "/echo", 200, body, content=body)
        # Without an announced length.
        expect(http.post("/echo", content=b"x" * (4 * MIB)).status_code, 413)
        check("POST", "/echo", 200, body, content=(body[at:at + 5000] for at in range(0, len(body), 5000)))


async def parallel_requests(uri):
    async with client(httpx.AsyncClient, uri) as http:
        begin = time.monotonic()
        responses = await asyncio.gather(*(http.get("/slow") for _ in range(100)))
        assert time.monotonic() - begin < 8
        for response in responses:
            expect((response.http_version, response.text), ("HTTP/2", "hello world\n"))
        bodies = [bytes([n]) * (n * 1000) for n in range(50)]
        responses = await asyncio.gather(*(http.post("/echo", content=body) for body in bodies))
        for body, response in zip(bodies, responses):
            expect(response.content, body)
        expect((await http.get("/hello")).text, "hello world\n")


class Frames:
    def __init__(self, uri):
        parts = urlsplit(uri)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=20)
        if parts.scheme == "https":
            context = ssl._create_unverified_context()
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            expect(self.socket.selected_alpn_protocol(), "h2")
        self.scheme = parts.scheme
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.events = []
        self.ended = False
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, method, path, more=(), end=True):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", self.scheme), (":path", path), (":authority", "a.example")]
        self.h2.send_headers(stream, head + list(more), end_stream=end)
        self.flush()
        return stream

    def send(self, stream, body):
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self.receive()
                continue
            self.h2.send_data(stream, body[:room])
            body = body[room:]
            self.flush()
        self.h2.end_stream(stream)
        self.flush()

    def receive(self):
        data = self.socket.recv(65536)
        self.ended = not data
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.events.append(event)
        self.flush()

    # Returns the next event of a kind, of a stream.
    def wait(self, kind, stream=None):
        while True:
            for event in self.events:
                if isinstance(event, kind) and (stream is None or event.stream_id == stream):
                    self.events.remove(event)
                    return event
            assert not self.ended, self.events
            self.receive()

    def response(self, stream):
        self.wait(h2.events.StreamEnded, stream)
        mine = [event for event in self.events if getattr(event, "stream_id", None) == stream]
        self.events = [event for event in self.events if event not in mine]
        of = lambda kind: [event for event in mine if isinstance(event, kind)]
        headers = dict(of(h2.events.ResponseReceived)[0].headers)
        body = b"".join(event.data for event in of(h2.events.DataReceived))
        trailers = [event.headers for event in of(h2.events.TrailersReceived)]
        return headers, body, trailers


def frames(uri):
    conn = Frames(uri)
    headers, body, trailers = conn.response(conn.request("GET", "/trailers", [("te", "trailers")]))
    expect((headers[":status"], body, trailers), ("200", b"trailers\n", [[("x-trailer", "done")]]))

    stream = conn.request("POST", "/echo", [("expect", "100-continue")], end=False)
    expect(conn.wait(h2.events.InformationalResponseReceived, stream).headers, [(":status", "100")])
    body = bytes(range(256)) * 4096
    conn.send(stream, body)
    assert conn.response(stream)[1] == body

    # The response arrives before the end of the upload.
    stream = conn.request("POST", "/echo", [("content-length", str(4 * MIB))], end=False)
    conn.h2.send_data(stream, b"x" * 10000)
    conn.flush()
    expect(conn.response(stream)[0][":status"], "413")
    expect(conn.wait(h2.events.StreamReset, stream).error_code, h2.errors.ErrorCodes.NO_ERROR)

    # The request ends with trailers.
    stream = conn.request("POST", "/echo", end=False)
    conn.h2.send_data(stream, b"body")
    conn.h2.send_headers(stream, [("x-trailer", "done")], end_stream=True)
    conn.flush()
    expect(conn.response(stream)[1], b"body")

    # A response that waits for windows, and is reset.
    stream = conn.request("GET", "/big")
    conn.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
    conn.flush()
    streams = [conn.request("GET", "/slow") for _ in range(100)]
    for stream in streams:
        expect(conn.response(stream)[1], b"hello world\n")

    conn.h2.ping(b"12345678")
    conn.flush()
    expect(conn.wait(h2.events.PingAckReceived).ping_data, b"12345678")

    # A request is answered after the client announced the end of the connection.
    stream = conn.request("GET", "/slow")
    conn.h2.close_connection()
    conn.flush()
    data = b""
    while b"hello world\n" not in data:
        piece = conn.socket.recv(65536)
        assert piece, data
        data += piece


part, uri = sys.argv[1:]
match part:
    case "routes":
        routes(uri)
    case "parallel":
        asyncio.run(parallel_requests(uri))
    case "frames":
        frames(uri)
print("done")
