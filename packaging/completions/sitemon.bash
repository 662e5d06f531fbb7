# shellcheck shell=bash
# bash completion of sitemon, made of the table of commands in src/cli/args.rs: see src/cli/completions_tests.rs

_sitemon() {
	local word=${COMP_WORDS[COMP_CWORD]} file=/etc/sitemon.conf command='' words='-h --help -c --config -v --verbose -q --quiet' site i
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-c | --config | --token-file | --chat | --site | --api | --route | --message | --socket | --spool) return ;; # A file's name, or what only the user knows.
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config) file=${COMP_WORDS[++i]} ;;
		-* | help) ;;
		*) command=${command:-${COMP_WORDS[i]}} ;;
		esac
	done
	case $command in
	'') words="$words init run check config pair say status push version help" ;;
	init) words="$words --token-file --chat --site --api --route" ;;
	run) words="$words --console" ;;
	check) words="$words --json" ;;
	config) words="$words --json" ;;
	pair) words="$words --write" ;;
	status) words="$words --json" ;;
	push) words="$words --start --fail --message --no-output --socket --spool" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	case $command in
	check | push)
		while read -r site; do
			[[ $site != "$word"* ]] || COMPREPLY+=("$(printf %q "$site")")
		done < <(sitemon -c "$file" config --json 2>/dev/null | grep -o '{"name":"[^"\\]*","url"' | cut -d '"' -f 4)
		;;
	esac
}
complete -o default -F _sitemon sitemon
