"""A web site and a Bot API on loopback, for the tests of packages and of a machine that boots."""

import http.server
import pathlib
import ssl
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "bench"))
import bot as bench  # noqa: E402

CHAT = bench.CHAT
TOKEN = bench.TOKEN
# Patience with what is about to happen, in seconds.
LIMIT = 30
# The commands that were run, and what they said.
TRANSCRIPT = []


class Bot(bench.Bot):
    """Answers 502 while it is out."""

    def __init__(self):
        self.out = False
        self.refused = 0
        super().__init__()

    def _serve(self, request):
        if not self.out:
            return super()._serve(request)
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self._changed:
            self.refused += 1
            self._changed.notify_all()
        self._answer(request, 502, {"ok": False, "error_code": 502, "description": "Bad Gateway"})

    def texts(self):
        return [text for _, text in self.sent + self.edits]

    def expect(self, part, seconds=LIMIT, after=0):
        """Wait for a message with `part` in it; `after`: leaves out that many. Its text."""
        found = lambda: next((t for _, t in self.sent[after:] if part in t), None)
        if not self.wait(found, seconds):
            raise Failed(f"no message with {part!r} within {seconds} s, but {self.texts()}")
        return found()

    def ask(self, command, part, seconds=LIMIT):
        after = len(self.sent)
        self.give(command)
        return self.expect(part, seconds, after)

    def count(self, part):
        return sum(part in text for _, text in self.sent)

    @property
    def port(self):
        return self._server.server_address[1]


class Site:
    """Answers `status` to everything, over TLS with `certificate` = (certificate, key)."""

    def __init__(self, certificate=None):
        self.status = 200
        self.requests = 0
        self._changed = threading.Condition()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with site._changed:
                    site.requests += 1
                    site._changed.notify_all()
                self.send_response(site.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def expect(self, more, seconds=LIMIT):
        """Wait for so many more requests."""
        with self._changed:
            wanted = self.requests + more
            if not self._changed.wait_for(lambda: self.requests >= wanted, seconds):
                raise Failed(f"{self.requests} requests within {seconds} s, not {wanted}")


class Failed(Exception):
    """What a test found wrong."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def until(holds, what, seconds=LIMIT):
    """Poll what cannot be waited for."""
    give_up = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < give_up, f"not within {seconds} s: {what}")
        time.sleep(0.05)


def config(host, bot, sites, state, more=""):
    """A sitemon.conf; `sites`: name -> URL."""
    text = (f'[telegram]\ntoken_file = "/etc/sitemon/token"\nchats = [{CHAT}]\n'
            f'api = "http://{host}:{bot.port}"\npoll = "5s"\n'
            f'[agent]\nstate = "{state}"\nuplink = []\n{more}')
    for name, url in sites.items():
        text += f'[[site]]\nname = "{name}"\nurl = "{url}"\ninterval = "1s"\ntries = 1\nretry = "1s"\n'
    return text


def run(*command, code=0, **options):
    """Its output, both streams; it must end with `code` (None: any)."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, errors="replace", **options)
    TRANSCRIPT.append(f"$ {' '.join(map(str, command))}\n{done.stdout}")
    check(code is None or done.returncode == code,
          f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def main(test):
    """Run `test`; what it has to say and how long it took."""
    began = time.monotonic()
    try:
        said = test()
    except Failed as failed:
        print(*TRANSCRIPT[-12:], sep="\n")
        sys.exit(f"FAILED: {failed}")
    print(f"{said or 'ok'} ({time.monotonic() - began:.0f} s)")
