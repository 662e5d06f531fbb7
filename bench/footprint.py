"""What a process takes at rest, and how it begins."""

import random
import re
import socket
import statistics
import subprocess
import tempfile
import time
import zlib

import farm
import peers

RUNS = 7


def memory(nginx, sitemon, sites, roots, rounds=3, history=False):
    """Resident KiB after `rounds` rounds of HTTPS checks: (in all, of its own, the stack's, of the program's file).

    Of its own is what was written to: no other process shares it and no flash has it. `history`: every site
    begins with 90 days of it, the minutes of the last day included.
    """
    interval = max(2, sites // 20)  # 20 checks a second at most: the process rests between them
    config = farm.site_config(nginx.url("https"), sites, interval, roots)
    if history:
        state = farm.temp() / f"memory-{sites}" / "state"
        state.mkdir(parents=True)
        state.chmod(0o700)
        (state / "history").write_bytes(history_file([f"s{number}" for number in range(1, sites + 1)]))
        (state / "history").chmod(0o600)
    _, before = nginx.counts()
    farm.drop_from_cache(sitemon)
    agent = farm.Sitemon(sitemon, f"memory-{sites}", config)
    farm.wait_for(f"{rounds} rounds of {sites} checks", lambda: nginx.counts()[1] >= before + rounds * sites,
                  60 + 3 * rounds * interval)
    parts = {"own": 0, "stack": 0, "program": 0, "all": 0}
    name = ""
    with open(f"/proc/{agent.process.pid}/smaps", encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if re.match(r"[0-9a-f]+-[0-9a-f]+$", words[0]):
                name = words[5] if len(words) > 5 else ""
            elif words[0] == "Rss:":
                parts["all"] += int(words[1])
                parts["stack"] += int(words[1]) * (name == "[stack]")
                parts["program"] += int(words[1]) * (name == str(sitemon))
            elif words[0] == "Private_Dirty:":
                parts["own"] += int(words[1])
    threads = agent.threads()
    if history and "history" in agent.last_lines():
        farm.die(f"the history was not taken:\n{agent.last_lines()}")
    farm.stop(agent.process)
    return [parts["all"], parts["own"], parts["stack"], parts["program"], threads]


def monit_memory(nginx, sites, tls):
    """Resident KiB of Monit after a round of the same sites, which takes it 40 s with 1,000: (in all, of its own)."""
    _, before = nginx.counts()
    farm.drop_from_cache(peers.MONIT)
    agent = peers.Monit(peers.MONIT, f"memory-monit-{sites}", nginx.url("https"), sites, max(2, sites // 20), tls, True)
    farm.wait_for(f"a round of {sites} checks by Monit", lambda: nginx.counts()[1] >= before + sites, 60 + sites)
    if trouble := agent.trouble():
        farm.die(f"Monit says that a site fails: {trouble}")
    memory = agent.memory()[0], agent.own()
    farm.stop(agent.process)
    return memory


def history_file(names):
    """What src/state/history_file.rs writes at the beginning of an hour: of each site 168 hours and 90 days, and the
    minutes of the last 24 hours, with an outage now and then and response times that go up and down."""
    now, dice = int(time.time()) // 3600, random.Random(0)
    known = count(0) + count(len(names)) + b"".join(count(len(name)) + name.encode() for name in names)
    base = (b"".join(buckets(dice, length, ticks) + paces(dice, length) + paces(dice, length)
                     for length, ticks in ((168, 900), (90, 21_600))) for _ in names)
    file = record(b"B", now - 24, 0, known, base)
    for hour in range(now - 24, now):
        pages = (minutes(dice) + paces(dice, 60) for _ in names)
        file += record(b"P", hour, 60, count(len(names)) + count(0), pages)
    return file


def record(scope, hour, length, names, rows):
    body = scope + hour.to_bytes(8, "little") + bytes([length]) + names
    body += b"".join(count(len(row)) + row for row in rows)
    return b"sHr1" + len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body


def minutes(dice):
    """Shares of an hour, in runs: of one in 24 four minutes are an outage."""
    up, down = 15 << 4, 15
    return bytes([1, 60, up] if dice.randint(1, 24) > 1 else [3, 20, up, 4, down, 36, up])


def buckets(dice, length, ticks):
    """Shares of so many hours or days of so many ticks, in runs."""
    runs = []
    while length > 0:
        run = min(dice.randint(1, 40), length)
        down = dice.randint(0, 40)
        runs.append(bytes([run]) + (ticks - down).to_bytes(2, "little") + down.to_bytes(2, "little"))
        length -= run
    return bytes([len(runs)]) + b"".join(runs)


def paces(dice, length):
    """Codes of response times that begin with 100, each near the one before it."""
    nibbles = [15, 100 >> 4, 100 & 15] + [dice.randint(6, 8) for _ in range(length - 1)]
    nibbles += [0] * (len(nibbles) % 2)
    return b"\0" + bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2]))


def count(number):
    """Seven bits a byte, the lowest first."""
    low = bytes([number & 127 | (128 if number > 127 else 0)])
    return low if number <= 127 else low + count(number >> 7)


def start(sitemon, sites):
    """([ms from exec to the first connection, a run each], most connections within the first second)."""
    times, most = [], 0
    for _ in range(RUNS):
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as server, tempfile.TemporaryDirectory() as state:
            lines = ["[agent]", f"state = {farm.quote(state)}", "uplink = []"]
            for number in range(sites):
                url = f"http://127.0.0.1:{server.getsockname()[1]}/{number}"
                lines += ["[[site]]", f'name = "s{number}"', f"url = {farm.quote(url)}"]
            config = farm.temp() / "start.conf"
            config.write_text("\n".join(lines) + "\n")
            began = time.monotonic()
            process = subprocess.Popen([str(sitemon), "-c", str(config), "run"], env=farm.ENVIRONMENT,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                server.settimeout(10)
                server.accept()[0].close()
                times.append((time.monotonic() - began) * 1000)
                connections = 1
                while (left := began + times[-1] / 1000 + 1 - time.monotonic()) > 0:
                    server.settimeout(left)
                    try:
                        server.accept()[0].close()
                        connections += 1
                    except TimeoutError:
                        break
                most = max(most, connections)
            except TimeoutError:
                farm.die(f"no first check within 10 s ({sites} sites)")
            finally:
                process.kill()
                process.wait()
    return times, most


def start_cells(sitemon, sites):
    times, most = start(sitemon, sites)
    return [f"{sites:,}", f"{statistics.median(times):.0f} ({min(times):.0f}-{max(times):.0f})", most]
