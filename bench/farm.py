"""What the measurements run on: packages, nginx, certificates, the agent as a process."""

import atexit
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sitemon-bench"
SYSTEM_ROOTS = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")

POOL = 7  # max_connections = 10, less the three kept for Telegram

# Both clients would otherwise send loopback requests through a proxy; and a token is none of ours.
ENVIRONMENT = {k: v for k, v in os.environ.items()
               if not k.lower().endswith("_proxy") and not k.startswith("SITEMON_")}

_temp = None
_processes = []


def die(message):
    sys.exit(f"bench: {message}")


def say(message):
    print(f"bench: {message}", file=sys.stderr, flush=True)


def temp():
    """The directory of this run: gone at exit, with everything that was started."""
    global _temp
    if _temp is None:
        _temp = pathlib.Path(tempfile.mkdtemp(prefix="sitemon-bench."))
        _temp.chmod(0o755)  # nginx's workers are another user when root runs this
        atexit.register(_clean_up)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    return _temp


def _clean_up():
    for process in reversed(_processes):
        stop(process)
    shutil.rmtree(_temp, ignore_errors=True)


def start(command, log, stdin=subprocess.DEVNULL):
    """Start a process with its output in the file `log`; it is stopped at exit."""
    with open(log, "ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command], env=ENVIRONMENT, cwd=temp(),
            stdin=stdin, stdout=out, stderr=out)
    _processes.append(process)
    return process


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what, condition, seconds):
    """Poll `condition` until it gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    die(f"{what}: not within {seconds} s")


def drop_from_cache(path):
    """As after a restart of the machine: of a file that was just written the kernel has larger pieces, and maps each whole."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- packages -----------------------------------------------------------------

def install(*needs):
    """Install the Debian package of every (package, file that shows it is there)."""
    missing = [package for package, shown_by in needs if not pathlib.Path(shown_by).exists()]
    if not missing:
        return
    say("installing " + " ".join(missing))
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    # Debian starts an nginx of its own on port 80 unless a policy says no.
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    script = (
        "set -e; export DEBIAN_FRONTEND=noninteractive\n"
        + ("trap 'rm -f %s' EXIT; printf '#!/bin/sh\\nexit 101\\n' >%s; chmod 755 %s\n" % ((policy,) * 3) if ours else "")
        + "apt-get -qq update; apt-get -qq install -y --no-install-recommends " + " ".join(missing))
    done = subprocess.run(sudo + ["sh", "-c", script], capture_output=True, text=True)
    if done.returncode != 0:
        die("cannot install " + " ".join(missing) + "\n" + done.stderr[-1000:])


def build(sitemon):
    """Build the release binary unless another one was named."""
    default = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/sitemon"
    if sitemon is None:
        say("cargo build --release")
        if subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT).returncode != 0:
            die("the build failed")
        sitemon = default
    sitemon = pathlib.Path(sitemon).resolve()
    if not sitemon.is_file():
        die(f"no binary at {sitemon}")
    return sitemon


def build_floor():
    floor = temp() / "floor"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", floor, BENCH / "floor.c", "-lcurl"], check=True)
    return floor


