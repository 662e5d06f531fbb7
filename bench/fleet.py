"""What many sites cost: agents that Debian's Prometheus scrapes, and one with more checks than it can do."""

import json
import re
import shutil
import statistics
import time
import urllib.parse
import urllib.request

import farm
from farm import say

NEEDS = (("nginx", "/usr/sbin/nginx"), ("openssl", "/usr/bin/openssl"), ("ca-certificates", farm.SYSTEM_ROOTS),
         ("prometheus", "/usr/bin/prometheus"))
FLEET = farm.ROOT / "packaging/fleet"
AGENTS = 3
INTERVAL = 300  # of each site, in seconds: the checks are not what is measured
SCRAPES = 5
LOAD_SECONDS = 10
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url):
    with _direct.open(url, timeout=60) as answer:
        return answer.read().decode()


class Agent(farm.Sitemon):
    """One that can be scraped."""

    def __init__(self, sitemon, name, config, **more):
        self.address = f"127.0.0.1:{farm.free_port()}"
        super().__init__(sitemon, name, f'[listen]\naddress = "{self.address}"\n{config}', **more)

    def metrics(self):
        self.must_live()
        return fetch(f"http://{self.address}/metrics")

    def total(self, name, labels=""):
        """Sum of a counter's series."""
        return sum(float(value) for value in re.findall(rf"(?m)^{name}\{{?[^}}\n]*{labels}[^}}\n]*\}}? (\S+)$", self.metrics()))


class Prometheus(farm.Process):
    def __init__(self, agents):
        directory = farm.temp() / "prometheus"
        (directory / "sitemon").mkdir(parents=True)
        for name in ("prometheus.yml", "sitemon.rules.yml"):
            shutil.copy(FLEET / name, directory)
        (directory / "sitemon.token").write_text("x")
        for number, agent in enumerate(agents):
            (directory / f"sitemon/{number}.yml").write_text(f'- targets: ["{agent.address}"]\n  labels: {{ place: p{number} }}\n')
        self.address = f"127.0.0.1:{farm.free_port()}"
        super().__init__(["/usr/bin/prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                          f"--web.listen-address={self.address}"], farm.temp() / "prometheus.log")

    def query(self, expression):
        """The values."""
        self.must_live()
        url = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            return [float(found["value"][1]) for found in json.loads(fetch(url))["data"]["result"]]
        except OSError:  # it is not ready
            return []

    def rules_ms(self):
        """How long the slowest group of rules took the last time."""
        groups = json.loads(fetch(f"http://{self.address}/api/v1/rules"))["data"]["groups"]
        return max(group["evaluationTime"] for group in groups) * 1000


def after_a_round(nginx, start, sites, seconds):
    """What `start` gives, once nginx was asked so many times. (Reading /metrics for that would be a scrape.)"""
    _, before = nginx.counts()
    started = start()
    farm.wait_for("a check of each site", lambda: nginx.counts()[1] >= before + sites, seconds)
    return started


def scrapes(nginx, sitemon, sites):
    """Rows (what, figure) of three agents with so many sites each."""
    config = farm.site_config(nginx.url("http"), sites, INTERVAL)
    say(f"{AGENTS} agents check {sites} sites each once")
    agents = after_a_round(nginx, lambda: [Agent(sitemon, f"agent-{number}", config) for number in range(AGENTS)], AGENTS * sites, 2 * INTERVAL)
    before = [agent.memory()[0] for agent in agents]
    cpu = agents[0].cpu_us()
    text = [agents[0].metrics() for _ in range(SCRAPES)][-1]
    cpu = (agents[0].cpu_us() - cpu) / SCRAPES
    say(f"Prometheus scrapes them every 30 seconds, {SCRAPES} times")
    prometheus = Prometheus(agents)
    scraped = lambda: min(prometheus.query('count_over_time(up{job="sitemon"}[1h])') or [0])  # noqa: E731
    farm.wait_for("the first scrapes", scraped, 90)
    busy, began = prometheus.cpu_us(), time.monotonic()
    farm.wait_for(f"{SCRAPES} scrapes", lambda: scraped() >= SCRAPES, 60 * SCRAPES)
    busy = (prometheus.cpu_us() - busy) / 1e4 / (time.monotonic() - began)
    took = prometheus.query("avg_over_time(scrape_duration_seconds[1h])")
    most = prometheus.query("max_over_time(scrape_duration_seconds[1h])")
    failed = sum(prometheus.query('count_over_time((up{job="sitemon"} == 0)[1h:30s])'))
    series = sum(prometheus.query("scrape_samples_scraped"))
    return [
        ["a scrape, MB", f"{len(text) / 1e6:.2f}"],
        ["a scrape, series", f"{series / AGENTS:,.0f}"],
        ["a scrape, ms: mean, most", f"{statistics.mean(took) * 1000:,.0f}, {max(most) * 1000:,.0f}"],
        ["scrapes that failed", f"{failed:.0f}"],
        ["agent, MiB before the first scrape", f"{max(before) / 1024:.1f}"],
        ["agent, MiB after: resident, peak", ", ".join(f"{max(a.memory()[i] for a in agents) / 1024:.1f}" for i in (0, 1))],
        ["agent, descriptors", f"{max(agent.descriptors() for agent in agents)}"],
        ["agent, CPU ms a scrape", f"{cpu / 1000:.1f}"],
        ["Prometheus, CPU %", f"{busy:.0f}"],
        ["Prometheus, MiB: resident, peak", ", ".join(f"{kib / 1024:,.0f}" for kib in prometheus.memory())],
        ["Prometheus, the slowest group of rules, ms", f"{prometheus.rules_ms():,.0f}"],
    ]


def load(nginx, sitemon):
    """Rows of one agent whose checks are raised until it does half of them."""
    rows = []
    for connections in (10, 50):
        for sites in (250, 500, 1000, 2000, 4000, 8000):
            say(f"{sites} checks a second wanted, {connections} connections")
            config = farm.site_config(nginx.url("http"), sites, 1).replace("[agent]", f"[agent]\nmax_connections = {connections}")
            agent = after_a_round(nginx, lambda: Agent(sitemon, f"load-{connections}-{sites}", config), sites, 120)  # noqa: B023
            began, checks, late, cpu = time.monotonic(), agent.total("sitemon_checks_total"), agent.total("sitemon_rounds_late_total"), agent.cpu_us()
            time.sleep(LOAD_SECONDS)
            checks, late = agent.total("sitemon_checks_total") - checks, agent.total("sitemon_rounds_late_total") - late
            cpu, seconds = agent.cpu_us() - cpu, time.monotonic() - began
            failed = agent.total("sitemon_checks_total", 'result="failure"')
            rows.append([connections, f"{sites:,}", f"{checks / seconds:,.0f}", f"{late / seconds:,.0f}", f"{failed:,.0f}",
                         f"{cpu / 1e4 / seconds:.0f}", f"{agent.memory()[0] / 1024:.1f}"])
            farm.stop(agent.process)
            if checks / seconds < sites / 2:
                break
    return rows
