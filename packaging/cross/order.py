#!/usr/bin/env python3
"""Prints the functions that the linker is to lay out first, by its map: those of packaging/cross/hot.

    packaging/cross/order.py MAP
"""

import pathlib
import re
import sys
import zlib

sys.dont_write_bytecode = True

import symbols  # noqa: E402

HOT = pathlib.Path(__file__).with_name("hot")


def main():
    hot = set(HOT.read_text().split())
    found = list(dict.fromkeys(functions(pathlib.Path(sys.argv[1]).read_text())))
    first = [symbol for symbol, name in zip(found, symbols.sources_names(found), strict=True) if short(name) in hot]
    if 3 * len(first) < len(hot):
        sys.exit(f"order: of {len(hot)} functions that run {len(first)} are in the map: packaging/cross/profile writes them anew")
    print("\n".join(first))


def short(name):
    """What stands for a name in packaging/cross/hot, as all of them are 400 KB."""
    return f"{zlib.crc32(name.encode()):08x}"


def functions(text):
    """The symbols of the code in a map. Those of --wrap have none but in the name of their section."""
    code = False
    for line in text.splitlines():
        # Addresses, size and alignment; then a section of the output, of the input (indented by 8), or a symbol (by 16).
        if found := re.match(r"\s*[0-9a-f]+\s+[0-9a-f]+\s+[0-9a-f]+\s+\d+ (\s*)(\S.*)", line):
            indent, what = found.groups()
            if len(indent) < 16:
                code = ":(.text" in what
                if named := re.search(r":\(\.text\.(.+)\)$", what):
                    yield named.group(1)
            elif code:
                yield what


if __name__ == "__main__":
    main()