def run_floor(floor, prefix, sites, roots, rate, requests, batch=1, windows=3):
    """([CPU µs a request, a window each], (resident, peak) in KiB) of the C program."""
    command = [floor, "-c", POOL, "-r", rate, "-b", batch, "-n", requests, "-w", windows,
               *(["-a", roots] if roots else []), prefix, sites]
    done = subprocess.run([str(c) for c in command], env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        die(done.stderr.strip())
    lines = [line.split() for line in done.stdout.splitlines()]
    cpu = [float(line[1]) for line in lines if line[0] == "window"]
    memory = [int(kib) for line in lines if line[0] == "memory" for kib in line[1:]]
    return cpu, memory


# --- certificates -------------------------------------------------------------

def make_certificates(directory, ca_curve="P-256"):
    """A test CA (ca.pem) and a server certificate of it for 127.0.0.1 (server.pem, server.key, always on P-256).

    bundle.pem is Debian's roots with the test CA added, as on a real system.
    """
    directory.mkdir()
    (directory / "san").write_text(
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\n")
    key, ca_key = (["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes"] for curve in ("P-256", ca_curve))
    for command in (
        ["req", "-x509", *ca_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench CA", "-days", "30"],
        ["req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=bench"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
         "-days", "30", "-extfile", "san", "-out", "server.pem"],
    ):
        done = subprocess.run(["openssl", *command], cwd=directory, capture_output=True, text=True)
        if done.returncode != 0:
            die("openssl: " + done.stderr)
    (directory / "bundle.pem").write_bytes(SYSTEM_ROOTS.read_bytes() + (directory / "ca.pem").read_bytes())
    return directory


# --- nginx --------------------------------------------------------------------

NGINX_CONF = """\
daemon off;
pid {dir}/pid;
error_log {dir}/error.log warn;
worker_processes 1;
{user}
events {{ worker_connections 4096; }}
http {{
    log_format turn '$msec $request_uri';
    access_log {log};
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    # Every check is a connection of its own, and over TLS a full handshake.
    keepalive_timeout 0;
    ssl_session_cache off;
    ssl_session_tickets off;
    ssl_certificate {certificates}/server.pem;
    ssl_certificate_key {certificates}/server.key;
    open_file_cache max=10;
    default_type text/html;
    server {{
        listen 127.0.0.1:{http} backlog=4096;
        listen 127.0.0.1:{https} ssl backlog=4096;
        root {dir}/www;
        location / {{ try_files /page.html =404; }}
    }}
    server {{
        listen 127.0.0.1:{counter};
        location = /counter {{ stub_status; access_log off; }}
    }}
}}
"""


class Nginx:
    """Debian's nginx: a 4 KiB page at every path, over HTTP and HTTPS, and its own counters."""

    def __init__(self, certificates, name="nginx", logs=False):
        """`logs`: it is to keep when each path was asked for."""
        self._directory = directory = temp() / name
        self._turns = directory / "turns"
        self.ca_file = certificates / "ca.pem"
        (directory / "www").mkdir(parents=True)
        (directory / "www/page.html").write_text(
            ("<!doctype html><title>up</title>" + "<p>All is well.</p>\n" * 250)[:4096])
        self.http, self.https, self.counter = free_port(), free_port(), free_port()
        (directory / "nginx.conf").write_text(NGINX_CONF.format(
            dir=directory, certificates=certificates, http=self.http, https=self.https,
            counter=self.counter, log=f"{self._turns} turn buffer=64k flush=1s" if logs else "off",
            user="user www-data;" if os.geteuid() == 0 else ""))
        self._asked = 0
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.process = start(["/usr/sbin/nginx", "-e", directory / "error.log", "-c", directory / "nginx.conf"],
                             directory / "out.log")
        wait_for("nginx", self._answers, 10)

    def _answers(self):
        if self.process.poll() is not None:
            die("nginx: " + (self._directory / "error.log").read_text()[-1000:])
        try:
            return self.counts()
        except OSError:
            return None

    def workers(self):
        """Process ids."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in pathlib.Path(children).read_text().split()]

    def url(self, scheme):
        """Prefix of the sites' addresses: a number is added."""
        return f"{scheme}://127.0.0.1:{self.http if scheme == 'http' else self.https}/s"

    def counts(self):
        """(connections, requests) so far, without our own questions."""
        text = self._opener.open(f"http://127.0.0.1:{self.counter}/counter", timeout=5).read().decode()
        self._asked += 1
        # "Active connections: 1", a line of headings, then " accepts handled requests".
        connections, _, requests = map(int, text.splitlines()[2].split())
        return connections - self._asked, requests - self._asked

    def turns(self, began, ended):
        """When each path was asked for between two times of `time.time()`, in order."""
        time.sleep(1.5)  # What it keeps back.
        by_path = {}
        for line in self._turns.read_text().splitlines():
            at, path = line.split()
            if began <= float(at) < ended:
                by_path.setdefault(path, []).append(float(at))
        return {path: sorted(times) for path, times in by_path.items()}


# --- the agent ----------------------------------------------------------------

class Process:
    """A process of ours, and what the kernel says about it."""

    def __init__(self, command, log, stdin=subprocess.DEVNULL):
        self.name, self.log = pathlib.Path(command[0]).name, log
        self.process = start(command, log, stdin)

    def must_live(self):
        if self.process.poll() is not None:
            die(f"{self.name} ended with {self.process.returncode}:\n{self.last_lines()}")

    def last_lines(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def cpu_us(self):
        """User and system time of all its threads so far, the ended ones too, exact to the ns
        (the clock of another process: see clock_getcpuclockid(3))."""
        self.must_live()
        return time.clock_gettime_ns((~self.process.pid << 3) | 2) / 1000

    def memory(self):
        """(resident, peak) in KiB."""
        return self._status("VmRSS"), self._status("VmHWM")

    def own(self):
        """KiB of its memory that are of no file."""
        return self._status("RssAnon")

    def threads(self):
        return self._status("Threads")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def _status(self, field):
        self.must_live()
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        die(f"no {field} in /proc")


class Sitemon(Process):
    """`sitemon run` on a configuration of its own."""

    def __init__(self, binary, name, config, console=False, through=()):
        """`console`: it can be asked. `through`: a command that runs it. One of the same name finds its state."""
        self.directory = temp() / name
        self.directory.mkdir(exist_ok=True)
        (self.directory / "sitemon.conf").write_text(config)
        (self.directory / "sitemon.conf").chmod(0o600)
        command = [*through, binary, "-c", self.directory / "sitemon.conf", "run", *(["--console"] if console else [])]
        super().__init__(command, self.directory / "log", subprocess.PIPE if console else subprocess.DEVNULL)

    def ask(self, command, answer):
        """Type a command; the line that fits its answer, which is a regular expression."""
        self.must_live()
        seen = len(self.log.read_text(errors="replace"))
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

        def found():
            return re.search(answer, self.log.read_text(errors="replace")[seen:], re.M)

        return wait_for(f"no answer to {command}", found, 10).group(0)


def quote(text):
    """A TOML basic string."""
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def site_config(prefix, sites, interval, ca_file=None, keys=()):
    """A sitemon.conf without Telegram: `sites` addresses, the shipped defaults otherwise but for `keys`."""
    lines = ["[agent]", 'state = "state"', "uplink = []"]
    if ca_file:
        lines.append(f"ca_file = {quote(ca_file)}")
    lines += ["[defaults]", f'interval = "{interval}s"', *keys]
    for number in range(1, sites + 1):
        lines += ["[[site]]", f'name="s{number}"', f"url={quote(prefix + str(number))}"]
    return "\n".join(lines) + "\n"
