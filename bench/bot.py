"""A small Bot API and a server that hangs, for measuring answer times."""

import http.server
import json
import selectors
import socket
import sys
import threading
import time
import urllib.parse

CHAT = 1
TOKEN = "1:bench"

# Several threads share one interpreter: at the default 5 ms its turns would be measured, not the agent.
sys.setswitchinterval(0.0002)


class Bot:
    """Long poll, offsets, and the time each update went out and each message came in."""

    def __init__(self, tls=None, host="127.0.0.1"):
        """`tls`: an ssl.SSLContext, to be an HTTPS server."""
        self._changed = threading.Condition()
        self._updates = []  # (id, text) not yet confirmed
        self._next_update = 1
        self._next_message = 1
        self.handed_out = {}  # update id -> when it first left
        self.sent = []  # (when, text) of each sendMessage
        self.edits = []  # (when, text) of each editMessageText
        self.polls = 0
        bot = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                bot._serve(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.handle_error = lambda *_: None  # a client that went away is no news
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def give(self, text):
        """Queue a message of the user; its update id."""
        with self._changed:
            number = self._next_update
            self._next_update += 1
            self._updates.append((number, text))
            self._changed.notify_all()
        return number

    def wait(self, condition, seconds):
        """Wait until `condition()` holds; whether it did."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def _serve(self, request):
        url = urllib.parse.urlsplit(request.path)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        came = time.monotonic()
        fields = dict(urllib.parse.parse_qsl(url.query))
        if body[:1] == b"{":
            fields.update(json.loads(body))
        else:
            fields.update(urllib.parse.parse_qsl(body.decode()))
        prefix, _, method = url.path.rpartition("/")
        if prefix != f"/bot{TOKEN}":
            return self._answer(request, 401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
        handler = getattr(self, "_" + method, None) if method.isalpha() else None
        if handler is None or method not in METHODS:
            return self._answer(request, 404, {"ok": False, "error_code": 404, "description": "Not Found"})
        result, handed = handler(fields, came)
        with self._changed:
            for number in handed:
                self.handed_out.setdefault(number, time.monotonic())
        self._answer(request, 200, {"ok": True, "result": result})

    @staticmethod
    def _answer(request, status, value):
        # Head and body in one write: in two, the second would wait for a delayed acknowledgement.
        body = json.dumps(value).encode()
        head = (f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        try:
            request.wfile.write(head + body)
        except OSError:
            request.close_connection = True

    def _getMe(self, _fields, _came):
        return {"id": 1, "is_bot": True, "first_name": "bench", "username": "bench_bot"}, ()

    def _setMyCommands(self, _fields, _came):
        return True, ()

    _deleteWebhook = _answerCallbackQuery = _sendChatAction = _setMyCommands

    def _getUpdates(self, fields, _came):
        offset = int(fields.get("offset") or 0)
        timeout = min(int(fields.get("timeout") or 0), 50)
        with self._changed:
            self.polls += 1
            self._changed.notify_all()
            self._updates = [u for u in self._updates if u[0] >= offset]
            self._changed.wait_for(lambda: self._updates, timeout)
            waiting = self._updates[:int(fields.get("limit") or 100)]
        return [self._update(*u) for u in waiting], [number for number, _ in waiting]

    @staticmethod
    def _update(number, text):
        return {"update_id": number, "message": {
            "message_id": number, "date": int(time.time()), "text": text,
            "chat": {"id": CHAT, "type": "private", "first_name": "b"},
            "from": {"id": CHAT, "is_bot": False, "first_name": "b"},
            "entities": [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]}}

    def _sendMessage(self, fields, came):
        with self._changed:
            self._next_message += 1
            self.sent.append((came, fields.get("text", "")))
            self._changed.notify_all()
            return self._message(self._next_message, fields), ()

    def _editMessageText(self, fields, came):
        with self._changed:
            self.edits.append((came, fields.get("text", "")))
            self._changed.notify_all()
        return self._message(int(fields["message_id"]), fields), ()

    @staticmethod
    def _message(number, fields):
        return {"message_id": number, "date": int(time.time()), "text": fields.get("text", ""),
                "chat": {"id": CHAT, "type": "private"}}


METHODS = {"getMe", "getUpdates", "setMyCommands", "deleteWebhook", "sendMessage",
           "editMessageText", "answerCallbackQuery", "sendChatAction"}


class Hung:
    """Accepts every connection and never answers; counts those that are open."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.open = 0
        self.most = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    selector.register(connection, selectors.EVENT_READ)
                    self.open += 1
                    self.most = max(self.most, self.open)
                elif not self._read(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    self.open -= 1

    @staticmethod
    def _read(connection):
        try:
            return connection.recv(65536)
        except OSError:
            return b""
