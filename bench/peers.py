"""sitemon beside a C program, Monit, blackbox_exporter and Uptime Kuma: what each takes to check the same sites."""

import gzip
import http.client
import itertools
import json
import pathlib
import platform
import re
import statistics
import subprocess
import textwrap
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import farm
import kuma
from farm import die, say

MONIT = "/usr/bin/monit"
BLACKBOX = "/usr/bin/prometheus-blackbox-exporter"
NEEDS = [("nginx", "/usr/sbin/nginx"), ("openssl", "/usr/bin/openssl"), ("ca-certificates", farm.SYSTEM_ROOTS),
         ("monit", MONIT), ("prometheus-blackbox-exporter", BLACKBOX),
         ("libcurl4-openssl-dev", f"/usr/include/{platform.machine()}-linux-gnu/curl/curl.h"),
         ("gcc", "/usr/bin/gcc"), ("libc6-dev", "/usr/include/stdio.h")]
# Sites: (seconds between checks, windows after the first round, checks in each). Three rounds at least.
FARMS = {10: (2, 2, 10), 100: (2, 5, 100), 1000: (10, 4, 500)}
# Uptime Kuma begins one site after the other, with more than half a second between them.
KUMA_FARMS = {10: (kuma.INTERVAL, 2, 10), 100: (kuma.INTERVAL, 3, 100)}
COMPARED = 100  # sites, for the CPU time and the threads of the summary
TOGETHER = 3  # checks that sitemon begins at once with max_connections = 10: half of those it may make
FLAT_OUT = 1000  # requests in a window of the C program without pauses
ASKERS = 16  # probes of blackbox_exporter at once, at most
GLIBC = re.compile(r"/(ld-linux[\w-]*|lib(c|m|dl|rt|pthread|resolv))\.so\.\d+$")


# --- the three ----------------------------------------------------------------

class Agent(farm.Sitemon):
    def __init__(self, binary, name, prefix, sites, interval, tls, trusting):
        # The first failure is told.
        super().__init__(binary, name, farm.site_config(
            prefix, sites, interval, tls / "bundle.pem" if trusting else None, ["tries = 1"]))

    def trouble(self):
        return complaint(self.log, " is down")


class Monit(farm.Process):
    def __init__(self, binary, name, prefix, sites, interval, tls, trusting):
        directory = farm.temp() / name
        directory.mkdir()
        host = urllib.parse.urlsplit(prefix).hostname
        # To what is named here OpenSSL's own roots are added, which are Debian's.
        also = f' cacertificatefile: "{tls / "ca.pem"}"' if trusting else ""
        lines = [f"set daemon {interval}", f"set ssl options {{ verify: enable{also} }}",
                 *(f"set {file}file {directory / file}" for file in ("pid", "id", "state"))]
        for number in range(1, sites + 1):
            lines += [f"check host s{number} with address {host}", f"    if failed url {prefix}{number} then alert"]
        control = directory / "monitrc"
        control.write_text("\n".join(lines) + "\n")
        control.chmod(0o700)
        super().__init__([binary, "-I", "-c", control], directory / "log")

    def trouble(self):
        return complaint(self.log, "failed|error")


