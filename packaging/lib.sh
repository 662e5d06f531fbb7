# shellcheck shell=bash disable=SC2034
# What the scripts beside this one share.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/Cargo.toml" | head -n 1)
# Everything that is packed has the time of the commit, so that the same commit makes the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
umask 022

die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# A directory that is gone when the script ends.
scratch() {
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
}

# tar with nothing in it that depends on who packs where and when.
pack() {
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu "$@"
}

# The processor a binary is for, as the ELF header names it: amd64, arm64, armhf or unknown.
architecture() {
	case $(od -An -tx1 -j18 -N2 "$1" | tr -d ' ') in
	3e00) echo amd64 ;;
	b700) echo arm64 ;;
	2800) echo armhf ;;
	*) echo unknown ;;
	esac
}

# Ends with an error unless a binary is static: one that is not runs with this machine's libraries only, for which a test
# sets SITEMON_HERE.
static() {
	local headers
	[ -z "${SITEMON_HERE-}" ] || return 0
	headers=$(LC_ALL=C readelf -lW "$1" 2>/dev/null) || die "$1 is no program (or there is no readelf: apt-get install binutils)"
	case $headers in
	*INTERP*) die "$1 is a dynamic binary, which would not run elsewhere: make a static one with packaging/cross/build" ;;
	esac
}

# Installs a target's tarball (packaging/tarball) to $work/root by packaging/openwrt/Makefile, and puts what the package says
# beside it.
openwrt() {
	[ -f "$top/dist/sitemon-$version-$1.tar.gz" ] || die "first: packaging/tarball BINARY $1"
	make -s -f "$top/packaging/openwrt/Makefile" TOPDIR="$top/packaging/openwrt" WORK="$work" SITEMON_TARGET="$1" \
		SITEMON_DIST="$top/dist"
}

# sitemon.conf as it is installed: nothing in it is watched or told before its owner says so.
conf() {
	awk '
		/^# In a checkout, / { next }
		/^state = / { sub(/"state" +/, "\"/var/lib/sitemon\"      "); sub(/; relative to this file/, "") }
		/^#socket = / { print "socket = \"/run/sitemon/push.sock\"  # where `sitemon push` finds the agent"; next }
		/^#spool = / { print "spool = \"/var/lib/sitemon-spool\"  # where its reports wait while no agent runs"; next }
		/^#token = "123456/ {
			print "#token_file = \"/etc/sitemon/token\"  # holds nothing but the token; or: token = \"123456:ABC-DEF\""
			next
		}
		/^\[\[site\]\]/ { sites = 1 }
		sites && /^[^#]/ { print "#" $0; next }
		{ print }
	' "$top/sitemon.conf"
}
