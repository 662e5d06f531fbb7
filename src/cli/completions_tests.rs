//! Generates packaging/completions for three shells from the table of commands in `args`.
//! `SITEMON_COMPLETIONS=1 cargo test --lib completions` rewrites the files.

use super::args::Args;
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const MADE: &str =
    "made of the table of commands in src/cli/args.rs: see src/cli/completions_tests.rs";
/// Shell code that prints the names of the sites; `$file` is the configuration.
const SITES: &str = r#"sitemon -c "$file" config --json 2>/dev/null | grep -o '{"name":"[^"\\]*","url"' | cut -d '"' -f 4"#;
const HELP: &str = "--help";
const DEFAULT: &str = "/etc/sitemon.conf";

/// argh doesn't list the short form `-h`.
fn short(flag: &FlagInfo) -> Option<char> {
    flag.short.or((flag.long == HELP).then_some('h'))
}

/// Returns the flags of one command, without `--help`.
fn own<'a>(command: &'a CommandInfoWithArgs) -> impl Iterator<Item = &'a FlagInfo<'a>> {
    command.flags.iter().filter(|flag| flag.long != HELP)
}

/// Returns the flag as it is typed, such as `-c` and `--config`.
fn words(flag: &FlagInfo) -> Vec<String> {
    let short = short(flag).map(|short| format!("-{short}"));
    short.into_iter().chain([flag.long.to_owned()]).collect()
}

/// Returns the name of the flag's value, if it takes one.
fn value<'a>(flag: &FlagInfo<'a>) -> Option<&'a str> {
    match flag.kind {
        FlagInfoKind::Option { arg_name } => Some(arg_name),
        FlagInfoKind::Switch => None,
    }
}

fn names_sites(command: &CommandInfoWithArgs) -> bool {
    command.positionals.iter().any(|p| p.name == "NAME")
}

fn all_words<'a>(flags: impl IntoIterator<Item = &'a FlagInfo<'a>>) -> String {
    let words: Vec<String> = flags.into_iter().flat_map(words).collect();
    words.join(" ")
}

fn bash(program: &CommandInfoWithArgs) -> String {
    let commands: Vec<&str> = program.commands.iter().map(|c| c.name).collect();
    let commands = commands.join(" ");
    let taking = |flags: &[FlagInfo]| {
        let flags = flags.iter().filter(|flag| value(flag).is_some());
        flags.flat_map(words).collect::<Vec<String>>()
    };
    let files = taking(program.flags);
    let of_commands = { program.commands.iter() }.flat_map(|c| taking(c.command.flags));
    let values: Vec<String> = files.iter().cloned().chain(of_commands).collect();
    let (files, values) = (files.join(" | "), values.join(" | "));
    let mut cases = String::new();
    for command in &program.commands {
        let own = all_words(own(&command.command));
        if !own.is_empty() {
            let _ = writeln!(cases, "\t{}) words=\"$words {own}\" ;;", command.name);
        }
    }
    let with_sites: Vec<&str> = program
        .commands
        .iter()
        .filter(|c| names_sites(&c.command))
        .map(|c| c.name)
        .collect();
    let with_sites = with_sites.join(" | ");
    format!(
        r#"# shellcheck shell=bash
# bash completion of sitemon, {MADE}

_sitemon() {{
	local word=${{COMP_WORDS[COMP_CWORD]}} file={DEFAULT} command='' words='{}' site i
	COMPREPLY=()
	case ${{COMP_WORDS[COMP_CWORD - 1]}} in
	{values}) return ;; # A file's name, or what only the user knows.
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${{COMP_WORDS[i]}} in
		{files}) file=${{COMP_WORDS[++i]}} ;;
		-* | help) ;;
		*) command=${{command:-${{COMP_WORDS[i]}}}} ;;
		esac
	done
	case $command in
	'') words="$words {commands} help" ;;
{cases}	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	case $command in
	{with_sites})
		while read -r site; do
			[[ $site != "$word"* ]] || COMPREPLY+=("$(printf %q "$site")")
		done < <({SITES})
		;;
	esac
}}
complete -o default -F _sitemon sitemon
"#,
        all_words(program.flags),
    )
}

/// Quotes `text` for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the lines of `_arguments` for the flags.
fn zsh_flags<'a>(flags: impl IntoIterator<Item = &'a FlagInfo<'a>>, indent: &str) -> String {
    let mut lines = String::new();
    for flag in flags {
        let words = words(flag);
        let value = match value(flag) {
            None => String::new(),
            Some("FILE") => ":FILE:_files".to_owned(),
            Some(other) => format!(":{other}: "),
        };
        let text = format!("[{}]{value}", flag.description);
        let names = match words.as_slice() {
            [one] => one.clone(),
            several => format!(
                "{}{{{}}}",
                quoted(&format!("({})", several.join(" "))),
                several.join(",")
            ),
        };
        let _ = writeln!(lines, "{indent}{names}{} \\", quoted(&text));
    }
    lines
}