class Blackbox(farm.Process):
    """The exporter, and in threads of ours who asks it: for every site once an interval, evenly spread, on kept
    connections, compressed, as Prometheus does."""

    def __init__(self, binary, name, prefix, sites, interval, tls, trusting):
        directory = farm.temp() / name
        directory.mkdir()
        module = {"prober": "http", "timeout": "10s",
                  "http": {"preferred_ip_protocol": "ip4", "fail_if_not_ssl": prefix.startswith("https")}}
        (directory / "blackbox.yml").write_text(json.dumps({"modules": {"http": module}}))
        self._address = "127.0.0.1", farm.free_port()
        # Go reads this in the place of Debian's bundle, once a process. With `ca_file` of the module the exporter
        # reads it for every probe, and takes six times as long.
        roots = [f"SSL_CERT_FILE={tls / 'bundle.pem'}"] if trusting else []
        super().__init__(["/usr/bin/env", *roots, binary, f"--config.file={directory / 'blackbox.yml'}",
                          "--web.listen-address={}:{}".format(*self._address)], directory / "log")
        self.name = binary
        self._trouble = None
        farm.wait_for(self.name, self._healthy, 10)
        paths = ["/probe?" + urllib.parse.urlencode({"module": "http", "target": f"{prefix}{number}"})
                 for number in range(1, sites + 1)]
        turns, began = itertools.count(), time.monotonic()
        for _ in range(ASKERS):
            threading.Thread(target=self._ask, args=[paths, turns, began, interval / sites], daemon=True).start()

    def _healthy(self):
        self.must_live()
        try:
            connection = http.client.HTTPConnection(*self._address, timeout=5)
            connection.request("GET", "/-/healthy")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def _ask(self, paths, turns, began, pause):
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        for turn in turns:
            time.sleep(max(0, began + turn * pause - time.monotonic()))
            path = paths[turn % len(paths)]
            try:
                connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
                answer = gzip.decompress(connection.getresponse().read()).decode()
            except (OSError, http.client.HTTPException) as error:
                self._trouble = f"{path}: {error!r}"  # of a run that is over, too: not asked for any more
                return
            if not re.search(r"^probe_success 1$", answer, re.M):
                self._trouble = f"{path}: no probe_success 1"

    def trouble(self):
        return self._trouble


def complaint(log, words):
    """The first line of a log with these words."""
    found = re.search(rf"^.*({words}).*$", log.read_text(errors="replace"), re.M)
    return found and found.group()


# --- running them -------------------------------------------------------------

def measure(nginx, sitemon, certificates, farms):
    peers = {"sitemon": (Agent, sitemon), "Monit": (Monit, MONIT), "blackbox_exporter": (Blackbox, BLACKBOX)}
    nameless = [who for who in peers if not proven(who, *peers[who], nginx, certificates)]
    floor = farm.build_floor()
    runs, c = {}, {}
    for scheme, sites in [("https", sites) for sites in farms] + [("http", COMPARED)]:
        for who, (peer, binary) in peers.items():
            say(f"{who}, {sites:,} {scheme} sites")
            agent = peer(binary, f"{who}-{scheme}-{sites}", nginx.url(scheme), sites, FARMS[sites][0],
                         certificates, True)
            runs[who, scheme, sites] = run(who, agent, nginx, sites, *FARMS[sites])
            if who == "sitemon" and sites == COMPARED:
                c.update(c_windows(floor, nginx.url(scheme), scheme, certificates))
    programs = {who: size(binary) for who, (_, binary) in peers.items()}
    lacking = kuma.install()
    if not lacking:
        runs.update(kuma_runs(certificates, [sites for sites in farms if sites in KUMA_FARMS]))
        programs["Uptime Kuma"] = kuma.size()
    return Found(sitemon, programs, farms, runs, c, nameless, lacking)


def c_windows(floor, prefix, scheme, certificates):
    """{(how it asks, scheme): CPU µs a request, of windows of as many as sitemon's}"""
    interval, windows, checks = FARMS[COMPARED]
    rate = COMPARED / interval
    roots = certificates / "bundle.pem" if scheme == "https" else None
    found = {}
    for how, *asked in ((f"C, {rate:.0f}/s one by one", rate, checks, 1),
                        (f"C, {rate:.0f}/s {TOGETHER} at a time", rate, checks, TOGETHER),
                        ("C, flat out", 0, FLAT_OUT, 1)):
        say(f"{how}, {scheme}")
        found[how, scheme], _ = farm.run_floor(floor, prefix, COMPARED, roots, *asked, windows)
    return found


def kuma_runs(certificates, farms):
    """All at the same time, each with an nginx of its own: they take long to begin, and little then."""
    def one(scheme, sites):
        name = f"kuma-{scheme}-{sites}"
        nginx = farm.Nginx(certificates, f"nginx-{name}")
        agent = kuma.Kuma(None, name, nginx.url(scheme), sites, KUMA_FARMS[sites][0], certificates, True)
        return run("Uptime Kuma", agent, nginx, sites, *KUMA_FARMS[sites])

    say("Uptime Kuma, " + ", ".join(f"{sites:,}" for sites in farms) + " sites")
    asked = [("https", sites) for sites in farms] + [("http", COMPARED)]
    with ThreadPoolExecutor(len(asked)) as pool:
        results = [pool.submit(one, *what) for what in asked]
        return {("Uptime Kuma", *what): result.result() for what, result in zip(asked, results)}


