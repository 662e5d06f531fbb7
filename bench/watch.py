"""An agent with good sites under attack: its configuration, servers in processes of their own, checks that came late."""

import json
import os
import threading
import time

import farm


def apart(make):
    """What `make()` returns in a process of its own, which ends with this one: its threads take none of our time."""
    ours, theirs = os.pipe()
    result, answer = os.pipe()
    if os.fork() == 0:
        try:
            os.close(theirs)
            os.write(answer, json.dumps(make()).encode() + b"\n")
            os.read(ours, 1)
        finally:
            os._exit(0)
    os.close(answer)
    with open(result) as file:
        line = file.readline()
    if not line:
        farm.die("the servers do not start")
    return json.loads(line)


class Stalls(list):
    """Times (from, to) in which even this thread did not run: what is late then is not the agent's fault."""

    def __init__(self):
        super().__init__()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        last = time.monotonic()
        while True:
            time.sleep(0.05)
            now = time.monotonic()
            if now - last > 0.3:
                self.append((last, now))
            last = now

    def total(self):
        return sum(to - since for since, to in self)


def visits(book, name):
    """(when, bytes) of each line of the book about a site."""
    lines = (line.split() for line in book.read_text().splitlines())
    return [(float(when), int(sent)) for when, site, sent in lines if site == name]


def late(visits, end, interval, allowed, stalls):
    """Seconds after its turn of each check that came later than is allowed."""
    times = [when for when, _ in visits] + [end]
    found = []
    for last, now in zip(times, times[1:]):
        excused = sum(max(0, min(now, to) - max(last, since)) for since, to in list(stalls))
        if now - last - excused > interval + allowed:
            found.append(now - last - interval)
    return found


def config(sites, interval, timeout, connections):
    """Of an agent that tells each failure; `sites` are name: (address, keys)."""
    lines = ["[agent]", 'state = "state"', "uplink = []", f"max_connections = {connections}", "[defaults]",
             f'interval = "{interval}s"', f'timeout = "{timeout}s"', "tries = 1", 'retry = "2s"']
    for name, (url, keys) in sites.items():
        lines += ["[[site]]", f"name = {_toml(name)}", f"url = {_toml(url)}"]
        lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return farm.quote(value)