fn zsh(program: &CommandInfoWithArgs) -> String {
    let (mut commands, mut cases) = (String::new(), String::new());
    for command in &program.commands {
        let line = quoted(&format!("{}:{}", command.name, command.command.description));
        let _ = writeln!(commands, "\t\t{line}");
        let flags =
            zsh_flags(program.flags, "\t\t\t") + &zsh_flags(own(&command.command), "\t\t\t");
        let rest = if names_sites(&command.command) {
            "'*:NAME:_sitemon_sites'"
        } else {
            "'*: :_default'"
        };
        let _ = writeln!(
            cases,
            "\t{})\n\t\t_arguments \\\n{flags}\t\t\t{rest}\n\t\t;;",
            command.name
        );
    }
    format!(
        r#"#compdef sitemon
# zsh completion of sitemon, {MADE}

_sitemon_sites() {{
	local file=${{opt_args[-c]:-${{opt_args[--config]:-$file}}}}
	local -a sites=(${{(f)"$({SITES})"}})
	_describe site sites
}}

_sitemon() {{
	local curcontext=$curcontext state line
	local -A opt_args
	local -a commands=(
{commands}		'help:the help of a command'
	)
	_arguments -C \
{}		'1: :->command' '*:: :->rest'
	local file=${{opt_args[-c]:-${{opt_args[--config]:-{DEFAULT}}}}}
	case $state in
	command) _describe command commands; return ;;
	esac
	case $line[1] in
	help) _describe command commands ;;
{cases}	esac
}}
_sitemon "$@"
"#,
        zsh_flags(program.flags, "\t\t"),
    )
}

fn fish_flags<'a>(flags: impl IntoIterator<Item = &'a FlagInfo<'a>>, condition: &str) -> String {
    let mut lines = String::new();
    for flag in flags {
        let short = short(flag).map_or_else(String::new, |short| format!(" -s {short}"));
        let value = match value(flag) {
            None => "",
            Some("FILE") => " -r -F",
            Some(_) => " -x",
        };
        let (long, text) = (flag.long.trim_start_matches('-'), quoted(flag.description));
        let _ = writeln!(
            lines,
            "complete -c sitemon{condition}{short} -l {long}{value} -d {text}"
        );
    }
    lines
}

fn fish(program: &CommandInfoWithArgs) -> String {
    let names: Vec<&str> = program.commands.iter().map(|c| c.name).collect();
    let names = names.join(" ");
    let mut lines = fish_flags(program.flags, "");
    for command in &program.commands {
        let (name, text) = (command.name, quoted(command.command.description));
        let _ = writeln!(
            lines,
            "complete -c sitemon -n 'not __fish_seen_subcommand_from {names}' -a {name} -d {text}"
        );
        let condition = format!(" -n '__fish_seen_subcommand_from {name}'");
        lines += &fish_flags(own(&command.command), &condition);
        if names_sites(&command.command) {
            let _ = writeln!(
                lines,
                "complete -c sitemon{condition} -a '(__sitemon_sites)'"
            );
        }
    }
    format!(
        r#"# fish completion of sitemon, {MADE}

function __sitemon_sites
	set -l words (commandline -opc)
	set -l file {DEFAULT}
	set -l at (contains -i -- -c $words; or contains -i -- --config $words)
	and set file $words[(math $at + 1)]
	{SITES}
end

complete -c sitemon -f
complete -c sitemon -n 'not __fish_seen_subcommand_from help {names}' -a help -d 'the help of a command'
{lines}"#
    )
}

#[test]
fn the_completions_are_those_of_the_table_of_commands() {
    let program = Args::get_args_info();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions");
    let anew = std::env::var_os("SITEMON_COMPLETIONS").is_some();
    for (name, wanted) in [
        ("sitemon.bash", bash(&program)),
        ("_sitemon", zsh(&program)),
        ("sitemon.fish", fish(&program)),
    ] {
        let path = dir.join(name);
        if anew {
            fs::write(&path, &wanted).expect("it can be written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found, wanted,
            "{name}: SITEMON_COMPLETIONS=1 writes it anew"
        );
    }
}

#[test]
fn the_manual_page_has_every_command_option_and_exit_code() {
    let page = include_str!("../../packaging/sitemon.1").replace("\\-", "-");
    let program = Args::get_args_info();
    let has = |what: &str| assert!(page.contains(what), "{what} is missing");
    let section = |name: &str| {
        let start = format!("\n.SS {name}\n");
        let (_, rest) = page
            .split_once(&start)
            .unwrap_or_else(|| panic!("no {name}"));
        rest.split("\n.S").next().unwrap_or_default().to_owned()
    };
    for flag in program.flags {
        words(flag).iter().for_each(|word| has(word));
    }
    for code in program.error_codes {
        has(&format!("\n.TP\n.B {}\n", code.code));
    }
    for command in &program.commands {
        let text = section(command.name);
        let flags = own(&command.command).map(|flag| flag.long);
        for what in flags.chain(command.command.positionals.iter().map(|p| p.name)) {
            assert!(text.contains(what), "{}: {what} is missing", command.name);
        }
    }
    for section in ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
        has(section);
    }
}
