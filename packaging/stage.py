"""A web site and a Bot API on loopback, and a root directory to install to: for the tests of the packages and
of a machine that boots."""

import contextlib
import http.server
import os
import pathlib
import platform
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "bench"))
import bot as bench  # noqa: E402

# As packaging/lib.sh.
os.umask(0o022)

CHAT = bench.CHAT
TOKEN = bench.TOKEN
# The Debian that packages come from.
SUITE = "bookworm"
# Patience with what is about to happen, in seconds.
LIMIT = 60
# The commands that were run, and what they said.
TRANSCRIPT = []


def version():
    """sitemon's."""
    return tomllib.loads((TOP / "Cargo.toml").read_text())["package"]["version"]


class Bot(bench.Bot):
    """Answers 502 while it is out."""

    def __init__(self):
        self.out = False
        self.refused = 0
        super().__init__()
        # A client that is killed, or gives up, is no news.
        self._server.handle_error = lambda *_: None

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

    def learn(self, command, part, seconds=LIMIT):
        """Ask until the answer has `part` in it."""
        give_up = time.monotonic() + seconds
        while True:
            after = len(self.sent)
            text = self.ask(command, "", seconds)
            if part in text:
                return text
            check(time.monotonic() < give_up, f"no answer to {command} with {part!r} within {seconds} s: {text}")
            self.wait(lambda: len(self.sent) > after + 1, 1)

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

            def finish(self):
                super().finish()
                if certificate:
                    # A goodbye, which http.server leaves out.
                    self.connection.settimeout(1)
                    with contextlib.suppress(OSError):
                        self.connection.unwrap()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None
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


def config(host, bot, sites, state, more="", run="/run"):
    """A sitemon.conf; `sites`: name -> URL."""
    text = (f'[telegram]\ntoken_file = "/etc/sitemon/token"\nchats = [{CHAT}]\n'
            f'api = "http://{host}:{bot.port}"\npoll = "5s"\n'
            f'[agent]\nstate = "{state}"\nuplink = []\n'
            f'socket = "{run}/sitemon/push.sock"\nspool = "/var/lib/sitemon-spool"\n{more}')
    for name, url in sites.items():
        when = 'every = "1d"' if url == "push:" else 'interval = "1s"\ntries = 1\nretry = "1s"'
        text += f'[[site]]\nname = "{name}"\nurl = "{url}"\n{when}\n'
    return text


def need(tools):
    """`tools`: program -> Debian's package that has it."""
    missing = sorted({package for tool, package in tools.items() if not shutil.which(tool)})
    check(not missing, f"this needs {', '.join(missing)}: apt-get install {' '.join(missing)}")


def run(*command, code=0, **options):
    """Its output, both streams; it must end with `code` (None: any)."""
    try:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, errors="replace", **options)
    except FileNotFoundError as missing:
        raise Failed(f"there is no {missing.filename}") from None
    TRANSCRIPT.append(f"$ {' '.join(map(str, command))}\n{done.stdout}")
    check(code is None or done.returncode == code,
          f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Root:
    """A root directory with another system in it."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        # Temporary directories are their owner's alone.
        self.root.chmod(0o755)
        # What came in by syslog.
        self.log = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("umount", self.path("/proc"), code=None)

    def path(self, path):
        return self.root / str(path).lstrip("/")

    def exists(self, path):
        return os.path.lexists(self.path(path))

    def write(self, path, text):
        """In place: the owner and the mode of a file stay."""
        self.path(path).write_text(text)

    def run(self, *command, code=0):
        """Runs a command in there."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        return run("chroot", self.root, *command, code=code, env=environment)

    def service(self, verb, code=0):
        return self.run("/etc/init.d/sitemon", verb, code=code)

    def owner(self, path):
        return self.run("stat", "-c", "%U %a", path).strip()

    def pid(self):
        """The agent's that runs in there, as the user sitemon."""
        users = [line.split(":") for line in self.path("/etc/passwd").read_text().splitlines()]
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cmdline").read_bytes().startswith(b"/usr/bin/sitemon\0"):
                    uid = process.stat().st_uid
                    check([user[0] for user in users if user[2] == str(uid)] == ["sitemon"], f"it runs as {uid}")
                    return process.name
            except (FileNotFoundError, ProcessLookupError):
                pass
        return None

    def expect_pid(self):
        until(self.pid, "it runs")
        return self.pid()

    def listen(self):
        """Reads /dev/log."""
        syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        syslog.bind(str(self.path("/dev/log")))
        os.chmod(self.path("/dev/log"), 0o666)

        def read():
            while True:
                self.log.append(syslog.recv(65536).decode(errors="replace"))
                TRANSCRIPT.append(self.log[-1])

        threading.Thread(target=read, daemon=True).start()


def base(name, *packages):
    """A fresh Debian with these packages as a tarball, kept in target/."""
    tarball = TOP / "target" / f"{name}.tar"
    if not tarball.exists():
        need({"debootstrap": "debootstrap"})
        work = pathlib.Path(f"{tarball}.part")
        shutil.rmtree(work, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, work)
        run("tar", "-C", work, "-cf", f"{tarball}.new", ".")
        os.rename(f"{tarball}.new", tarball)
        shutil.rmtree(work)
    return tarball


def run_level(root):
    """As after a boot: invoke-rc.d starts nothing where no runlevel is. utmp(5), what init writes."""
    runlevel = struct.pack("<hxxi32s4s32s", 1, ord("2") + 256 * ord("N"), b"~", b"~~", b"runlevel")
    (pathlib.Path(root) / "run/utmp").write_bytes(runlevel.ljust(384, b"\0"))


def native():
    """This machine, as Debian names it."""
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}[platform.machine()]


