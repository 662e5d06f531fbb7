//! `command` and `env` of programs, and what can be checked before they run.

#[cfg(feature = "exec")]
use super::action::Task;
use super::error::MistakeList;
use super::site_keys::Texts;
use super::string_span::within;
use super::toml_table::{Entry, Table};
use super::{Config, value};
#[cfg(feature = "exec")]
use crate::command::{NotStarted, resolve};
#[cfg(feature = "exec")]
use crate::files;
#[cfg(feature = "exec")]
use crate::monitor::site::Check;
#[cfg(feature = "exec")]
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use toml_span::Spanned;

/// `env`. In environ(7) a name ends at the first `=`, and a NUL ends each entry.
pub const ENVIRONMENT: Texts = Texts {
    secret: false,
    name: |name| match name {
        name if name.is_empty() || name.contains(['=', '\0']) => {
            Err("is no name of a variable: it must not be empty or have a `=`".to_owned())
        }
        _ => Ok(()),
    },
    value: |text| without_nul(&text).map(|()| text),
};

fn without_nul(text: &str) -> Result<(), String> {
    match text.contains('\0') {
        true => Err("has a NUL in it, which no program would see".to_owned()),
        false => Ok(()),
    }
}

/// The user that the agent runs as, if it is another: root may check the configuration of a service.
/// `state`: the agent's state directory.
#[cfg(feature = "exec")]
fn owner(state: &Path) -> Option<u32> {
    let found = std::fs::metadata(state).ok()?;
    rustix::process::geteuid().is_root().then_some(found.uid())
}

/// Advice in mistakes about a `command`.
pub struct Advice {
    /// The path of an example program.
    pub example: &'static str,
    /// The key in which a secret belongs instead of an argument.
    pub secret: &'static str,
}

/// Reads `command`: the absolute path of a program that only root and the agent's user can replace, and
/// its arguments. `state`: the agent's state directory.
pub fn command(
    table: &mut Table,
    state: Option<&Path>,
    advice: &Advice,
    log: &mut MistakeList,
) -> Entry<Vec<String>> {
    let label = table.label("command");
    let words = table.list("command", log, |element, _| {
        let text = element.as_str()?.to_owned();
        Some(Ok(Spanned::with_span(text, element.span)))
    });
    words.then(|words, _| {
        let mut list = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let text = &word.value;
            let mut wrong = |place, what: String| log.add(place, format!("`{label}` {what}"));
            let filled = match value::expand(text, &|_| None) {
                Ok(filled) => filled,
                Err(bad) => {
                    for dollar in bad {
                        let place = within(log.text(), word.span, text, dollar.range);
                        let what = match dollar.name {
                            Some(_) => format!(
                                "takes nothing from the environment: every user of this machine can \
                                 see arguments; {}, or write `$$` for a dollar sign",
                                advice.secret
                            ),
                            None => "has a `$` that no name follows; write `$$` for a dollar sign"
                                .to_owned(),
                        };
                        log.add(place, format!("`{label}` {what}"));
                    }
                    continue;
                }
            };
            let sound = without_nul(&filled).and_then(|()| match at {
                0 => program(&filled, state, advice),
                _ => Ok(()),
            });
            match sound {
                Ok(()) => list.push(filled),
                Err(what) => wrong(word.span, what),
            }
        }
        (list.len() == words.len()).then_some(list)
    })
}

fn program(path: &str, state: Option<&Path>, advice: &Advice) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!(
            "must begin with the absolute path of a program, such as \"{}\"",
            advice.example
        ));
    }
    exposed(Path::new(path), state)
}

/// Programs that are missing or hang are reported when they are run.
#[cfg(feature = "exec")]
fn exposed(path: &Path, state: Option<&Path>) -> Result<(), String> {
    match look(path, state) {
        Err(why @ NotStarted::Exposed(..)) => Err(format!(
            "names a program that {}; take that from them (chown root, chmod o-w)",
            why.text()
        )),
        _ => Ok(()),
    }
}

#[cfg(not(feature = "exec"))]
fn exposed(_: &Path, _: Option<&Path>) -> Result<(), String> {
    Ok(())
}

#[cfg(feature = "exec")]
fn look(path: &Path, state: Option<&Path>) -> Result<(), NotStarted> {
    let (program, state) = (path.to_owned(), state.map(Path::to_owned));
    let looked = files::within(path, files::READ_TIMEOUT, move || {
        let owner = state.as_deref().and_then(owner);
        Ok(resolve(&program, owner).map(|_| ()))
    });
    looked.unwrap_or(Err(NotStarted::Hangs))
}

/// Warns of programs that are missing or cannot be executed.
#[cfg(feature = "exec")]
pub fn warnings(config: &Config) -> Vec<String> {
    let lack = |command: &[String]| {
        let program = command.first()?;
        let why = look(Path::new(program), Some(&config.agent.state))
            .err()?
            .text();
        Some(format!("{program} {why}"))
    };
    let sites = config.sites.iter().filter_map(|site| match &site.check {
        Check::Exec(check) => lack(&check.command).map(|what| {
            let name = &site.name;
            format!("site `{name}`: {what}; it is not judged until that changes")
        }),
        _ => None,
    });
    let actions = config
        .actions
        .iter()
        .filter_map(|action| match &action.task {
            Task::Command(command) => lack(command).map(|what| {
                let name = &action.remediation.name;
                format!("the [[action]] {name} can do nothing: {what}")
            }),
            _ => None,
        });
    sites.chain(actions).collect()
}

#[cfg(not(feature = "exec"))]
pub fn warnings(_: &Config) -> Vec<String> {
    Vec::new()
}
