"""A root directory with BusyBox, and OpenWrt's procd in it so far as sitemon uses it."""

import hashlib
import os
import shutil
import subprocess
import threading
import time

import stage
from stage import TOP, run

# What is waited for after an end, for each second that procd would wait.
HASTE = 0.02


def furnish(root, busybox, binary):
    """BusyBox, and what a binary that is not static wants."""
    for directory in ("bin", "etc/init.d", "lib", "sbin", "usr/bin", "usr/sbin", "proc", "dev", "tmp", "var/lib", "run"):
        root.path(directory).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, root.path("/bin/busybox"))
    root.run("/bin/busybox", "--install", "-s", "/bin")
    root.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    root.write("/etc/group", "root:x:0:\n")
    root.write("/etc/shadow", "root:*:0:0:99999:7:::\n")
    for line in run("ldd", binary, code=None).splitlines():
        library = next((word for word in line.split() if word.startswith("/")), None)
        if library:
            root.path(library).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root.path(library))
    for name, minor in (("null", "3"), ("urandom", "9")):
        run("mknod", "-m", "666", root.path(f"/dev/{name}"), "c", "1", minor)
    run("mount", "-t", "proc", "proc", root.path("/proc"))
    root.listen()


def unpack(root, tarball):
    run("tar", "-C", root.path("/tmp"), "-xf", tarball)
    return f"/tmp/{tarball.name.removesuffix('.tar.gz')}"


# Debian's BusyBox is built without these two.
ADDGROUP = """#!/bin/sh
[ "$1" = -S ] && echo "$2:x:101:" >>/etc/group
"""
ADDUSER = """#!/bin/sh
[ "$*" = "-S -D -H -h /var/lib/sitemon -G sitemon sitemon" ] &&
	echo "sitemon:x:101:101::/var/lib/sitemon:/bin/false" >>/etc/passwd
"""


def add_users(root):
    for name, script in (("addgroup", ADDGROUP), ("adduser", ADDUSER)):
        root.write(f"/usr/sbin/{name}", script)
        os.chmod(root.path(f"/usr/sbin/{name}"), 0o755)


class Router:
    """As much of procd as there is in packaging/openwrt: this process is number 1 in there."""

    def __init__(self, root):
        self.root = root
        self.instance = {}
        self.log = ""
        self.code = None
        self._files = {}
        self._child = None
        self._generation = 0
        # Not with the checkout's modes, which may be closed to others.
        run("cp", "-r", "--no-preserve=mode", f"{TOP}/packaging/openwrt/root/.", root.root)

    def service(self, verb):
        return self.run("/etc/init.d/sitemon", verb)

    def run(self, *command):
        return self.obey(self.root.run(*command))

    def apk(self, *arguments):
        """Of this machine, which calls the package's scripts in there."""
        root = [] if arguments[0] == "mkpkg" else ["--root", self.root.root, "--allow-untrusted", "--no-network"]
        return self.obey(run(os.environ["APK"], *root, *arguments))

    def obey(self, said=""):
        """Carries out what the scripts asked of procd."""
        for request in sorted(self.root.path("/tmp/procd").glob("*.*")):
            text = request.read_text()
            request.unlink()
            if request.suffix == ".set":
                self._set(text)
            else:
                self._delete()
        return said

    def _set(self, text):
        new = {}
        for line in text.splitlines():
            name, *values = line.split("\t")
            new[name] = new.get(name, []) + values
        files = {f: self._hash(f) for f in new.get("file", [])}
        changed = (new, files) != (self.instance, self._files)
        self.instance, self._files = new, files
        if self._child is None:
            self._start()
        elif changed:
            os.kill(self._child.pid, int(new["reload_signal"][0]))

    def _hash(self, file):
        path = self.root.path(file)
        return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else None

    def _start(self):
        self._generation += 1
        user = next(line.split(":") for line in self.root.path("/etc/passwd").read_text().splitlines()
                    if line.startswith(self.instance["user"][0] + ":"))
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        environment.update(pair.split("=", 1) for pair in self.instance.get("env", []))
        child = subprocess.Popen(self.instance["command"], env=environment, stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 preexec_fn=lambda: self._become(int(user[2]), int(user[3])))
        self._child = child
        threading.Thread(target=self._mind, args=(child, self._generation), daemon=True).start()

    def _become(self, uid, gid):
        os.chroot(self.root.root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)

    def _mind(self, child, generation):
        for line in child.stdout:
            self.log += line
            stage.TRANSCRIPT.append(line.rstrip())
        self.code = child.wait()
        stage.TRANSCRIPT.append(f"[ended with {self.code}]")
        if generation == self._generation:
            self._child = None
            time.sleep(int(self.instance["respawn"][1]) * HASTE)
            if generation == self._generation:
                self._start()

    def _delete(self):
        child, self._child = self._child, None
        self._generation += 1
        if child:
            child.terminate()
            child.wait()
            self.code = child.returncode