def proven(who, peer, binary, nginx, certificates):
    """Dies unless it asks a site whose root it trusts, and none whose root it does not; whether it compares names."""
    def asks(what, prefix, trusting):
        _, before = nginx.counts()
        agent = peer(binary, f"{who}-{what}", prefix, 1, 1, certificates, trusting)
        farm.wait_for(f"{who} with {what}: no verdict", lambda: agent.trouble() or nginx.counts()[1] > before, 20)
        farm.stop(agent.process)
        return nginx.counts()[1] > before

    say(f"{who}: does it verify certificates?")
    if not asks("trusted", nginx.url("https"), True):
        die(f"{who} does not ask a good site")
    if asks("untrusted", nginx.url("https"), False):
        die(f"{who} asks a site with a root that it does not trust")
    return not asks("other-name", nginx.url("https").replace("127.0.0.1", "localhost"), True)


def run(who, agent, nginx, sites, interval, windows, checks):
    """What the kernel says of one agent after a round and some windows."""

    def must_succeed():
        if trouble := agent.trouble():
            die(f"{who} says that a site fails: {trouble}")

    def wait_for(wanted):
        # A quarter of a second a check is enough for a Monit on a busy machine.
        end = time.monotonic() + 30 + 3 * interval + sites / 4
        while (count := nginx.counts())[1] < wanted:
            agent.must_live()
            must_succeed()
            if time.monotonic() > end:
                die(f"{who}: nginx got {count[1]:,} requests, wanted {wanted:,}:\n{agent.last_lines()}")
            time.sleep(0.05)
        return agent.cpu_us(), *count

    now = first = wait_for(nginx.counts()[1] + sites)
    began, cpu = time.monotonic(), []
    for _ in range(windows):
        last, now = now, wait_for(now[2] + checks)
        cpu.append((now[0] - last[0]) / (now[2] - last[2]))
    done, seconds = now[2] - first[2], time.monotonic() - began
    result = {"cpu": cpu, "rate": done / seconds, "round": seconds * sites / done,
              "connections": (now[1] - first[1]) / done, "memory": agent.memory(), "threads": agent.threads(),
              "own": agent.own(), "descriptors": agent.descriptors()}
    must_succeed()
    farm.stop(agent.process)
    return result


# --- what came of it ----------------------------------------------------------

