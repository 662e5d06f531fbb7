"""What [listen] costs, and what the agent does when it is asked for more than the machine has."""

import math
import re
import statistics
import time
import urllib.request

import bot
import farm

SITES = 1_000
SCRAPES = 20
OPEN = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


def scrape(address):
    """(seconds, text) of one scrape."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": OPEN})
    began = time.monotonic()
    text = opener.open(request, timeout=30).read().decode()
    return time.monotonic() - began, text


def listen_table(address):
    return f'[listen]\naddress = "{address}"\n'


# --- what it costs --------------------------------------------------------------

def scrape_rows(nginx, sitemon):
    """Cells of the table: idle cost, and that of a scrape."""
    interval = 20
    config = farm.site_config(nginx.url("http"), SITES, interval)
    idle = {}
    for listens in (False, True):
        address = f"127.0.0.1:{farm.free_port()}"
        _, before = nginx.counts()
        agent = farm.Sitemon(sitemon, f"scrape-{listens}", config + (listen_table(address) if listens else ""))
        farm.wait_for("a round", lambda: nginx.counts()[1] >= before + SITES, interval + 30)
        idle[listens] = (agent.memory()[0], agent.descriptors())
        if not listens:
            farm.stop(agent.process)
    quiet = agent.cpu_us()
    time.sleep(10)
    quiet = (agent.cpu_us() - quiet) / 10
    used, began, times, length = agent.cpu_us(), time.monotonic(), [], 0
    for _ in range(SCRAPES):
        took, text = scrape(address)
        times.append(1000 * took)
        length = len(text.encode())
        time.sleep(0.2)
    used = agent.cpu_us() - used - quiet * (time.monotonic() - began)
    after = agent.memory()[0]
    series = sum(not line.startswith("#") for line in text.splitlines())
    farm.stop(agent.process)
    (memory, descriptors), (memory_with, descriptors_with) = idle[False], idle[True]
    return [
        ["resident memory, without and with [listen]", f"{memory:,} and {memory_with:,} KiB"],
        [f"the same after {SCRAPES} scrapes", f"{after:,} KiB"],
        ["descriptors, without and with", f"{descriptors} and {descriptors_with}"],
        ["series, bytes of a scrape", f"{series:,}, {length:,}"],
        ["CPU of a scrape", f"{used / SCRAPES / 1000:.1f} ms"],
        ["a scrape, median and slowest", f"{statistics.median(times):.1f} and {max(times):.1f} ms"],
    ]


# --- more than the machine has ---------------------------------------------------

def overload_rows(nginx, sitemon, connections, quick):
    """Cells of the table: three times as many checks as can be made."""
    capacity = watch(nginx, sitemon, connections, 4_000, 12, None)["done"]
    sites = min(9_000, round(3 * capacity))
    telegram = bot.Bot()
    seen = watch(nginx, sitemon, connections, sites, 20 if quick else 60, telegram)
    texts = [text for _, text in telegram.sent]
    late = [text for text in texts if "Checks are late" in text]
    false = [text for text in texts if "🔴" in text or "🟡" in text]
    checks = sorted(seen["checks"].values())
    return [
        ["wanted, done a second", f"{sites:,}, {seen['done']:,.0f}"],
        ["alerts that a site is down or slow", len(false)],
        ["checks that failed", seen["failed"]],
        ["checks of a site: fewest, median, most", f"{checks[0]}, {statistics.median(checks):.0f}, {checks[-1]}"],
        ["late rounds, by /metrics", f"{seen['late']:,.0f}"],
        ["/status, median, 99th percentile, slowest",
         ", ".join(f"{ms:.1f}" for ms in (statistics.median(seen["times"]),
                                          seen["times"][math.ceil(0.99 * len(seen["times"])) - 1],
                                          seen["times"][-1])) + " ms"],
        ["told in the chat, and in the log", f"{len(late)}, {seen['logged']}"],
        ["in these words", late[0] if late else "-"],
    ]


def watch(nginx, sitemon, connections, sites, seconds, telegram):
    """So many sites every second, for so long after the first round."""
    address = f"127.0.0.1:{farm.free_port()}"
    config = farm.site_config(nginx.url("http"), sites, 1)
    config = config.replace('state = "state"', f'state = "state"\nmax_connections = {connections}')
    if telegram:
        config += f'[telegram]\ntoken = "{bot.TOKEN}"\nchats = [{bot.CHAT}]\napi = "{telegram.url}"\n'
    _, before = nginx.counts()
    agent = farm.Sitemon(sitemon, f"overload-{connections}-{sites}", config + listen_table(address))
    farm.wait_for("a round", lambda: nginx.counts()[1] >= before + sites, 120)
    _, first = nginx.counts()
    began, times = time.monotonic(), []
    # It is told after a minute of it.
    told = lambda: not telegram or any("Checks are late" in text for _, text in telegram.sent)
    while time.monotonic() < began + seconds or not told() and time.monotonic() < began + 120:
        agent.must_live()
        if telegram:
            times.append(1000 * ask_status(telegram))
        time.sleep(0.2)
    _, last = nginx.counts()
    done = (last - first) / (time.monotonic() - began)
    text = scrape(address)[1]
    farm.stop(agent.process)
    counts = re.findall(r'sitemon_checks_total\{site="(\w+)",result="(\w+)"\} (\d+)', text)
    per_site = {}
    for site, _, count in counts:
        per_site[site] = per_site.get(site, 0) + int(count)
    return {
        "done": done,
        "times": sorted(times),
        "checks": per_site,
        "failed": sum(int(count) for _, result, count in counts if result != "success"),
        "late": float(re.search(r"^sitemon_rounds_late_total (\S+)", text, re.M).group(1)),
        "logged": agent.log.read_text(errors="replace").count("Checks are late"),
    }


def ask_status(telegram):
    """Seconds from the update's leaving to the answer's arrival."""
    seen = len(telegram.sent)
    update = telegram.give("/status")

    def answers():
        asked = telegram.handed_out.get(update, math.inf)
        return [came - asked for came, text in telegram.sent[seen:] if came > asked and " up" in text]

    if not telegram.wait(answers, 60):
        farm.die("no answer to /status within 60 s")
    return answers()[0]
