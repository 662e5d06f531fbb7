"""Hostile clients of `[listen]`: each is made to cost a server connections, memory or time, or to be read in two ways."""

import collections
import itertools
import json
import os
import socket
import struct
import threading
import time

WITHIN = 12  # seconds: a request must have come within 5, an answer be gone within 30, and the machine is busy
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
CUT = {"end", "reset"}  # nothing was answered, which is an answer to what is no request


def dial(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), WITHIN)


def answers(connection):
    """The status of each answer up to the connection's end, or how it ended without one."""
    parts, end = [], "end"
    connection.settimeout(WITHIN)
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except TimeoutError:
        end = "goes on"
    except OSError:
        end = "reset"
    lines = b"".join(parts).split(b"HTTP/1.1 ")[1:]
    return "+".join(line[:3].decode(errors="replace") for line in lines) or end


def sends(connection, parts, pause=0):
    """Sends one part after the other, until it is cut off."""
    until = time.monotonic() + WITHIN
    try:
        for part in parts:
            connection.sendall(part)
            # Half of what is sent may be taken by the kernel of a connection that has been ended.
            if pause and select_end(connection, pause):
                return
            if time.monotonic() > until:
                return
    except OSError:
        pass


def select_end(connection, seconds):
    """Waits for so long; whether something came, be it the end."""
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
        return True
    except TimeoutError:
        return False


def exchange(address, parts, pause=0):
    with dial(address) as connection:
        sends(connection, parts, pause)
        return answers(connection)


def bytewise(first):
    """These bytes, and then one a second."""
    def attack(address):
        return exchange(address, itertools.chain([first], itertools.repeat(b"x")), 1)
    return attack


def endless(first):
    def attack(address):
        return exchange(address, itertools.chain([first], itertools.repeat(b"x" * 65536)))
    return attack


def shapes(*requests):
    """One of these after the other."""
    turn = itertools.cycle(requests)
    return lambda address: exchange(address, [next(turn)])


def smuggled(headers, body=b""):
    """Two readers may see one request here, or two: with `/metrics` as the second one."""
    return b"POST /push/job HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body + METRICS + b"\r\n"


def asked(path, method=b"GET", headers=b""):
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"


def half_open(address):
    """Sends nothing, or a half and the end of it."""
    with dial(address) as connection:
        if os.urandom(1)[0] % 2:
            connection.sendall(METRICS)
            connection.shutdown(socket.SHUT_WR)
        return answers(connection)


