# shellcheck shell=sh
# A stand-in of OpenWrt's functions.sh: users, and what its packages' scripts call.

group_exists() { grep -qs "^$1:" /etc/group; }

group_add_next() {
	echo "$1:x:32768:" >>/etc/group
	echo 32768
}

user_exists() { grep -qs "^$1:" /etc/passwd; }

user_add() { echo "$1:x:${2:-32768}:${3:-32768}:$1:/var/run/$1:/bin/false" >>/etc/passwd; }

# opkg has it in the package's control, apk in a file of its own.
add_group_and_user() {
	if grep -qs '^Require-User: sitemon' /usr/lib/opkg/info/sitemon.control ||
		grep -qs '^sitemon' /lib/apk/packages/sitemon.rusers; then
		group_exists sitemon || group_add_next sitemon >/dev/null
		user_exists sitemon || user_add sitemon "" 32768
	fi
}

default_postinst() {
	[ ! -e /usr/lib/opkg/info/sitemon.control ] || add_group_and_user
	if [ -f /usr/lib/opkg/info/sitemon.postinst-pkg ]; then
		# shellcheck source=/dev/null
		(. /usr/lib/opkg/info/sitemon.postinst-pkg)
	fi
	[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/sitemon enable
	/etc/init.d/sitemon start
}

default_prerm() {
	[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/sitemon disable
	/etc/init.d/sitemon stop
}