class Found:
    def __init__(self, sitemon, programs, farms, runs, c, nameless, lacking):
        """`c`: of the C program. `lacking`: why there is no Uptime Kuma."""
        self.sitemon, self.programs, self.farms, self.runs, self.c = sitemon, programs, farms, runs, c
        self.nameless, self.lacking = nameless, lacking

    def every_run(self):
        """(headings, rows)"""
        heads = ["who", "sites", "checks/s", "CPU µs a check", "RSS KiB", "peak KiB", "of its own", "threads", "fds",
                 "connections a check"]
        return heads, [[who, f"{sites:,} {scheme}", f"{run['rate']:.1f}",
                        spread(run["cpu"]), *(f"{kib:,}" for kib in (*run["memory"], run["own"])),
                        run["threads"], run["descriptors"], f"{run['connections']:.3f}"]
                       for (who, scheme, sites), run in self.runs.items()]

    def processor(self):
        """(headings, rows) for docs/measured.md: CPU time a check, and sitemon's divided by it."""
        cpu = {who: {scheme: self.runs[who, scheme, COMPARED]["cpu"] for scheme in ("http", "https")}
               for who in self.programs}
        for (how, scheme), windows in self.c.items():
            cpu.setdefault(how, {})[scheme] = windows
        ours = {scheme: statistics.median(windows) for scheme, windows in cpu["sitemon"].items()}
        rows = []
        for who, windows in cpu.items():
            row = [who]
            for scheme in ("http", "https"):
                row += [spread(windows[scheme]), f"{ours[scheme] / statistics.median(windows[scheme]):.2f}"]
            rows.append(row)
        rows.sort(key=lambda row: (row[0] != "sitemon", not row[0].startswith("C,")))
        return ["CPU µs a check", "http", "sitemon to it", "https", "sitemon to it"], rows

    def summary(self):
        """(headings, rows) for docs/measured.md."""
        heads = ["", "program", *(f"memory, {sites:,} sites" for sites in self.farms), "threads"]
        rows = []
        for who, (alone, others) in self.programs.items():
            found = [self.runs.get((who, "https", sites)) for sites in self.farms]
            rows.append([who, mb(alone) + (f" + {mb(others)}" if others else ""),
                         *(memory(*run["memory"]) if run else "" for run in found),
                         self.runs[who, "https", COMPARED]["threads"]])
        return heads, rows

    def notes(self, machine):
        most = max(self.farms)
        rounds = [f"{who} {self.runs[who, 'https', most]['round']:.0f} s" for who in self.programs
                  if (who, "https", most) in self.runs]
        version = subprocess.run([self.sitemon, "--version"], capture_output=True, text=True).stdout.strip()
        every = ", ".join(f"{sites:,} every {FARMS[sites][0]} s" for sites in self.farms)
        lines = [
            f"By `bench/run peers`, in one run: {machine}; {version}, Debian's {package(MONIT)} and {package(BLACKBOX)}",
            f"and no Uptime Kuma: {self.lacking}." if self.lacking else
            f"and npm's uptime-kuma {kuma.VERSION}.",
            "No alert goes anywhere. blackbox_exporter neither schedules nor alerts: Prometheus and Alertmanager do, "
            "and are not counted.",
            f"Sites: {every}, each check a connection and over https a full handshake, certificates verified with "
            f"Debian's roots. A round of {most:,} took " + ", ".join(rounds) + ": Monit checks one after the other.",
            "Memory: with https, resident after three rounds or more. Beside the program: shared libraries but glibc's.",
            f"CPU: {COMPARED} sites, median of {FARMS[COMPARED][1]} windows (least-greatest). C: a program on libcurl and "
            f"OpenSSL, its roots parsed once; sitemon begins up to {TOGETHER} checks over http together, and each "
            "handshake by itself."]
        if not self.lacking:
            lines.append(f"Uptime Kuma, whose shortest interval is {kuma.INTERVAL} s, had that: 5 checks a second, three "
                         "windows; beside it is what npm installed. With 1,000 it takes eleven minutes to begin.")
        if self.nameless:
            lines.append(f"{' and '.join(self.nameless)} took a certificate for another name.")
        return textwrap.fill(" ".join(lines), 120, break_long_words=False, break_on_hyphens=False)


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def memory(resident, peak):
    resident, peak = mb(1024 * resident), mb(1024 * peak)
    return resident if resident == peak else f"{resident} (peak {peak})"


def mb(count):
    return f"{count / 1e6:.1f} MB"


def size(binary):
    """Bytes of a program, and of the shared libraries it needs that are not the C library's."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True)  # fails for a static one
    libraries = [path for path in re.findall(r"(/\S+) \(0x", done.stdout) if not GLIBC.search(path)]
    return pathlib.Path(binary).stat().st_size, sum(pathlib.Path(path).stat().st_size for path in libraries)


def package(file):
    """Name, version and installed size of the Debian package that has a file."""
    def ask(*command):
        return subprocess.run(["dpkg-query", *command], capture_output=True, text=True, check=True).stdout
    name = ask("--search", file).split(":")[0]
    return ask("--show", "--showformat", "${Package} ${Version} (${Installed-Size} KiB installed)", name)


def target_sizes():
    """[target, bytes] by the file that packaging/cross/size --update writes; none without it."""
    file = farm.ROOT / "packaging/cross/sizes"
    lines = file.read_text().splitlines() if file.exists() else []
    return [[words[0], f"{int(words[1]):,}"] for words in map(str.split, lines)
            if len(words) == 2 and words[1].isdigit()]
