#!/bin/sh
# ./install.sh, as root, in the unpacked tarball: does what docs/install.md has "by hand", and no more.
# Run again with a newer one it brings that, and leaves the configuration, the token and the state.
set -eu
cd "$(dirname "$0")"

# As `install`, which a router does not have.
put() {
	cp "$2" "$3.new"
	chmod "$1" "$3.new"
	mv "$3.new" "$3"
	echo "$3"
}

put 755 sitemon /usr/bin/sitemon
/usr/bin/sitemon version >/dev/null || {
	echo "install.sh: this binary is for another processor" >&2
	rm /usr/bin/sitemon
	exit 1
}
mkdir -p /etc/sitemon
[ -e /etc/sitemon/token ] || (umask 077 && : >/etc/sitemon/token)
mkdir -p /etc/sysctl.d
put 644 init/sysctl /etc/sysctl.d/50-sitemon.conf
sysctl -q -p /etc/sysctl.d/50-sitemon.conf || true

# For the shells, and the man, that are here.
put_into() {
	[ ! -d "$1" ] || put 644 "$2" "$1/$3"
}
put_into /usr/share/man/man1 sitemon.1 sitemon.1
put_into /usr/share/bash-completion/completions completions/sitemon.bash sitemon
put_into /usr/share/zsh/site-functions completions/_sitemon _sitemon
put_into /usr/share/fish/vendor_completions.d completions/sitemon.fish sitemon.fish

if [ -f /etc/rc.common ]; then
	[ -e /etc/sitemon.conf ] || {
		sed 's|"/var/lib/sitemon"|"/etc/sitemon/state"|; s|"/run/|"/var/run/|' sitemon.conf >sitemon.conf.new
		put 644 sitemon.conf.new /etc/sitemon.conf
	}
	put 755 init/openwrt /etc/init.d/sitemon
	mkdir -p /lib/upgrade/keep.d
	printf '%s\n' /etc/sitemon.conf /etc/sitemon/ /usr/bin/sitemon /etc/init.d/sitemon \
		/etc/rc.d/S95sitemon /etc/rc.d/K10sitemon /etc/sysctl.d/50-sitemon.conf \
		/lib/upgrade/keep.d/sitemon >/lib/upgrade/keep.d/sitemon
	/etc/init.d/sitemon enable
	restart="/etc/init.d/sitemon restart"
else
	[ -e /etc/sitemon.conf ] || put 644 sitemon.conf /etc/sitemon.conf
	grep -q '^sitemon:' /etc/passwd ||
		if [ -e /etc/debian_version ]; then
			adduser --system --group --no-create-home --home /var/lib/sitemon sitemon
		elif command -v useradd >/dev/null; then
			useradd --system --user-group --no-create-home --home-dir /var/lib/sitemon --shell /bin/false sitemon
		else
			addgroup -S sitemon
			adduser -S -D -H -h /var/lib/sitemon -G sitemon sitemon
		fi
	# Where users of the group leave reports of `sitemon push` while nothing runs.
	mkdir -p /var/lib/sitemon-spool
	chown root:sitemon /var/lib/sitemon-spool
	chmod 3770 /var/lib/sitemon-spool
	if [ -d /run/systemd/system ]; then
		put 644 init/systemd /etc/systemd/system/sitemon.service
		systemctl daemon-reload
		systemctl enable sitemon
		restart="systemctl restart sitemon"
	else
		put 755 init/sysv /etc/init.d/sitemon
		if [ -e /etc/debian_version ]; then
			update-rc.d sitemon defaults
		else
			ln -sf sitemon /etc/init.d/S95sitemon
		fi
		restart="/etc/init.d/sitemon restart"
	fi
fi
if grep -qs '^ *\[telegram\]' /etc/sitemon.conf; then
	echo "Next: $restart"
else
	echo "sitemon is installed. To set it up (Telegram, the first site): sitemon init"
fi
