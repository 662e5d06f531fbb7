"""Uptime Kuma from npm: installed once, its monitors written into its database."""

import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

import farm
from farm import say

VERSION = "2.0.0-dev.0"  # the only one that npm has
INTERVAL = 20  # seconds; its shortest
HOME = farm.CACHE / "uptime-kuma"
PACKAGE = HOME / "node_modules/uptime-kuma"
DRIVER = HOME / "node_modules/@louislam/sqlite3"


def install():
    """None when it is there; else why it is not."""
    if not is_built() and (lacking := build()):
        return lacking
    # The package has the newest changes to its database elsewhere than where it looks for them.
    for file in PACKAGE.glob("db/patch-*.sql"):
        shutil.copy(file, PACKAGE / "db/old_migrations")
    return None


def build():
    if not shutil.which("npm"):
        return "there is no npm"
    say("installing Uptime Kuma (some minutes)")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    environment = {**os.environ, "npm_config_build_from_source": "true"}
    headers = pathlib.Path(os.path.realpath(shutil.which("node"))).parent.parent
    if (headers / "include/node/node_api.h").exists():
        environment["npm_config_nodedir"] = str(headers)
    for command in (["npm", "install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund",
                     f"uptime-kuma@{VERSION}"],
                    # SQLite as a module of Node.js; its binaries are not at npm.
                    ["npm", "rebuild", "@louislam/sqlite3"]):
        done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{' '.join(command[:2])} fails: " + (done.stderr.strip().splitlines() or ["?"])[-1]
    return None if is_built() else "SQLite was not built"


def is_built():
    return any(DRIVER.glob("lib/binding/*/node_sqlite3.node"))


class Kuma(farm.Process):
    """On a database that a first start has made."""

    def __init__(self, _binary, name, prefix, sites, interval, tls, trusting):
        directory = farm.temp() / name
        directory.mkdir()
        log = directory / "log"
        self._data = directory / "data"
        self._data.mkdir()
        (self._data / "db-config.json").write_text('{ "type": "sqlite" }')
        roots = [f"NODE_EXTRA_CA_CERTS={tls / 'ca.pem'}"] if trusting else []
        command = ["/usr/bin/env", "-C", PACKAGE, "NODE_ENV=production", *roots, "node", "server/server.js",
                   f"--data-dir={self._data}/", "--host=127.0.0.1", f"--port={farm.free_port()}"]
        first = farm.Process(command, log)
        await_start(first, 1)
        farm.stop(first.process)
        with sqlite3.connect(self._data / "kuma.db") as database:
            database.execute("INSERT INTO user (username, password, active) VALUES ('bench', '', 1)")
            database.executemany(
                "INSERT INTO monitor (name, active, user_id, interval, url, type, method, maxretries, maxredirects, "
                "accepted_statuscodes_json, upside_down, ignore_tls) VALUES (?, 1, 1, ?, ?, 'http', 'GET', 0, 10, "
                "'[\"200-299\"]', 0, 0)",
                [(f"s{number}", interval, f"{prefix}{number}") for number in range(1, sites + 1)])
        super().__init__(command, log)
        self.name = "Uptime Kuma"
        await_start(self, 2)

    def trouble(self):
        found = re.search(r"^.*(Failing:|Pending:).*$", self.log.read_text(errors="replace"), re.M)
        return found and found.group()


def await_start(process, times):
    """Until it listens for so many times by its log."""
    def listens():
        process.must_live()
        return process.log.read_text().count("Listening on") == times

    farm.wait_for("Uptime Kuma does not start", listens, 300)


def size():
    """Bytes of Node.js, and of what npm installed."""
    node = os.path.realpath(shutil.which("node"))
    installed = sum(file.lstat().st_size for file in HOME.rglob("*") if file.is_file() and not file.is_symlink())
    return os.stat(node).st_size, installed
