"""Ten good servers, and hostile ones: each is made to cost a client memory, time or traffic for ever."""

import gzip
import itertools
import json
import os
import select
import socket
import struct
import sys
import threading
import time
import zlib

import servers
from servers import Dns, Tcp, wait

MIB = 1 << 20
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
LAST, CHUNKED, ZIPPED = b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n"


class Book:
    """A line for each request: when it came, to which site, and 0; and what a hostile one was sent, when it ended."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, name, sent=0):
        os.write(self._file, f"{time.monotonic():.3f} {name} {sent}\n".encode())

    def of_requests(self, name, script):
        """Each request of a connection that `head` reads."""
        def noted(connection):
            _here.arrived = lambda: self.note(name)
            script(connection)
        return noted

    def of_calls(self, name, script):
        """Each connection or datagram."""
        def noted(what):
            self.note(name)
            return script(what)
        return noted

    def of_connections(self, name, script):
        """Each connection, and when it has ended the bytes that the other side has taken."""
        def noted(connection):
            self.note(name)
            with connection.dup() as same:
                try:
                    script(connection)
                finally:
                    # struct tcp_info of linux/tcp.h: tcpi_bytes_acked.
                    info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
                    self.note(name, int.from_bytes(info[120:128], sys.byteorder))
        return noted


_here = threading.local()


def head(connection):
    servers.head(connection)
    getattr(_here, "arrived", lambda: None)()


def chunk(data, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def sized(body, headers=b""):
    return PAGE + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answers(text, pause=0, once=False):
    """The same answer to every request of a connection that is kept, or to its only one."""
    def script(connection):
        while True:
            head(connection)
            time.sleep(pause)
            connection.sendall(text)
            if once:
                return
    return script


def for_ever(text, first=b""):
    """After a request: `first`, and then `text` again and again until the client has had enough."""
    def script(connection):
        head(connection)
        connection.sendall(first)
        again_and_again(text)(connection)
    return script


def again_and_again(text):
    def script(connection):
        while True:
            connection.sendall(text)
    return script


# --- good ---------------------------------------------------------------------

def good(authority):
    """Name: (scheme, keys of the site, script)."""
    page = b"<!doctype html><title>up</title>" + b"<p>All is well.</p>\n" * 200
    record = {"id": 1, "name": "a record like any other", "tags": ["x", "y"]}
    items = [record] * (200_000 // len(json.dumps(record)))
    pieces = b"".join(chunk(page[at:at + 500], b";part=%d" % at) for at in range(0, len(page), 500))
    chunked = PAGE + CHUNKED + b"\r\n" + pieces + b"0\r\n\r\n"
    text = {"body": "All is well"}
    return {
        "good-http": ("http", text, answers(sized(page, LAST), once=True)),
        "good-gzip": ("http", text, answers(sized(gzip.compress(page), ZIPPED))),
        "good-chunked": ("http", text, answers(chunked)),
        "good-keep-alive": ("http", text, answers(sized(page))),
        "good-https": ("https", {**text, "ca_file": str(authority.pem)},
                       servers.tls(authority.context("good"), answers(sized(page, LAST), once=True))),
        "good-tcp": ("tcp", {"expect": "220 "}, servers.say(b"220 ready\r\n")),
        "good-dns": ("dns", {"expect": "192.0.2.1"}, lambda query: [servers.reply(query, [("A", b"\xc0\0\2\1")])]),
        "good-2-mib": ("http", {}, answers(sized(page[:1024] * 2048))),
        "good-json": ("http", {"json": ["status == ok"]},
                      answers(sized(json.dumps({"items": items, "status": "ok"}).encode()))),
        "good-slow": ("http", text, answers(sized(page), pause=0.5)),
    }


def open_good(book, authority):
    """Name: (address, keys) of each, now that they answer."""
    sites = {}
    for name, (scheme, keys, script) in good(authority).items():
        noted = (book.of_requests if scheme.startswith("http") else book.of_calls)(name, script)
        sites[name] = (address(scheme, Dns(noted).at if scheme == "dns" else Tcp(noted).at), keys)
    return sites


def open_hostile(book, authority, names):
    """Likewise; `names` are (name of the site, kind)."""
    sites = {}
    for name, kind in names:
        scheme, keys, make = HOSTILE[kind]
        script = make(authority)
        if scheme == "dns":
            at = Dns(book.of_calls(name, script[0]), script[1]).at
        else:
            at = Tcp(book.of_connections(name, script)).at
        if "login" in keys:
            login = keys["login"]
            keys = {"login": {**login, **{key: f"http://{at}{login[key]}" for key in ("url", "page")}}}
        sites[name] = (address(scheme, at), keys)
    return sites


def address(scheme, at):
    return f"{scheme}://{at}" + ("/www.example.org" if scheme == "dns" else "")


# --- hostile: HTTP/1.1 --------------------------------------------------------------------

def zeros():
    """How zeros in gzip begin, and a MiB of them to go on with: a full flush forgets what was before."""
    deflate = zlib.compressobj(9, wbits=-15)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff", deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)


def gzip_thrice(_):
    """A GiB of zeros in a few hundred bytes."""
    start, mib = zeros()
    check = 0
    for _ in range(1024):
        check = zlib.crc32(bytes(MIB), check)
    once = start + 1024 * mib + b"\x03\0" + struct.pack("<II", check, 1024 * MIB)
    return answers(sized(gzip.compress(gzip.compress(once)), ZIPPED[:-2] + b", gzip, gzip\r\n" + LAST), once=True)


def gzip_bomb(_):
    start, mib = zeros()
    return for_ever(64 * mib, first=PAGE + LAST + ZIPPED + b"\r\n" + start)


def empty_blocks(_):
    # RFC 1951, section 3.2.4: a stored block of no bytes.
    block = chunk(b"\0\0\0\xff\xff" * 3000)
    start = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    return for_ever(block, first=PAGE + ZIPPED + CHUNKED + b"\r\n" + chunk(start))


def chunk_extensions(_):
    return for_ever(chunk(b"x", b";" + b"a" * 65_000), first=PAGE + CHUNKED + b"\r\n")


def trailers(_):
    lines = b"".join(b"X-Trailer-%d: %s\r\n" % (number, b"a" * 50) for number in range(1000))
    return for_ever(lines, first=PAGE + CHUNKED + b"\r\n" + chunk(b"hello") + b"0\r\n")


def headers(_):
    """A million, and more."""
    return for_ever(b"".join(b"X-%d: a\r\n" % number for number in range(4000)), first=b"HTTP/1.1 200 OK\r\n")


def headers_below_limit(_):
    """libcurl takes 300 KB."""
    lines = b"".join(b"X-Header-%05d: %s\r\n" % (number, b"a" * 40) for number in range(4500))
    return answers(sized(b"ok", lines + LAST), once=True)


def interim(_):
    return for_ever(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 500)


def drip(_):
    def script(connection):
        head(connection)
        connection.sendall(PAGE + b"Content-Length: 1000000000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)
    return script


def json_hang(_):
    body = b'{"status": "ok", "items": [' + b"[0]," * (MIB // 4)
    return servers.http(body=body[:MIB - 1], length=MIB, then=wait)


def login_page(_):
    field = b'<input type="hidden" name="field" value="' + b"v" * 900 + b'">\n'
    form = b'<form method="post" action="/in"><input name="user"><input name="password">' + field * 1100
    return answers(sized(form[:MIB - 7] + b"</form>", LAST), once=True)


def redirect_ring(_):
    turns = itertools.count()

    def script(connection):
        while True:
            head(connection)
            where = b"Location: /%d\r\nX: %s\r\n" % (next(turns) % 3, b"a" * 60_000)
            connection.sendall(b"HTTP/1.1 302 Found\r\n" + where + b"Content-Length: 0\r\n\r\n")
    return script


# --- hostile: HTTP/2 (RFC 9113) ---------------------------------------------------------------

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 7, 8, 9
END_HEADERS, PADDED, ACK = 4, 8, 1
OK = b"\x88"  # :status 200 by HPACK's static table


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Http2:
    """The server's side of one request, and as much as its client's windows let it send."""

    def __init__(self, connection):
        self._connection, self._received = connection, b""
        self._windows, self._initial = {0: 65_535}, 65_535
        self._need(24)  # the client's preface
        self._received = self._received[24:]
        self.send(frame(SETTINGS, 0, 0, b""))
        self.stream = None

    def _need(self, count):
        while len(self._received) < count:
            more = self._connection.recv(65_536)
            if not more:
                raise ConnectionError
            self._received += more

    def read(self):
        """One frame of the client's."""
        self._need(9)
        length = int.from_bytes(self._received[:3], "big")
        self._need(9 + length)
        kind, flags, stream = self._received[3], self._received[4], int.from_bytes(self._received[5:9], "big")
        payload, self._received = self._received[9:9 + length], self._received[9 + length:]
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, length, 6):
                if payload[at:at + 2] == b"\0\4":
                    self._initial = int.from_bytes(payload[at + 2:at + 6], "big")
            self.send(frame(SETTINGS, ACK, 0, b""))
        elif kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, self._initial) + int.from_bytes(payload, "big")
        elif kind == HEADERS:
            self.stream = stream
            self._windows.setdefault(stream, self._initial)

    def request(self):
        while self.stream is None:
            self.read()

    def take_what_came(self):
        while self._received or select.select([self._connection], [], [], 0)[0]:
            self.read()

    def send(self, data):
        self._connection.sendall(data)

    def send_data(self, frames, size):
        """Frames of DATA that count `size` together, as soon as the windows have room."""
        self.take_what_came()
        while min(self._windows[0], self._windows[self.stream]) < size:
            self.read()
        for stream in (0, self.stream):
            self._windows[stream] -= size
        self.send(frames)


