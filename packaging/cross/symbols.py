"""The functions in what packaging/cross/build makes."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / "target/cross"


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C"}, **options).stdout


def with_symbols(target):
    """Builds it with symbols, which moves nothing; the binary's path."""
    directory = BUILT / target
    subprocess.run([ROOT / "packaging/cross/build", target], check=True, stdout=sys.stderr,
                   env={**os.environ, "SITEMON_CROSS_ARGS": '--config profile.release.package.sitemon.strip="none"'})
    return (directory / "release/sitemon").rename(directory / "sitemon.symbols")


def sources_names(symbols):
    """Each as the source has it, without what changes with compilers and versions of crates."""
    names = run("c++filt", input="".join(re.sub(r"\.(llvm|Tgm)\b.*", "", symbol) + "\n" for symbol in symbols))
    return re.sub(r"\[[0-9a-f]+\]|(?<=aws_lc_)\d+_\d+_\d+_", "", names).splitlines()
