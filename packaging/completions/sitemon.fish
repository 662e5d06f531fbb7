# fish completion of sitemon, made of the table of commands in src/cli/args.rs: see src/cli/completions_tests.rs

function __sitemon_sites
	set -l words (commandline -opc)
	set -l file /etc/sitemon.conf
	set -l at (contains -i -- -c $words; or contains -i -- --config $words)
	and set file $words[(math $at + 1)]
	sitemon -c "$file" config --json 2>/dev/null | grep -o '{"name":"[^"\\]*","url"' | cut -d '"' -f 4
end

complete -c sitemon -f
complete -c sitemon -n 'not __fish_seen_subcommand_from help init run check config pair say status push version' -a help -d 'the help of a command'
complete -c sitemon -s h -l help -d 'display usage information'
complete -c sitemon -s c -l config -r -F -d 'the configuration file (default: /etc/sitemon.conf)'
complete -c sitemon -s v -l verbose -d 'log everything'
complete -c sitemon -s q -l quiet -d 'log warnings only'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a init -d 'first set-up by questions: token, chat, first site; writes the file'
complete -c sitemon -n '__fish_seen_subcommand_from init' -l token-file -r -F -d 'the bot'\''s token is in this file'
complete -c sitemon -n '__fish_seen_subcommand_from init' -l chat -x -d 'the chat that gets the alerts'
complete -c sitemon -n '__fish_seen_subcommand_from init' -l site -x -d 'the address to watch first'
complete -c sitemon -n '__fish_seen_subcommand_from init' -l api -x -d 'a Bot API server of your own'
complete -c sitemon -n '__fish_seen_subcommand_from init' -l route -x -d 'ways to Telegram, in the order in which they are tried: direct, a proxy, a relay'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a run -d 'the agent, in the foreground'
complete -c sitemon -n '__fish_seen_subcommand_from run' -l console -d 'the terminal is the chat, even when Telegram is configured'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a check -d 'one round now, printed as a table'
complete -c sitemon -n '__fish_seen_subcommand_from check' -l json -d 'print JSON'
complete -c sitemon -n '__fish_seen_subcommand_from check' -a '(__sitemon_sites)'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a config -d 'read the file, print what would run, or every error in it'
complete -c sitemon -n '__fish_seen_subcommand_from config' -l json -d 'print JSON'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a pair -d 'find the chat: prints a one-time code and waits for it in Telegram'
complete -c sitemon -n '__fish_seen_subcommand_from pair' -l write -d 'put the chat into the configuration file'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a say -d 'send one message to the configured chats'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a status -d 'what the running agent last wrote to its state'
complete -c sitemon -n '__fish_seen_subcommand_from status' -l json -d 'print JSON'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a push -d 'report to the running agent: a job started, ended, failed'
complete -c sitemon -n '__fish_seen_subcommand_from push' -l start -d 'the job has started'
complete -c sitemon -n '__fish_seen_subcommand_from push' -l fail -d 'the job has failed'
complete -c sitemon -n '__fish_seen_subcommand_from push' -l message -x -d 'a line for the alert'
complete -c sitemon -n '__fish_seen_subcommand_from push' -l no-output -d 'do not report what COMMAND prints, and do not touch it'
complete -c sitemon -n '__fish_seen_subcommand_from push' -l socket -x -d 'where the agent is (default: by the configuration)'
complete -c sitemon -n '__fish_seen_subcommand_from push' -l spool -x -d 'where the report is kept without an agent (default: by the configuration)'
complete -c sitemon -n '__fish_seen_subcommand_from push' -a '(__sitemon_sites)'
complete -c sitemon -n 'not __fish_seen_subcommand_from init run check config pair say status push version' -a version -d 'print the version'
