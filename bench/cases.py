"""Who is asked by both, what sitemon is to say of it, and why a peer that says something else is wrong or right."""

import dataclasses
import ssl

import servers
from servers import HERE, Dns, Tcp, after_head, close, drip, echo, flood, goodbye, http, reply, say, tls, wait

TIMEOUT = "2s"
MANY = 1 << 30


@dataclasses.dataclass
class Case:
    kind: str
    name: str
    url: str
    keys: dict
    """The peer's module, without what all have, and its target."""
    module: dict
    target: str
    state: str = "up"
    """Exact; `None` when it is up."""
    cause: str = None
    """Of a difference: who is right, and why."""
    why: str = None


class Table:
    def __init__(self, directory):
        self.cases = []
        self.ca = servers.Authority(directory)

    def add(self, *arguments, **more):
        self.cases.append(Case(*arguments, **more))

    # --- http, https ------------------------------------------------------------

    def http(self, name, script, cause=None, keys=None, module=None, context=None, host=HERE, why=None, state=None,
             raw=False):
        """`raw`: without TLS, whatever is expected."""
        port = script if isinstance(script, int) else Tcp(tls(context, script) if context and not raw else script).port
        url = f"{'https' if context else 'http'}://{host}:{port}/"
        self._web("https" if context else "http", name, url, cause, keys, module, why, state)

    def _web(self, kind, name, url, cause, keys=None, module=None, why=None, state=None):
        keys = dict(keys or {})
        peer = dict(module or {})
        if url.startswith("https"):
            keys.setdefault("ca_file", str(self.ca.pem))
            peer["tls_config"] = {"ca_file": str(self.ca.pem), **peer.get("tls_config", {})}
        self.add(kind, name, url, keys, {"prober": "http", "http": peer}, url,
                 state or ("down" if cause else "up"), cause, why)

    def web(self):
        add = self.http
        add("200", http())
        add("503", http("503 Service Unavailable"), "HTTP 503, wanted 200-299")
        add("401 that is allowed", http("401 Unauthorized"), keys={"status": "200-299,401"},
            module={"valid_status_codes": [200, 401]})
        wanted = {"body": "welcome"}, {"fail_if_body_not_matches_regexp": ["welcome"]}
        add("wanted text is there", http(), None, *wanted)
        add("wanted text is missing", http(body=b"Error establishing a database connection"),
            "body lacks \"welcome\"", *wanted)
        add("unwanted text is there", http(body=b"Fatal error"), "body has \"Fatal\"", {"body_not": "Fatal"},
            {"fail_if_body_matches_regexp": ["Fatal"]})
        big = http(body=b'{"id":9007199254740993}')
        for number, cause in [(9007199254740993, None),
                              (9007199254740992, "json: id is 9007199254740993, wanted == 9007199254740992")]:
            add(f"a number beyond 2^53, wanted {number}", big, cause, {"json": [f"id == {number}"]},
                {"fail_if_body_not_matches_regexp": [f'"id":{number}}}']})
        add("password", servers.only_with(b"Authorization: Basic dTpw"), None, {"auth": "u:p"},
            {"basic_auth": {"username": "u", "password": "p"}})
        add("wrong password", servers.only_with(b"Authorization: Basic dTpw"), "HTTP 401, wanted 200-299",
            {"auth": "u:q"}, {"basic_auth": {"username": "u", "password": "q"}})
        target = Tcp(http()).port
        add("redirect", http("302 Found", headers=[f"Location: http://{HERE}:{target}/"]))
        add("redirect in a ring", http("302 Found", headers=["Location: /"]), "more than 10 redirects")
        add("redirect to file:", http("302 Found", headers=["Location: file:///etc/passwd"]),
            "redirect to file: is not followed")
        add("redirect to itself until its cookie comes back", servers.until_cookie())
        add("redirect to nothing", http("302 Found", headers=["Location:"]), "HTTP 302, wanted 200-299")
        target = Tcp(servers.only_with(b"X-Key: k")).port
        add("redirect to another origin that wants the key", http("302 Found", headers=[f"Location: http://{HERE}:{target}/"]),
            f"HTTP 401, wanted 200-299; X-Key was not sent on to {HERE}:{target}", {"headers.X-Key": "k"},
            {"headers": {"X-Key": "k"}}, why="sitemon: a secret is for its own origin; the peer takes it anywhere")
        add("connection refused", servers.refusing(), None)
        self._fix_refused()
        add("silent", wait, "no answer within 2s")
        add("closes without a word", after_head(close), "server closed the connection without an answer")
        add("drips its head", drip(b"HTTP/1.1 200 OK\r\n" * 50, 0.1), "no answer within 2s")
        add("drips its body", after_head(say(b"HTTP/1.1 200 OK\r\n\r\n", then=drip(b"x" * 900, 0.1))),
            "no end of the answer within 2s")
        add("no HTTP", say(b"SSH-2.0-OpenSSH_9.2\r\n"), "answer is not HTTP")
        add("endless head", after_head(say(b"HTTP/1.1 200 OK\r\n", then=flood(b"X-A: b\r\n" * 512, MANY))),
            "answer's headers are too large")
        add("body is cut short", http(length=1000), "answer broken off")
        add("bad chunk", after_head(say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", then=close)),
            "bad chunk in the answer")
        add("a download of 64 GB", http(body=b"", length=64 * MANY, then=flood(b"x" * 65536, 64 * MANY)),
            why="sitemon: the first 1 MiB will do, a download is not an outage; the peer reads until its time is up")
        add("endless stream", after_head(say(b"HTTP/1.1 200 OK\r\n\r\n", then=flood(b"event\n" * 4096, 64 * MANY))),
            why="sitemon, as above")

    def _fix_refused(self):
        case = self.cases[-1]
        case.state, case.cause = "down", f"connection refused by {case.url[7:-1]}"

    def secure(self):
        ca, add = self.ca, self.http
        good = ca.context("good")
        add("good", http(then=goodbye), context=good)
        add("good, and gone without a goodbye", http(), context=good)
        add("silent", wait, "no end of the TLS handshake within 2s", raw=True, context=good)
        for name, context, cause in self._certificates():
            add(name, http(then=goodbye), cause, context=context)
        add("expired, not verified", http(then=goodbye), None, {"verify": False, "cert": "0s"},
            {"tls_config": {"insecure_skip_verify": True}}, ca.context("old", days=(-90, -3)))
        add("ends in 3 days", http(then=goodbye), "certificate ends in 2 d 23 h", context=ca.context("soon", days=(-30, 3)),
            state="degraded", why="sitemon says so; the peer leaves it to a rule on probe_ssl_earliest_cert_expiry")
        plain = Tcp(say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")).port
        self._web("https", "plain HTTP on that port", f"https://{HERE}:{plain}/", "not a TLS server")

    def _certificates(self):
        """What both TLS kinds refuse."""
        context = self.ca.context
        yield "expired", context("expired", days=(-90, -3)), "certificate expired 3 days ago"
        yield "not yet valid", context("early", days=(2.5, 90)), "certificate not yet valid, starts in 2 days"
        yield ("for another name", context("other", names="DNS:other.example"),
               "certificate is for other.example, not for 127.0.0.1")
        yield "without a name", context("nameless", names=None), "certificate is not for 127.0.0.1"
        yield "self-signed", context("own", by=None), "self-signed certificate"
        yield "of a stranger", context("strange", by="stranger"), "certificate not trusted (unknown issuer)"
        yield "for clients only", context("client", usage="clientAuth"), "certificate is not for a server"
        yield ("TLS 1.1", context("ancient", minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1),
               "TLS handshake failed: server speaks no TLS 1.2 or newer")

    # --- tcp, tls ---------------------------------------------------------------

    def tcp(self, name, script, cause=None, send=None, expect=None, host=HERE, ip=None, why=None, port=None, peer=None):
        port = port or Tcp(script).port
        self._stream("tcp", name, f"tcp://{host}:{port}", {}, {}, cause, send, expect, ip, why, peer)

    def _stream(self, kind, name, url, keys, module, cause, send, expect, ip=None, why=None, peer=None):
        keys = dict(keys)
        steps = list(module.pop("query_response", []))
        if send:
            keys["send"] = send
            steps.append({"send": send.strip()})
        if expect:
            keys["expect"] = expect
            steps.append({"expect": peer or "^" + expect.replace("+", "[+]")})
        if ip:
            keys["ip"] = ip
            module.update(preferred_ip_protocol=f"ip{ip}", ip_protocol_fallback=False)
        module["query_response"] = steps
        self.add(kind, name, url, keys, {"prober": "tcp", "tcp": module}, url.split("//")[1].split("?")[0],
                 "down" if cause else "up", cause, why)

    def ports(self):
        add = self.tcp
        late = "\"220 \" did not come within 2s"
        add("open", wait)
        add("refused", None, "refused", port=servers.refusing())
        self.cases[-1].cause = f"connection refused by {self.cases[-1].target}"
        add("nobody there", None, "no connection within 2s", host="198.51.100.7", port=80)
        add("no way to the host", None, "no route to host 192.0.2.7", host="192.0.2.7", port=80)
        add("no way to the network", None, "network unreachable", host="203.0.113.7", port=80)
        add("no such name", None, "cannot resolve nowhere.test: no such name", host="nowhere.test", port=80)
        add("only IPv4, wanted IPv6", wait, "cannot resolve four.test: no IPv6 address", host="four.test", ip="6")
        add("no answer for IPv6, wanted IPv4", wait, host="silent.test", ip="4")
        add("no answer for IPv6", wait, host="silent.test",
            why="sitemon uses the family that came, as RFC 8305 has it; the peer waits for both until its time is up")
        add("the first of two addresses is dead", wait, host="two.test",
            why="sitemon tries them all, as curl and browsers do; the peer one alone")
        add("greeting", say(b"220 mail.example ESMTP\r\n"), expect="220 ")
        add("wrong greeting", say(b"554 no service\r\n"), "expected \"220 \" but got \"554 no service\"", expect="220 ")
        add("greeting, a byte at a time", drip(b"220 mail.example ESMTP\r\n", 0.03), expect="220 ")
        add("greeting without a line's end", say(b"220 mail.example"), expect="220 ",
            why="sitemon looks for the text; the peer waits for a line")
        add("no greeting", wait, late, expect="220 ")
        add("closes at once", close, "connection closed before \"220 \" came", expect="220 ")
        add("closes at once, nothing expected", close)
        add("drips for ever", drip(b"." * 900, 0.02), f"expected \"220 \" but got \"{'.' * 60}…\"", expect="220 ")
        add("a gigabyte in one line", flood(b"." * 65536, MANY), "\"220 \" is not in the first 4096 bytes", expect="220 ")
        add("a gigabyte of lines", flood(b"......\r\n" * 8192, MANY), "\"220 \" is not in the first 4096 bytes",
            expect="220 ")
        add("text behind 4 KiB of lines", say(b"......\r\n" * 1024 + b"220 hello\r\n"),
            "\"220 \" is not in the first 4096 bytes", expect="220 ",
            why="the peer reads on; sitemon's bound is documented, and no greeting is that long")
        add("question and answer", servers.answer_to(b"PING\r\n", b"+PONG\r\n"), None, "PING\r\n", "+PONG")
        add("answer behind a greeting", servers.answer_to(b"PING\r\n", b"+PONG\r\n", b"+OK hi\r\n"), None, "PING\r\n",
            "+PONG")
        # The peer sends lines with \\n.
        self.cases[-2].module["tcp"]["query_response"][0]["send"] = "PING\r"
        self.cases[-1].module["tcp"]["query_response"][0]["send"] = "PING\r"

    def tls(self, name, script, cause=None, keys=None, module=None, expect=None, why=None, starttls=None):
        keys = {"ca_file": str(self.ca.pem), **(keys or {})}
        module = dict(module or {})
        config = module.setdefault("tls_config", {"ca_file": str(self.ca.pem)})
        config.setdefault("server_name", HERE)
        if not starttls:
            module["tls"] = True
        url = f"tls://{Tcp(script).at}" + (f"?starttls={starttls}" if starttls else "")
        self._stream("tls", name, url, keys, module, cause, None, expect, why=why)

    def sessions(self):
        ca, add = self.ca, self.tls
        good = ca.context("good-tls")
        add("good", tls(good, wait))
        add("greeting", tls(good, say(b"220 hi\r\n")), expect="220 ")
        add("wrong greeting", tls(good, say(b"554 no\r\n")), "expected \"220 \" but got \"554 no\"", expect="220 ")
        for name, context, cause in self._certificates():
            add(name, tls(context, wait), cause)
        add("expired, not verified", tls(ca.context("old-tls", days=(-90, -3)), wait), None,
            {"verify": False, "cert": "0s"}, {"tls_config": {"insecure_skip_verify": True}})
        add("chain of 3", tls(ca.context("three", authorities=3), wait))
        add("chain of 100", tls(ca.context("hundred", authorities=100), wait), "certificate not trusted (its chain is too long)")
        add("RSA key of 1024 bits", tls(ca.context("weak", key="RSA:1024"), wait),
            "TLS handshake failed: server's signature cannot be verified (an RSA key under 2048 bits?)",
            why="sitemon: browsers and curl refuse such keys, too; Go 1.19 does not")
        add("no TLS", say(b"220 mail.example ESMTP\r\n"), "not a TLS server")
        add("silent", wait, "no end of the TLS handshake within 2s")
        add("closes on the hello", lambda c: c.recv(4096), "TLS handshake failed: server closed the connection")
        add("garbage after the hello", servers.garbage_after_hello(good),
            "TLS handshake failed: server broke the protocol")
        ehlo = b"250-mail.example\r\n250 STARTTLS\r\n"
        smtp = {"query_response": [{"expect": "^220 "}, {"send": "EHLO prober\r"}, {"expect": "^250 STARTTLS"},
                                   {"send": "STARTTLS\r"}, {"expect": "^220"}, {"starttls": True}]}
        imap = {"query_response": [{"expect": "OK"}, {"send": "a001 STARTTLS\r"}, {"expect": "OK"}, {"starttls": True}]}
        pop3 = {"query_response": [{"expect": "OK"}, {"send": "STLS\r"}, {"expect": "OK"}, {"starttls": True}]}
        go = [(b"EHLO", ehlo), (b"STARTTLS", b"220 go ahead\r\n")]
        add("smtp", servers.starttls(go, good, b"220 hi\r\n", wait), module=smtp, starttls="smtp")
        add("imap", servers.starttls([(b"A001 STARTTLS", b"a001 OK go\r\n")], good, b"* OK hi\r\n", wait), module=imap,
            starttls="imap")
        add("pop3", servers.starttls([(b"STLS", b"+OK go\r\n")], good, b"+OK hi\r\n", wait), module=pop3, starttls="pop3")
        add("smtp, EHLO with an address refused", servers.starttls(
            go, good, b"220 hi\r\n", wait, [(b"EHLO [", b"501-Syntactically invalid\r\n501 EHLO argument\r\n")]),
            module=smtp, starttls="smtp")
        helo = [(b"HELO", b"250 hi\r\n"), (b"STARTTLS", b"220 go ahead\r\n")]
        add("smtp, HELO alone", servers.starttls(helo, good, b"220 hi\r\n", wait, [(b"EHLO", b"502 what?\r\n")]),
            module=smtp, starttls="smtp", why="sitemon: mail servers fall back to HELO, and TLS works; the peer's steps are fixed")
        add("imap, STARTTLS not in the greeting", servers.starttls(
            [(b" STARTTLS", b"TAG OK go\r\n")], good, b"* OK [CAPABILITY IMAP4rev1 ID] hi\r\n", wait,
            [(b" CAPABILITY", b"* CAPABILITY IMAP4rev1 ID STARTTLS\r\nTAG OK done\r\n")]), module=imap, starttls="imap")
        add("imap, STARTTLS nowhere", servers.starttls(
            [(b" STARTTLS", b"TAG BAD unknown\r\n")], good, b"* OK [CAPABILITY IMAP4rev1 ID] hi\r\n", wait,
            [(b" CAPABILITY", b"* CAPABILITY IMAP4rev1 ID\r\nTAG OK done\r\n")]),
            "server does not offer STARTTLS", module={"query_response": [{"expect": "STARTTLS"}]}, starttls="imap")
        expired = ca.context("expired-smtp", days=(-90, -3))
        add("smtp, expired", servers.starttls(go, expired, b"220 hi\r\n", wait), "certificate expired 3 days ago",
            module=smtp, starttls="smtp")
        add("smtp, not offered", servers.starttls([(b"EHLO", b"250 HELP\r\n")], good, b"220 hi\r\n", wait),
            "server does not offer STARTTLS", module=smtp, starttls="smtp")
        early = [(b"STLS", b"+OK go\r\n+OK injected\r\n")]
        add("pop3, injected before TLS", servers.starttls(early, good, b"+OK hi\r\n", wait), "data before TLS",
            module=pop3, starttls="pop3",
            why="sitemon: what a stranger put in before TLS would pass for the server's word (CVE-2011-0411)")

    # --- dns --------------------------------------------------------------------

    def dns(self, name, over_udp, cause=None, kind="A", expect=None, over_tcp=None, at=None, why=None, peer=None,
            asked="www.example.org"):
        at = at or Dns(over_udp, over_tcp).at
        keys = {"expect": expect} if expect else {}
        module = {"query_name": asked, "query_type": kind, **(peer or {})}
        if expect:
            module["validate_answer_rrs"] = {"fail_if_not_matches_regexp": [expect.replace(".", "[.]")]}
        self.add("dns", name, f"dns://{at}/{asked}?type={kind}", keys, {"prober": "dns", "dns": module}, at,
                 "down" if cause else "up", cause, why)

    def zones(self):
        add = self.dns
        n = servers.dns_name
        one, two = b"\xc0\0\2\1", b"\xc0\0\2\2"
        records = {
            "A": one, "AAAA": b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", "NS": n("ns.example.org"),
            "CNAME": n("web.example.org"), "PTR": n("host.example.org"), "MX": b"\0\x0a" + n("mail.example.org"),
            "TXT": b"\x0bv=spf1 -all", "SRV": b"\0\1\0\2\x01\xbb" + n("sip.example.org"),
            "CAA": b"\0\x05issueca.example",
            "SOA": n("ns.example.org") + n("admin.example.org") + bytes(19) + b"\1"}
        for kind, data in records.items():
            add(kind, lambda query, kind=kind, data=data: [reply(query, [(kind, data)])], kind=kind)
        good = lambda query: [reply(query, [("A", one)])]
        add("expected address", good, expect="192.0.2.1")
        add("another address", lambda query: [reply(query, [("A", two)])], "expected A 192.0.2.1 but got 192.0.2.2",
            expect="192.0.2.1")
        for code, cause in [(3, "NXDOMAIN: no such name as www.example.org"), (2, "SERVFAIL from 127.0.0.1"),
                            (5, "REFUSED from 127.0.0.1")]:
            add(cause[:8].strip(":"), lambda query, code=code: [reply(query, code=code)], cause)
        add("no such record", lambda query: [reply(query)], "no A record for www.example.org",
            why="sitemon: a name without the record asked for leads nowhere; the peer wants a regexp to see that")
        alias = [("CNAME", n("web.example.org")), ("A", one, n("web.example.org"))]
        add("alias", lambda query: [reply(query, alias)], expect="192.0.2.1",
            why="sitemon: one of the records is enough; the peer's regexp must fit each, the CNAME as well")
        chain = [(f"a{at}.example.org", f"a{at + 1}.example.org") for at in range(30)]
        chain = [("CNAME", n("a0.example.org"))] + [("CNAME", n(to), n(owner)) for owner, to in chain]
        chain.append(("A", one, n("a30.example.org")))
        add("thirty aliases, the last first", lambda query: [reply(query, chain[::-1])], expect="192.0.2.1",
            why="sitemon: one of the records is enough, as for the alias")
        shown = {"TXT": (b"\x0aends with ", '"ends with "'), "CAA": (b"\0\x05issueca.example; a=b", '0 issue "ca.example; a=b"'),
                 "SOA": (n("ns.example.org") + n("admin.example.org") + bytes(3) + bytes([7] + [0, 0, 0, 9] * 4),
                         "ns.example.org. admin.example.org. 7 9 9 9 9")}
        for kind, (data, text) in shown.items():
            add(f"{kind} as dig shows it", lambda query, kind=kind, data=data: [reply(query, [(kind, data)])], kind=kind,
                expect=text)
        add("drops EDNS", lambda query: [] if query[11] else good(query), expect="192.0.2.1")
        add("SERVFAIL to EDNS", lambda query: [reply(query, code=2)] if query[11] else good(query), expect="192.0.2.1")
        add("alias in a ring", lambda query: [reply(query, [("CNAME", b"\xc0\x0c")])], "no A record for www.example.org",
            why="sitemon, as above")
        add("silent", lambda query: [], "no answer from 127.0.0.1 within 2s")
        add("port closed", None, "refused", at=f"{HERE}:{servers.refusing()}")
        self.cases[-1].cause = f"connection refused by {self.cases[-1].target}"
        lost = []
        add("the first datagram is lost", lambda query: lost.append(1) or (good(query) if len(lost) % 2 == 0 else []),
            why="sitemon: UDP loses datagrams, every resolver asks again; the peer does not")
        add("truncated, over TCP", lambda query: [reply(query, truncated=True)], expect="192.0.2.1",
            over_tcp=lambda query: servers.framed(reply(query, [("A", one)])),
            why="sitemon: RFC 7766 has it asked again over TCP; the peer judges what is left of it")
        add("truncated, no TCP", lambda query: [reply(query, truncated=True)],
            "answer is truncated; over TCP: connection refused by ",
            why="sitemon: the records cannot be read; the peer takes the empty rest for an answer")
        self.cases[-1].cause += self.cases[-1].target

        def other_id(query):
            message = bytearray(reply(query, [("A", two)]))
            message[0] ^= 1
            return bytes(message)

        def other_name(query):
            message = bytearray(reply(query, [("A", two)]))
            message[13] = ord("x")
            return bytes(message)

        def loop(query):
            at = servers.question_end(query)
            message = bytearray(reply(query, [("A", one)]))
            message[at:at + 2] = (0xC000 | at).to_bytes(2, "big")
            return bytes(message)
        none = "no fitting answer from 127.0.0.1 within 2s"
        add("another id", lambda query: [other_id(query)], none)
        add("another id, then ours", lambda query: [other_id(query)] + good(query), expect="192.0.2.1")
        add("answer to another question", lambda query: [other_name(query)], none,
            why="sitemon: RFC 5452 has the question compared; the peer takes the records of any sender")
        add("name that points at itself", lambda query: [loop(query)], "malformed answer")
        add("garbage", lambda query: [b"garbage"], none)
        add("fewer records than counted", lambda query: [reply(query, [("A", one)])[:-8]], "malformed answer")

    # --- icmp -------------------------------------------------------------------

    def icmp(self, name, host, cause=None, why=None):
        self.add("icmp", name, f"icmp://{host}", {}, {"prober": "icmp"}, host.strip("[]"), "down" if cause else "up",
                 cause, why)

    def hosts(self):
        add = self.icmp
        servers.Pings({
            2: lambda n, packet: [echo(packet)],
            3: lambda n, packet: [echo(packet)] if n > 1 else [],
            4: lambda n, packet: [servers.echo_of_another(packet)],
            5: servers.unreachable(1),
            6: servers.unreachable(13),
            7: lambda n, packet: [echo(packet)[:-30]],
        })
        add("IPv4", HERE)
        add("IPv6", "[::1]")
        add("name", "two.test")
        add("host behind a line", "10.9.0.2")
        add("the first packet is lost", "10.9.0.3", why="sitemon sends three and tells the loss; the peer one alone")
        add("silent", "198.51.100.7", "no echo within 2s")
        add("answers to another id", "10.9.0.4", "no echo within 2s")
        add("host unreachable", "10.9.0.5", "no route to host 10.9.0.5")
        add("forbidden", "10.9.0.6", "no route to host 10.9.0.6")
        add("answer is cut short", "10.9.0.7", "no echo within 2s")
        add("no way to the host", "192.0.2.7", "no route to host 192.0.2.7")
        add("no way to the network", "203.0.113.7", "network unreachable")
        add("no such name", "nowhere.test", "cannot resolve nowhere.test: no such name")
