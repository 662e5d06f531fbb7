"""Servers on the loopback that are good, broken in one way each, or hostile."""

import fcntl
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

from farm import die

HERE = "127.0.0.1"


class Tcp:
    """Hands every connection to `script` in a thread of its own."""

    def __init__(self, script, address=HERE, port=0):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self.at = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self._script = script
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(30)
        try:
            self._script(connection)
        except OSError:
            pass  # the other side has had enough
        finally:
            connection.close()


def refusing():
    """A port without a listener: taken, so that no other process listens."""
    taken = socket.socket()
    taken.bind((HERE, 0))
    _kept.append(taken)
    return taken.getsockname()[1]


_kept = []


# --- what a connection may be met with -----------------------------------------

def wait(connection):
    """Until the other side goes."""
    while connection.recv(4096):
        pass


def say(*texts, then=wait):
    def script(connection):
        for text in texts:
            connection.sendall(text)
        then(connection)
    return script


def close(_):
    pass


def drip(text, pause):
    """One byte at a time, and then silence."""
    def script(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(pause)
        wait(connection)
    return script


def flood(chunk, total):
    def script(connection):
        for _ in range(total // len(chunk)):
            connection.sendall(chunk)
        wait(connection)
    return script


def answer_to(wanted, text, greeting=b""):
    def script(connection):
        connection.sendall(greeting)
        if connection.recv(len(wanted), socket.MSG_WAITALL) == wanted:
            connection.sendall(text)
        wait(connection)
    return script


# --- HTTP ---------------------------------------------------------------------

def head(connection):
    """The head of a request."""
    text = b""
    while b"\r\n\r\n" not in text:
        more = connection.recv(4096)
        if not more:
            raise ConnectionError
        text += more
    return text


def http(status="200 OK", body=b"welcome\n", headers=(), length=None, then=close):
    """One answer. `length`: what is claimed; `then`: what comes after the body, whatever it is."""
    length = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *headers]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def script(connection):
        head(connection)
        connection.sendall(answer)
        then(connection)
    return script


def after_head(script):
    def wrapped(connection):
        head(connection)
        script(connection)
    return wrapped


def only_with(line):
    """200 for those whose request has this line, 401 for others."""
    def wrapped(connection):
        request = head(connection)
        good = line.lower() in request.lower()
        connection.sendall(b"HTTP/1.1 " + (b"200 OK" if good else b"401 Unauthorized")
                           + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    return wrapped


def until_cookie():
    """Sets a cookie and redirects to itself until the cookie comes back."""
    def wrapped(connection):
        good = b"cookie: seen=1" in head(connection).lower()
        connection.sendall(b"HTTP/1.1 " + (b"200 OK" if good else b"302 Found\r\nLocation: /\r\nSet-Cookie: seen=1")
                           + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    return wrapped


# --- TLS ----------------------------------------------------------------------

def tls(context, script):
    """`script` under TLS."""
    def wrapped(connection):
        secure = context.wrap_socket(connection, server_side=True)
        try:
            script(secure)
        finally:
            secure.close()
    return wrapped


def goodbye(connection):
    """An end as TLS has it, with a word before."""
    connection.unwrap()


def garbage_after_hello(context, then=say(b"x" * 4096)):
    """The server's hello, and then what is no TLS."""
    def script(connection):
        come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(come, go, server_side=True)
        while not go.pending:
            come.write(connection.recv(4096))
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                pass
        flight = go.read()
        # A type, a version and a length come before the first record's bytes.
        connection.sendall(flight[:5 + int.from_bytes(flight[3:5], "big")])
        then(connection)
    return script


def starttls(dialogue, context, greeting, then, beside=()):
    """Says `greeting`, answers the lines of `dialogue`, and goes on under TLS; lines `beside` may come at any time."""
    def script(connection):
        connection.sendall(greeting)
        left = list(dialogue)
        while left:
            line = b""
            while not line.endswith(b"\n"):
                byte = connection.recv(1)
                if not byte:
                    return
                line += byte
            answers = [text for wanted, text in beside if wanted in line.upper()]
            if not answers:
                wanted, text = left.pop(0)
                if wanted not in line.upper():
                    return
                answers = [text]
            connection.sendall(answers[0].replace(b"TAG", line.split()[0]))
        tls(context, then)(connection)
    return script


class Authority:
    """Certificates, made with the openssl command."""

    CONFIG = """[ca]
default_ca = d
[d]
database = {dir}/index
new_certs_dir = {dir}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = p
[p]
commonName = supplied
"""

    def __init__(self, directory):
        self._dir = directory
        directory.mkdir()
        (directory / "index").write_text("")
        (directory / "config").write_text(self.CONFIG.format(dir=directory))
        self.pem = self._root("ca", "verdicts CA")
        self._root("stranger", "nobody's CA")

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=self._dir, capture_output=True, text=True)
        if done.returncode != 0:
            die("openssl: " + done.stderr)

    def _root(self, name, title):
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={title}", "-days", 3650)
        return self._dir / f"{name}.pem"

    def _key(self, key):
        path = self._dir / f"{key.replace(':', '-')}.key"
        if not path.exists():
            kind, size = key.split(":")
            option = "ec_paramgen_curve:" if kind == "EC" else "rsa_keygen_bits:"
            self._openssl("genpkey", "-algorithm", kind, "-pkeyopt", option + size, "-out", path)
        return path

    def _signed(self, name, subject, extensions, days, by, key):
        """A certificate that holds from and until so many days from now."""
        stamp = ["{:%Y%m%d%H%M%SZ}".format(_day(day)) for day in days]
        (self._dir / "extensions").write_text(extensions)
        self._openssl("req", "-new", "-key", key, "-subj", f"/CN={subject}", "-out", "request")
        self._openssl("ca", "-batch", "-notext", "-config", "config", "-cert", f"{by}.pem", "-keyfile", f"{by}.key",
                      "-startdate", stamp[0], "-enddate", stamp[1], "-extfile", "extensions", "-in", "request",
                      "-out", f"{name}.pem")

    def context(self, name, names="IP:127.0.0.1", days=(-30, 60), usage="serverAuth", by="ca", key="EC:P-256",
                authorities=0, minimum=None, maximum=None):
        """A server's side with a certificate of its own behind so many authorities."""
        chain = []
        for number in range(authorities):
            link = f"{name}-{number}"
            shared = self._key("EC:P-256")
            self._signed(link, f"authority {number}", "basicConstraints=critical,CA:true\n", days, by, shared)
            (self._dir / f"{link}.key").write_bytes(shared.read_bytes())
            chain.insert(0, link)
            by = link
        names = f"subjectAltName={names}\n" if names else ""
        extensions = f"{names}basicConstraints=CA:false\nextendedKeyUsage={usage}\n"
        if by:
            self._signed(name, HERE, extensions, days, by, self._key(key))
        else:
            self._openssl("req", "-x509", "-key", self._key(key), "-subj", f"/CN={HERE}", "-addext",
                          "subjectAltName=IP:127.0.0.1", "-days", 60, "-out", f"{name}.pem")
        path = self._dir / f"{name}-chain.pem"
        path.write_bytes(b"".join((self._dir / f"{link}.pem").read_bytes() for link in [name, *chain]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if maximum:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version, context.maximum_version = minimum, maximum
        elif key == "RSA:1024":
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(path, self._key(key))
        return context


def _day(day):
    from datetime import datetime, timedelta, timezone
    return datetime.now(timezone.utc) + timedelta(days=day)


# --- DNS ----------------------------------------------------------------------

KINDS = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "CAA": 257}


def dns_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def question_end(query):
    return query.index(b"\0", 12) + 5


def reply(query, records=(), code=0, truncated=False):
    """An answer to `query`: `records` are (kind, data), owned by what was asked for, or (kind, data, owner)."""
    flags = 0x8180 | code | (0x200 if truncated else 0)
    message = query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + query[12:question_end(query)]
    for kind, data, *owner in records:
        message += owner[0] if owner else b"\xc0\x0c"
        message += struct.pack(">HHIH", KINDS[kind], 1, 60, len(data)) + data
    return message


class Dns:
    """`over_udp` makes the datagrams that answer a query, `over_tcp` the bytes of the connection."""

    def __init__(self, over_udp, over_tcp=None, port=0):
        while True:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((HERE, port))
            self.port = self._socket.getsockname()[1]
            if over_tcp is None:
                break
            try:
                Tcp(self._tcp(over_tcp), port=self.port)
                break
            except OSError:
                self._socket.close()  # another process has that port for TCP
        self.at = f"{HERE}:{self.port}"
        self._script = over_udp
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, sender = self._socket.recvfrom(4096)
            for message in self._script(query):
                self._socket.sendto(message, sender)

    @staticmethod
    def _tcp(script):
        def serve(connection):
            length = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
            connection.sendall(script(connection.recv(length, socket.MSG_WAITALL)))
        return serve


def framed(message):
    return struct.pack(">H", len(message)) + message


class Names:
    """The resolver of this namespace: A and AAAA of the names it is given, no other name.

    A name without IPv6 that begins with `silent` has no answer to the question for it.
    """

    def __init__(self, names):
        def script(query):
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = int.from_bytes(query[at + 1:at + 3], "big")
            addresses = names.get(".".join(labels).lower())
            if addresses is None:
                return [reply(query, code=3)]
            if kind == 28 and labels[0].startswith("silent"):
                return []
            families = {1: ("A", socket.AF_INET, "."), 28: ("AAAA", socket.AF_INET6, ":")}
            word, family, mark = families.get(kind, ("A", socket.AF_INET, "-"))
            return [reply(query, [(word, socket.inet_pton(family, a)) for a in addresses if mark in a])]
        Dns(script, port=53)


# --- ICMP ---------------------------------------------------------------------

class Pings:
    """Hosts behind a tunnel of our own that answer echo requests as their scripts say.

    A script gets a host's packet number and the echo request, and gives the ICMP messages that come back.
    """

    TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000

    def __init__(self, scripts):
        self._scripts = scripts
        self._file = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self._file, self.TUNSETIFF,
                    struct.pack("16sH", b"pings", self.IFF_TUN | self.IFF_NO_PI))
        for command in (["ip", "addr", "add", "10.9.0.1/24", "dev", "pings"], ["ip", "link", "set", "pings", "up"]):
            subprocess.run(command, check=True)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        counts = {}
        while True:
            packet = os.read(self._file, 2048)
            if packet[0] >> 4 != 4 or packet[9] != 1 or packet[20] != 8:
                continue
            host = packet[19]
            # By the identifier: every prober's packets are counted apart.
            key = (host, packet[24:26])
            counts[key] = counts.get(key, 0) + 1
            for message in self._scripts.get(host, lambda *_: [])(counts[key], packet):
                header = packet[:2] + struct.pack(">H", 20 + len(message)) + b"\0\0\0\0\x40\x01\0\0"
                header += packet[16:20] + packet[12:16]
                header = header[:10] + checksum(header) + header[12:]
                os.write(self._file, header + message)


def checksum(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def icmp(kind, code, rest):
    message = struct.pack(">BBH", kind, code, 0) + rest
    return message[:2] + checksum(message) + message[4:]


def echo(packet):
    return icmp(0, 0, packet[24:])


def echo_of_another(packet):
    other = bytes([packet[24] ^ 0x55, packet[25] ^ 0x55])
    return icmp(0, 0, other + packet[26:])


def unreachable(code):
    return lambda _, packet: [icmp(3, code, b"\0\0\0\0" + packet[:28])]
