"""How often a check has the kernel work and the processor woken, and how quiet a process is between checks."""

import collections
import pathlib
import re
import subprocess
import time

import bot
import farm
import peers
from farm import die, say

STRACE = "/usr/bin/strace"
NEEDS = [("nginx", "/usr/sbin/nginx"), ("openssl", "/usr/bin/openssl"), ("ca-certificates", farm.SYSTEM_ROOTS),
         ("strace", STRACE), ("monit", peers.MONIT)]
# (sites, seconds between checks): a router's load, and that of the other tables.
LOADS = [(120, 60), (100, 2)]
IDLE = 60  # seconds between the checks of a site
MINUTE = 60
DAY = 86_400

# Columns: heading, what a call is to be counted there.
COUNTED = [
    ("system calls", lambda call, descriptor: True),
    ("eventfd writes", lambda call, descriptor: call == "write" and "eventfd" in descriptor),
    ("timerfd settings", lambda call, descriptor: call == "timerfd_settime"),
    ("futexes", lambda call, descriptor: call == "futex"),
    ("epoll waits", lambda call, descriptor: call in ("epoll_wait", "epoll_pwait", "epoll_pwait2")),
]


def switches(process):
    """Times that threads of a process went to sleep, by thread: each ends with a wake-up."""
    found = {}
    for status in pathlib.Path(f"/proc/{process.pid}/task").glob("*/status"):
        try:
            text = status.read_text()
        except OSError:  # a thread that has ended
            continue
        found[status.parent.name] = int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M).group(1))
    return found


def slept(before, after):
    return sum(count - before.get(thread, 0) for thread, count in after.items())


# --- a check ------------------------------------------------------------------

def checks(nginx, binaries, certificates, seconds):
    """((headings, rows) of what is counted, (headings, rows) of the calls by name); of each binary, `seconds` a window."""
    rows, names, columns = [], [], []
    for scheme in ("http", "https"):
        for sites, interval in LOADS:
            for label, binary in binaries.items():
                say(f"{label}, {scheme}, {sites / interval:.0f} checks a second")
                calls, counted, slept_a_check, cpu = watch(nginx, label, binary, scheme, sites, interval, certificates,
                                                           seconds)
                rows.append([label, scheme, f"{sites / interval:.0f}", *(f"{count:.1f}" for count in counted),
                             f"{slept_a_check:.1f}", f"{cpu:,.0f}"])
                columns.append(calls)
                names.append(f"{label}, {scheme}, {sites / interval:.0f}/s")
    totals = collections.Counter()
    for calls in columns:
        totals.update(calls)
    by_name = [[call, *(f"{calls[call]:.2f}" for calls in columns)] for call, most in totals.most_common()
               if most >= 0.1]
    heads = ["", "", "checks/s", *(head for head, _ in COUNTED), "context switches", "CPU µs"]
    return (heads, rows), (["call", *names], by_name)


def watch(nginx, label, binary, scheme, sites, interval, certificates, seconds):
    """(calls by name, those of `COUNTED`, times slept, µs of CPU), all a check; the last two without strace."""
    roots = certificates / "bundle.pem" if scheme == "https" else None
    agent = farm.Sitemon(binary, re.sub(r"\W+", "-", f"{label}-{scheme}-{sites}"),
                         farm.site_config(nginx.url(scheme), sites, interval, roots))
    # Every site once: what is learnt of it is.
    _, before = nginx.counts()
    farm.wait_for("no round", lambda: nginx.counts()[1] >= before + sites, 120 + 2 * interval)

    def window(pause):
        _, first = nginx.counts()
        pause()
        done = nginx.counts()[1] - first
        if done == 0:
            die(f"{label} checks nothing any more:\n{agent.last_lines()}")
        return done

    sleeps, used = switches(agent.process), agent.cpu_us()
    done = window(lambda: time.sleep(seconds))
    slept_a_check, used = slept(sleeps, switches(agent.process)) / done, (agent.cpu_us() - used) / done

    log = agent.directory / "strace"
    strace = subprocess.Popen([STRACE, "-f", "-q", "-y", "-o", log, "-p", str(agent.process.pid)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    farm.wait_for("strace", lambda: log.exists() and log.stat().st_size > 0, 30)
    already = log.stat().st_size
    done = window(lambda: time.sleep(seconds))
    with open(log, errors="replace") as lines:
        lines.seek(already)
        calls = collections.Counter()
        counted = [0] * len(COUNTED)
        for line in lines.read().splitlines():
            # "17 write(5<anon_inode:[eventfd]>, …": not where one goes on that was interrupted.
            if found := re.match(r"\d+ +(\w+)\((?:\d+<([^>]*)>)?", line):
                call, descriptor = found.groups("")
                calls[call] += 1
                for index, (_, fits) in enumerate(COUNTED):
                    counted[index] += fits(call, descriptor)
    strace.terminate()
    strace.wait()
    farm.stop(agent.process)
    rated = collections.Counter({call: count / done for call, count in calls.items()})
    return rated, [count / done for count in counted], slept_a_check, used


# --- between checks -----------------------------------------------------------

def idle(nginx, sitemon, certificates, seconds):
    """(headings, rows): all at once, each site once a minute. They hardly meet: none takes a hundredth of a processor."""
    started = []
    for scheme in ("http", "https"):
        for sites in (10, 100, 1000):
            for who, peer, binary in (("sitemon", peers.Agent, sitemon), ("Monit", peers.Monit, peers.MONIT)):
                if who == "Monit" and scheme == "https" and sites == 1000:
                    continue  # takes longer than a minute for a round, and all of a processor
                agent = peer(binary, f"idle-{who}-{scheme}-{sites}", nginx.url(scheme), sites, IDLE, certificates, True)
                started.append((who, f"{sites:,} {scheme}", agent))
    paused = farm.site_config(nginx.url("http"), 100, IDLE, keys=["paused = true"])
    telegram = f'[telegram]\ntoken = "{bot.TOKEN}"\nchats = [{bot.CHAT}]\napi = "{bot.Bot().url}"\n'
    for what, config in (("100 http, paused", paused), ("100 http, paused, Telegram", paused + telegram)):
        started.append(("sitemon", what, farm.Sitemon(sitemon, "idle-" + re.sub(r"\W+", "-", what), config)))
    say(f"idle: a round of {IDLE} s, then {seconds} s")
    time.sleep(IDLE + 10)
    before = [(switches(agent.process), agent.cpu_us(), time.monotonic()) for _, _, agent in started]
    time.sleep(seconds)
    rows = []
    for (who, what, agent), (sleeps, used, began) in zip(started, before):
        agent.must_live()
        if trouble := getattr(agent, "trouble", lambda: None)():
            die(f"{who} says that a site fails: {trouble}")
        took = time.monotonic() - began
        woken = slept(sleeps, switches(agent.process)) / took * MINUTE
        rows.append([who, what, f"{woken:,.0f}", f"{(agent.cpu_us() - used) / 1e6 / took * DAY:,.1f}"])
    for _, _, agent in started:
        farm.stop(agent.process)
    return ["", f"sites, each every {IDLE} s", "wake-ups a minute", "CPU s a day"], rows