def http2(script):
    def wrapped(connection):
        script(Http2(connection))
    return wrapped


@http2
def h2_padding(peer):
    peer.request()
    peer.send(frame(HEADERS, END_HEADERS, peer.stream, OK))
    padding = frame(DATA, PADDED, peer.stream, b"\xff" + bytes(255)) * 64
    while True:
        peer.send_data(padding, 64 * 256)


def h2_flood(*frames):
    """A MiB of them before the answer's head, and then for ever."""
    frames = b"".join(frames)

    @http2
    def script(peer):
        peer.request()
        for _ in range(MIB // len(frames)):
            peer.send(frames)
        peer.send(frame(HEADERS, END_HEADERS, peer.stream, OK))
        while True:
            peer.take_what_came()
            peer.send(frames)
    return script


def h2_goaway(_):
    return h2_flood(frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0" + b"a" * 16_000))


def h2_control(_):
    return h2_flood(frame(PING, 0, 0, bytes(8)) * 100, frame(SETTINGS, 0, 0, b"\0\5\0\0\x40\0") * 100)


@http2
def h2_continuation(peer):
    """A head without an end."""
    peer.request()
    field = b"\x00\x01a\x7f\xe1\x07" + b"b" * 1120  # of a name and a value that are written out
    peer.send(frame(HEADERS, 0, peer.stream, OK))
    while True:
        peer.send(frame(CONTINUATION, 0, peer.stream, field * 10))


# --- hostile: what is no HTTP ---------------------------------------------------------------

def tls_garbage(authority):
    return servers.garbage_after_hello(authority.context("garbage"))


def tls_records(authority):
    """After the hello the record that a client drops (RFC 8446, appendix D.4), for ever."""
    return servers.garbage_after_hello(authority.context("records"), again_and_again(b"\x14\x03\x03\0\1\1" * 5000))


def tcp_banner(_):
    return again_and_again(b"220-banner\r\n" * 5000)


def dns_huge(_):
    text = b"\xff" + b"a" * 255

    def records(query, count):
        return servers.reply(query, [("TXT", text)] * count)
    return (lambda query: [records(query, 180)[:65_000]] + [records(query, 200)[:60_000]] * 3,
            lambda query: servers.framed(records(query, 244)[:65_535]))


# Kind: (scheme, keys of the site, what makes the script).
HOSTILE = {
    "gzip-thrice": ("http", {}, gzip_thrice),
    "gzip-bomb": ("http", {}, gzip_bomb),
    "chunk-extensions": ("http", {}, chunk_extensions),
    "empty-blocks": ("http", {}, empty_blocks),
    "h2-padding": ("http", {"http": "2"}, lambda _: h2_padding),
    "h2-goaway": ("http", {"http": "2"}, h2_goaway),
    "headers": ("http", {}, headers),
    "drip": ("http", {}, drip),
    "json-hang": ("http", {"json": ["status == ok"]}, json_hang),
    "login-page": ("http", {"login": {"url": "/in", "page": "/form", "form": {"user": "u", "password": "p"}}},
                   login_page),
    "h2-control": ("http", {"http": "2"}, h2_control),
    "h2-continuation": ("http", {"http": "2"}, lambda _: h2_continuation),
    "headers-below-limit": ("http", {}, headers_below_limit),
    "trailers": ("http", {}, trailers),
    "interim": ("http", {}, interim),
    "redirect-ring": ("http", {}, redirect_ring),
    "tls-garbage": ("https", {}, tls_garbage),
    "tls-records": ("https", {}, tls_records),
    "tcp-banner": ("tcp", {"expect": "hello"}, tcp_banner),
    "dns-huge": ("dns", {"expect": "192.0.2.1"}, dns_huge),
}