def kept(address):
    """Keeps a connection that has been answered."""
    with dial(address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(4096)
        time.sleep(WITHIN)
        return "200"


def unread(address):
    """Asks, and reads nothing of it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(WITHIN)
        host, port = address.split(":")
        connection.connect((host, int(port)))
        connection.sendall(METRICS + b"\r\n")
        time.sleep(WITHIN)
        return "end"


def flood(address):
    """A hundred connections at once; some ask, and all are gone at once."""
    connections = []
    try:
        for number in range(100):
            connection = dial(address)
            connections.append(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 3 == 0:
                connection.sendall(METRICS + b"\r\n")
    finally:
        for connection in connections:
            connection.close()
    return "end"


# Kind: (what it does, at once, seconds between two, the answers that are wanted, one of which it must get)
HOSTILE = {
    "head, a byte a second": (bytewise(METRICS + b"X: "), 6, 0, CUT),
    "body, a byte a second": (bytewise(b"POST /push/job HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n"), 4, 0, CUT),
    "nothing, or half a head": (half_open, 6, 0, CUT),
    "idle after an answer": (kept, 4, 0, {"200"}),
    "answer not read": (unread, 4, 0, CUT),
    "10,000 connections": (flood, 1, 0.5, CUT),
    "endless head": (endless(METRICS + b"X: "), 2, 0.1, {"431"}),
    "huge head": (shapes(METRICS + b"X: " + b"y" * 9000 + b"\r\n\r\n", METRICS + b"X: y\r\n" * 500 + b"\r\n",
                         b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\n\r\n"), 1, 0.1, {"431"}),
    "endless body": (endless(b"POST /push/job HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n"), 2, 0.1, {"413"}),
    "50 requests at once": (shapes(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50), 1, 0.1, {"200"}),
    "two lengths, chunks, folded lines": (shapes(
        smuggled(b"Content-Length: 4\r\nContent-Length: 0\r\n", b"abcd"),
        smuggled(b"Content-Length: 0, 4\r\n"), smuggled(b"Content-Length: +4\r\n", b"abcd"),
        smuggled(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        smuggled(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        smuggled(b"Transfer-Encoding: x\r\n chunked\r\n", b"0\r\n\r\n"),
        smuggled(b"X: y\r\n\tContent-Length: 4\r\n", b"abcd"), smuggled(b"Content-Length : 4\r\n", b"abcd"),
        smuggled(b"X: y\nContent-Length: 4\r\n", b"abcd"), smuggled(b"X: y\rContent-Length: 4\r\n", b"abcd"),
        smuggled(b"Host: y\r\n"), smuggled(b"X: \0\r\n"),
        b"GET /metrics HTTP/1.1\nHost: x\n\r\n\r\n"), 2, 0.05, {"400"}),
    "HTTP/0.9, HTTP/2, no host": (shapes(
        b"GET /metrics\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\nHost: x\r\n\r\n", b"\r\n\r\n\r\n"), 1, 0.1, {"400"}),
    "TLS": (lambda address: exchange(address, [b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(506)]), 2, 0, CUT),
    "path tricks": (shapes(*map(asked, (
        b"//metrics", b"/./metrics", b"/x/../metrics", b"/%2e%2e/metrics", b"/metrics%00", b"/metrics/", b"/Metrics",
        b"/%6detrics", b"/metrics;x", b"http://x/metrics", b"*", b"/push/..%2fmetrics", b"/push//job", b"/.env"))), 1, 0.05, {"404"}),
    "wrong tokens": (shapes(*(asked(b"/push/job?token=" + token, b"POST") for token in
                              (b"", b"x", b"x" * 4000, b"%00", b"x&token=y"))), 1, 0.05, {"404"}),
    "wrong methods": (shapes(*(asked(b"/metrics", method) for method in
                               (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"get"))), 1, 0.05, {"405"}),
    "ranges": (shapes(asked(b"/healthz", headers=b"Range: bytes=0-0,1-1,0-,-1\r\n")), 1, 0.05, {"200"}),
}


def attack(address, book):
    """Attacks for ever, with every kind at once. A line of `book` for each: its kind and what was answered."""
    file = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def again_and_again(kind, what, pause):
        while True:
            try:
                outcome = what(address)
            except TimeoutError:
                outcome = "no place"
            except OSError:
                outcome = "reset"
            os.write(file, json.dumps([kind, outcome]).encode() + b"\n")
            time.sleep(pause)

    for kind, (what, at_once, pause, _) in HOSTILE.items():
        for _ in range(at_once):
            threading.Thread(target=again_and_again, args=(kind, what, pause), daemon=True).start()
    return True


def outcomes(book):
    """Kind: how often each was the answer."""
    found = collections.defaultdict(collections.Counter)
    for line in book.read_text().splitlines():
        kind, outcome = json.loads(line)
        found[kind][outcome] += 1
    return found


def use(address, token, book):
    """A good client: a scrape and a report every second, for ever. A line of `book` for each: which, and the milliseconds."""
    file = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def again_and_again(what, request):
        while True:
            began = time.monotonic()
            try:
                answered = exchange(address, [request]) == "200"
            except OSError:
                answered = False
            took = 1000 * (time.monotonic() - began)
            os.write(file, json.dumps([what, took if answered else None]).encode() + b"\n")
            time.sleep(1)

    for what, request in (("scrapes", asked(b"/metrics")), ("reports", asked(b"/push/job?token=" + token.encode(), b"POST"))):
        threading.Thread(target=again_and_again, args=(what, request), daemon=True).start()
    return True
