# shellcheck shell=sh
# A stand-in of OpenWrt's procd.sh: each parameter is a line with tabs in a request, which packaging/test-busybox,
# process 1 there, carries out as procd does.

procd_dir=/tmp/procd

procd_open_service() {
	mkdir -p "$procd_dir"
	: >"$procd_dir/$1.open"
	procd_name=$1
}

procd_open_instance() { :; }
procd_close_instance() { :; }

procd_set_param() {
	param=$1
	shift
	[ "$param" != reload_signal ] || set -- "$(kill -l "$1")"
	procd_line "$param" "$@"
}

procd_append_param() { procd_line "$@"; }

procd_add_reload_trigger() { procd_line trigger "$@"; }

procd_line() {
	{
		printf '%s' "$1"
		shift
		printf '\t%s' "$@"
		echo
	} >>"$procd_dir/$procd_name.open"
}

procd_close_service() {
	mv "$procd_dir/$procd_name.open" "$procd_dir/$(procd_number).set"
}

procd_kill() {
	mkdir -p "$procd_dir"
	: >"$procd_dir/$(procd_number).delete"
	# As `ubus call` it returns at once.
}

# Requests are carried out in their order.
procd_number() {
	number=$(($(cat "$procd_dir/last" 2>/dev/null || echo 100) + 1))
	echo "$number" >"$procd_dir/last"
	echo "$number"
}