def apt(tool, architecture, *command, **options):
    """apt's output for another architecture; its own lists and settings stay as they are."""
    home = TOP / "target" / "debian" / f"apt_{architecture}"
    settings = [f"-o{setting}" for setting in (
        f"APT::Architecture={architecture}", f"APT::Architectures={architecture}", f"Dir::State={home}/state",
        f"Dir::State::status={home}/status", f"Dir::Cache={home}/cache", f"Dir::Etc::SourceList={home}/sources.list",
        "Dir::Etc::SourceParts=/dev/null", "APT::Sandbox::User=root")]
    if not home.exists():
        for directory in ("state/lists/partial", "cache/archives/partial"):
            (home / directory).mkdir(parents=True)
        (home / "status").touch()
        (home / "sources.list").write_text(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian "
            f"{SUITE} main\n")
        run("apt-get", *settings, "update")
    return run(tool, *settings, *command, **options)


def dependency(package, architecture):
    """The one package that a package of Debian's is another name for."""
    lines = apt("apt-cache", architecture, "depends", package).splitlines()
    return next(line.split()[-1] for line in lines if "Depends:" in line)


def debian(package, architecture):
    """The unpacked package of Debian's, kept in target/."""
    unpacked = TOP / "target" / "debian" / f"{package}_{architecture}"
    if not unpacked.exists():
        work = pathlib.Path(f"{unpacked}.part")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        apt("apt-get", architecture, "download", package, cwd=work)
        run("dpkg-deb", "-x", next(work.glob("*.deb")), work / "root")
        os.rename(work / "root", unpacked)
        shutil.rmtree(work)
    return unpacked


# Set where a test is in namespaces of its own already.
INSIDE = "SITEMON_TEST_INSIDE"


def inside(usage, test, prepare=lambda: None):
    """Runs `test(BINARY)` as process 1 with a network and mounts of its own: nothing leaves it, and nothing is
    left. `prepare` runs outside, with the network of this machine."""
    if len(sys.argv) != 2 or os.geteuid() != 0:
        sys.exit(usage)
    if INSIDE not in os.environ:
        try:
            check(pathlib.Path(sys.argv[1]).is_file(), f"there is no file {sys.argv[1]}")
            need({"ip": "iproute2", "unshare": "util-linux"})
            prepare()
        except Failed as failed:
            sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {failed}")
        os.execvp("unshare", ["unshare", "-mnpf", "--mount-proc", "env", f"{INSIDE}=1", sys.executable, *sys.argv])
    run("ip", "link", "set", "lo", "up")
    # What a test packs is no part of a release in dist/.
    with tempfile.TemporaryDirectory(dir=TOP / "target") as packed:
        os.environ["SITEMON_DIST"] = packed
        main(lambda: test(pathlib.Path(sys.argv[1]).resolve()))


def main(test):
    """Run `test`; what it has to say and how long it took."""
    began = time.monotonic()
    try:
        said = test()
    except Failed as failed:
        print(*TRANSCRIPT[-30:], sep="\n")
        sys.exit(f"FAILED: {failed}")
    print(f"{said or 'ok'} ({time.monotonic() - began:.0f} s)")
