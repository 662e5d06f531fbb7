"""What a check of each kind costs, and what it leaves behind."""

import os
import re
import statistics
import subprocess
import time

import farm
import servers
from farm import die, say

SITES = 100
INTERVAL = 2  # seconds
PERMITS = 60  # a ping holds its own for half a second
LOOKS = 200  # certificates looked at in one command


def measure(sitemon, nginx, certificates, window):
    """(headings, rows): a row a kind."""
    dns = servers.Dns(lambda query: [servers.reply(query, [("A", b"\xc0\0\2\1")])])
    http, https = (nginx.url(scheme).split("://")[1] for scheme in ("http", "https"))
    port, tls_port = (address.split("/")[0] for address in (http, https))
    roots = certificates / "bundle.pem"
    kinds = [
        ("none: all paused", f"tcp://{port}", None, "paused = true"),
        ("http", f"http://{http}", None, ""),
        ("https, Debian's roots", f"https://{https}", roots, ""),
        ("tcp", f"tcp://{port}", None, ""),
        ("tls, Debian's roots", f"tls://{tls_port}", roots, ""),
        ("tls, one root", f"tls://{tls_port}", certificates / "ca.pem", ""),
        ("dns", f"dns://{dns.at}/www.example.org?type=A", None, 'expect = "192.0.2.1"'),
        ("icmp, three packets", "icmp://127.0.0.1", None, ""),
        ("host:memory", "host:memory?available=1%", None, ""),
        ("host:disk", "host:disk/?inodes=1", None, ""),
        # Without what the programs take themselves.
        ("exec: /bin/true", "exec:", None, 'command = ["/bin/true"]'),
    ]
    rows = [row(sitemon, *kind, window) for kind in kinds]
    look = [look_us(sitemon, f"tls://{tls_port}", roots) for _ in range(7)]
    rows.append(["look at a certificate", spread(look), "", "", "", "", ""])
    return ["kind", "CPU µs a check", "checks/s", "RSS KiB", "peak KiB", "threads", "fds"], rows


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def row(sitemon, kind, url, roots, keys, window):
    say(f"{SITES} sites, {kind}")
    numbered = "http" in url.split(":")[0]
    agent = farm.Sitemon(sitemon, "kind-" + re.sub(r"\W+", "-", kind), config(url, roots, keys, SITES, numbered),
                         console=True)
    paused = "paused" in keys
    # Every site twice: what is learnt of it is.
    farm.wait_for("no checks", lambda: paused or checks(agent) >= 2 * SITES, 30 + 2 * INTERVAL)
    cpu, done, threads = [], 0, []
    began = time.monotonic()
    for _ in range(3):
        before, used, end = checks(agent), agent.cpu_us(), time.monotonic() + window
        while time.monotonic() < end:
            threads.append(agent.threads())
            time.sleep(0.05)
        used, ran = agent.cpu_us() - used, checks(agent) - before
        if not ran and not paused:
            die(f"sitemon checks nothing any more:\n{agent.last_lines()}")
        cpu.append(used / max(ran, 1))
        done += ran
    rate = done / (time.monotonic() - began)
    failing = agent.ask("/status", r"^(\d+ up|\d+ paused).*")
    if not re.fullmatch(rf"{SITES} up|0 up, {SITES} paused", failing):
        die(f"{kind}: {failing}")
    resident, peak = agent.memory()
    result = [kind, "" if paused else spread(cpu), f"{rate:.0f}", f"{resident:,}", f"{peak:,}",
              f"{statistics.mode(threads)} (at most {max(threads)})", agent.descriptors()]
    farm.stop(agent.process)
    return result


def config(url, roots, keys, sites, numbered):
    """A sitemon.conf without Telegram; `numbered`: every site has an address of its own."""
    lines = ["[agent]", 'state = "state"', "uplink = []", f"max_connections = {PERMITS}",
             *([f"ca_file = {farm.quote(roots)}"] if roots else []),
             "[defaults]", f'interval = "{INTERVAL}s"']
    for number in range(sites):
        lines += ["[[site]]", f'name = "s{number}"', f"url = {farm.quote(url + str(number) if numbered else url)}", keys]
    return "\n".join(lines) + "\n"


def checks(agent):
    """Checks done so far, by `/stats`."""
    return int(re.search(r"(\d+), of", agent.ask("/stats", r"Checks done: .*")).group(1))


def look_us(sitemon, url, roots):
    """What `check` costs with looks at certificates, less what it costs without, a look."""
    used = []
    for keys in ('cert = "14d"', 'cert = "0s"'):
        path = farm.temp() / "looks.conf"
        path.write_text(config(url, roots, keys, LOOKS, False))
        command = [str(sitemon), "-c", str(path), "check", "--json"]
        process = subprocess.Popen(command, env=farm.ENVIRONMENT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            die(f"check ended with {process.returncode}")
        used.append((usage.ru_utime + usage.ru_stime) * 1e6)
    return (used[0] - used[1]) / LOOKS
