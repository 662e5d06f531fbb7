# shellcheck shell=sh
# A stand-in of OpenWrt's functions.sh: users, and what its packages' scripts call.

group_exists() { grep -qs "^$1:" /etc/group; }

group_add_next() {
	echo "$1:x:32768:" >>/etc/group
	echo 32768
}

user_exists() { grep -qs "^$1:" /etc/passwd; }

user_add() { echo "$1:x:${2:-32768}:${3:-32768}:$1:/var/run/$1:/bin/false" >>/etc/passwd; }

default_postinst() {
	if [ -n "$(sed -n 's/^Require-User: //p' /usr/lib/opkg/info/sitemon.control)" ]; then
		group_exists sitemon || group_add_next sitemon >/dev/null
		user_exists sitemon || user_add sitemon "" 32768
	fi
	/etc/init.d/sitemon enable
	/etc/init.d/sitemon start
}

default_prerm() {
	/etc/init.d/sitemon disable
	/etc/init.d/sitemon stop
}
