"""Many sites, each once a minute, on one core: whether rounds come late, and what the loop takes to answer."""

import math
import os
import statistics
import time

import farm
import fleet
from farm import say

INTERVAL = 60
ASK_EVERY = 0.02
HEADS = ["sites", "checks/s", "late rounds", "failed", "CPU %", "CPU µs a check", "MiB", "descriptors",
         "/healthz, ms: median, 99.9 %, slowest"]


def rows(nginx, sitemon, counts, minutes):
    """The agent has the first core, nginx and this program the others."""
    others = os.sched_getaffinity(0) - {0} or {0}
    os.sched_setaffinity(0, others)
    for pid in [nginx.process.pid, *nginx.workers()]:
        os.sched_setaffinity(pid, others)
    return [cells(nginx, sitemon, sites, minutes) for sites in counts]


def cells(nginx, sitemon, sites, minutes):
    say(f"{sites:,} sites, each every {INTERVAL} s, for {minutes} min after the first round")
    config = farm.site_config(nginx.url("http"), sites, INTERVAL)
    agent = fleet.after_a_round(nginx, lambda: fleet.Agent(sitemon, f"sites-{sites}", config, ("taskset", "-c", "0")),
                                sites, 3 * INTERVAL)
    counters = ("sitemon_checks_total", "sitemon_rounds_late_total")
    before, cpu, began, took = [agent.total(name) for name in counters], agent.cpu_us(), time.monotonic(), []
    while time.monotonic() < began + 60 * minutes:
        asked = time.monotonic()
        fleet.fetch(f"http://{agent.address}/healthz")
        took.append(1000 * (time.monotonic() - asked))
        time.sleep(ASK_EVERY)
    cpu, seconds = agent.cpu_us() - cpu, time.monotonic() - began
    checks, late = (agent.total(name) - first for name, first in zip(counters, before))
    failed = agent.total("sitemon_checks_total", 'result="failure"')
    took.sort()
    row = [f"{sites:,}", f"{checks / seconds:.0f}", f"{late:.0f}", f"{failed:.0f}", f"{cpu / 1e4 / seconds:.1f}",
           f"{cpu / checks:.0f}", f"{agent.memory()[0] / 1024:.1f}", agent.descriptors(),
           f"{statistics.median(took):.1f}, {took[math.ceil(0.999 * len(took)) - 1]:.1f}, {took[-1]:.1f}"]
    farm.stop(agent.process)
    return row
