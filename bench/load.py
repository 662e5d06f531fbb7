"""What [listen] costs, and what the agent does when it is asked for more than the machine has."""

import math
import os
import pathlib
import re
import statistics
import time
import urllib.request

import bot
import farm

SITES = 1_000
SCRAPES = 20
# Of /status, 99 % of the time.
MOST_MS = 50
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

AGENT_CORE, *OTHER_CORES = sorted(os.sched_getaffinity(0))
# With one core the servers' share of it is a part of what is measured.
THROUGH = ["taskset", "-c", str(AGENT_CORE)] if OTHER_CORES else []
# What fits into a configuration of 1 MiB.
MOST_SITES = 17_000
LATE = "Rounds are late"


def leave_agent_its_core():
    """This process, and the servers that it starts from now on, keep off the agent's core."""
    if OTHER_CORES:
        os.sched_setaffinity(0, OTHER_CORES)


def overload(nginx, sitemon, scheme, connections, quick):
    """(cells of the table, what is not as it should be) of three times as many checks as can be made."""
    capacity = watch(nginx, sitemon, scheme, connections, 10_000, 12, None)["done"]
    sites = min(MOST_SITES, round(3 * capacity))
    telegram = bot.Bot()
    seen = watch(nginx, sitemon, scheme, connections, sites, 20 if quick else 60, telegram)
    texts = [text for _, text in telegram.sent]
    late = [text for text in texts if LATE in text]
    false = [text for text in texts if "🔴" in text or "🟡" in text or "flapping" in text]
    times = sorted(seen["times"])
    p99 = times[math.ceil(0.99 * len(times)) - 1]
    # Of each site, how much later than a second its checks came.
    gaps = [[after - before - 1 for before, after in zip(turns, turns[1:])] for turns in seen["turns"]]
    means, longest = sorted(map(statistics.fmean, gaps)), sorted(map(max, gaps))
    shares = means[-1] / statistics.median(means), longest[-1] / statistics.median(longest)
    wrong = [
        *(["an alert that is false: " + false[0]] if false else []),
        *([f"{seen['failed']} checks failed"] if seen["failed"] else []),
        *([f"told {len(late)} times, {seen['logged']} in the log"] if (len(late), seen["logged"]) != (1, 1) else []),
        *([f"{sites - len(gaps)} sites were checked less than twice"] if len(gaps) < sites else []),
        *(["a site waits twice as long as others"] if max(shares) > 2 else []),
        *([f"/status took {p99:.0f} ms, more than {MOST_MS} (99th percentile)"] if p99 > MOST_MS else []),
    ]
    return [
        ["wanted, done a second", f"{sites:,}, {seen['done']:,.0f} ({sites / seen['done']:.1f} times)"],
        ["alerts that a site is down, slow or flapping; checks that failed", f"{len(false)}, {seen['failed']}"],
        ["a site's checks come too late by, on average: median, most late site, ratio",
         f"{statistics.median(means):.2f} s, {means[-1]:.2f} s, {shares[0]:.2f}"],
        ["at worst: median, most late site, ratio",
         f"{statistics.median(longest):.2f} s, {longest[-1]:.2f} s, {shares[1]:.2f}"],
        ["late rounds, by /metrics", f"{seen['late']:,.0f}"],
        [f"/status ({len(times)} times), median, 99th percentile, slowest",
         f"{statistics.median(times):.1f}, {p99:.1f}, {times[-1]:.1f} ms"],
        ["of which in the agent, by /stats", seen["answers"]],
        ["processor time of the agent, of all else", f"{seen['own']:.0f} %, {seen['others']:.0f} % of a core"],
        ["told in the chat, in the log", f"{len(late)}, {seen['logged']}"],
        ["in these words", late[0] if late else "-"],
    ], wrong


def watch(nginx, sitemon, scheme, connections, sites, seconds, telegram):
    """So many sites every second, for so long after the first round."""
    address = f"127.0.0.1:{farm.free_port()}"
    ca_file = nginx.ca_file if scheme == "https" else None
    config = farm.site_config(nginx.url(scheme), sites, 1, ca_file)
    config = config.replace('state = "state"', f'state = "state"\nmax_connections = {connections}')
    if telegram:
        config += f'[telegram]\ntoken = "{bot.TOKEN}"\nchats = [{bot.CHAT}]\napi = "{telegram.url}"\n'
    _, before = nginx.counts()
    name = f"overload-{scheme}-{connections}-{sites}"
    agent = farm.Sitemon(sitemon, name, config + listen_table(address), through=THROUGH)
    farm.wait_for("a round", lambda: agent.must_live() or nginx.counts()[1] >= before + sites, 120)
    _, first = nginx.counts()
    began, since, times = time.monotonic(), time.time(), []
    own, busy = agent.cpu_us(), busy_seconds()
    # It is told after a minute of it.
    told = lambda: not telegram or any(LATE in text for _, text in telegram.sent)
    while time.monotonic() < began + seconds or not told() and time.monotonic() < began + 120:
        agent.must_live()
        if telegram:
            times.append(1000 * ask(telegram, "/status", " up")[0])
        time.sleep(0.1)
    _, last = nginx.counts()
    lasted = time.monotonic() - began
    own = (agent.cpu_us() - own) / 1e6
    seen = {
        "done": (last - first) / lasted,
        "times": times,
        "own": 100 * own / lasted,
        "others": 100 * (busy_seconds() - busy - own) / lasted,
    }
    if not telegram:
        farm.stop(agent.process)
        return seen
    answers = re.search("Answer times: (.*)", ask(telegram, "/stats", "Answer times")[1]).group(1)
    text = scrape(address)[1]
    farm.stop(agent.process)
    failures = re.findall(r'sitemon_checks_total\{site="\w+",result="(?!success)\w+"\} (\d+)', text)
    turns = nginx.turns(since, since + lasted).values()
    return {
        **seen,
        "answers": answers,
        "turns": [turns_of_site for turns_of_site in turns if len(turns_of_site) > 1],
        "failed": sum(map(int, failures)),
        "late": float(re.search(r"^sitemon_rounds_late_total (\S+)", text, re.M).group(1)),
        "logged": agent.log.read_text(errors="replace").count(LATE),
    }


def busy_seconds():
    """Processor time of everything on this machine since it started."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = map(int, words[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def ask(telegram, command, sign):
    """(seconds from the update's leaving to the answer's arrival, the answer, which has `sign` in it)."""
    seen = len(telegram.sent)
    update = telegram.give(command)

    def answers():
        asked = telegram.handed_out.get(update, math.inf)
        return [(came - asked, text) for came, text in telegram.sent[seen:] if came > asked and sign in text]

    if not telegram.wait(answers, 60):
        farm.die(f"no answer to {command} within 60 s")
    return answers()[0]
