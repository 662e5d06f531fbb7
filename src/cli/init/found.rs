//! What exists already: the configuration, the token's file, the service.

use super::super::Failure;
use super::packaged;
use crate::clock;
use crate::config::{self, Config, Context, Mistakes, SmallFile, TOKEN_VARIABLE};
use crate::files;
use crate::process;
use crate::secret::Secret;
use std::cell::RefCell;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Path of the configuration that the packages install.
pub const INSTALLED: &str = "/etc/sitemon.conf";
/// A placeholder in the format of a token.
const NO_TOKEN: &str = "0:none";

/// The file at the path of the configuration.
pub enum Found {
    /// No file, or an unmodified packaged one: it is written anew, with this `state`.
    Replaceable {
        state: &'static str,
        old: Option<Metadata>,
    },
    /// A file that a user has written or modified.
    Users(Box<Users>),
}

/// A configuration that isn't changed.
pub struct Users {
    pub text: String,
    /// The parsed file; contains [`NO_TOKEN`] if it lacks a token.
    pub config: Config,
    /// It contains the token or refers to it.
    pub names_token: bool,
    /// The token itself exists.
    pub has_token: bool,
    /// The `token_file` that the configuration names, if it contains no token.
    pub token_file: Option<PathBuf>,
}

/// Reads what is at `path`.
///
/// # Errors
///
/// Returns an error if the file can't be read or has mistakes other than a missing token.
pub fn look(path: &Path) -> Result<Found, Failure> {
    let unreadable =
        |e: io::Error| Failure::Usage(format!("{}: {}", path.display(), files::reason(&e)));
    let old = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let state = match path {
                path if path != Path::new(INSTALLED) => "state",
                _ if Path::new("/etc/rc.common").exists() => "/etc/sitemon/state",
                _ => "/var/lib/sitemon",
            };
            return Ok(Found::Replaceable { state, old: None });
        }
        found => found.map_err(unreadable)?,
    };
    let bytes = files::read(path, config::LARGEST_FILE).map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("{}: it is not UTF-8 text", path.display())))?;
    if let Some(state) = packaged::state_of(&text).filter(|_| old.is_file()) {
        let old = Some(old);
        return Ok(Found::Replaceable { state, old });
    }
    let loaded = config::load(path, &process::variable);
    let users = match loaded {
        Ok(config) => {
            let has = config.telegram.is_some();
            Users {
                text,
                config,
                names_token: has,
                has_token: has,
                token_file: None,
            }
        }
        Err(mistakes) => without_token(text, path, mistakes)?,
    };
    Ok(Found::Users(Box::new(users)))
}

/// Reads a file whose only mistake is the missing token.
fn without_token(text: String, path: &Path, mistakes: Mistakes) -> Result<Users, Failure> {
    let named = RefCell::new(None);
    let read = |path: &Path| {
        let text = match files::read(path, config::LARGEST_FILE) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        if !text.trim().is_empty() {
            return Ok(text);
        }
        *named.borrow_mut() = Some(path.to_owned());
        Ok(NO_TOKEN.to_owned())
    };
    let config = parse(&text, path, false, &read, &|| Some(NO_TOKEN.to_owned()));
    let config = config.map_err(|_| Failure::Usage(mistakes.to_string()))?;
    let token_file = named.into_inner();
    Ok(Users {
        text,
        config,
        names_token: token_file.is_some(),
        has_token: false,
        token_file,
    })
}

/// Parses `text`, which is or will be the file at `path`, with this token from any source.
///
/// # Errors
///
/// Returns all mistakes.
pub fn with_token(text: &str, path: &Path, token: &Secret) -> Result<Config, Mistakes> {
    with_token_in(text, path, false, token)
}

fn with_token_in(
    text: &str,
    path: &Path,
    exposed: bool,
    token: &Secret,
) -> Result<Config, Mistakes> {
    let token = || token.expose().to_owned();
    parse(text, path, exposed, &|_| Ok(token()), &|| Some(token()))
}

/// Returns whether `text` contains secrets: then a file that other users can read causes a warning.
pub fn has_secrets(text: &str, path: &Path) -> bool {
    let warnings = |exposed| {
        let config = with_token_in(text, path, exposed, &Secret::new(NO_TOKEN));
        config.map_or(0, |config| config.warnings.len())
    };
    warnings(true) > warnings(false)
}

/// Parses `text` with a placeholder for the token.
///
/// # Errors
///
/// Returns all mistakes.
pub fn with_any_token(text: &str, path: &Path) -> Result<Config, Mistakes> {
    with_token(text, path, &Secret::new(NO_TOKEN))
}

fn parse(
    text: &str,
    path: &Path,
    exposed: bool,
    read: &dyn Fn(&Path) -> io::Result<String>,
    token: &dyn Fn() -> Option<String>,
) -> Result<Config, Mistakes> {
    let read = |path: &Path| {
        let exposed = false;
        read(path).map(|text| SmallFile { text, exposed })
    };
    let env = |name: &str| match name {
        TOKEN_VARIABLE => token(),
        name => process::variable(name),
    };
    let ctx = Context {
        file: &path.display().to_string(),
        exposed,
        dir: path.parent().unwrap_or(Path::new("")),
        zone: &clock::check_zone,
        env: &env,
        read: &read,
    };
    config::parse(text, &ctx)
}

/// Returns where to write the token: the value of `token_file`, and the path.
pub fn token_file(path: &Path) -> (String, PathBuf) {
    if path == Path::new(INSTALLED) {
        let file = "/etc/sitemon/token";
        return (file.to_owned(), file.into());
    }
    let file = path.with_extension("token");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    (name.into_owned(), file)
}

/// Returns user and group of the packages' service, if they exist; `None` for a file at another
/// path.
pub fn service_user(path: &Path) -> Option<(u32, u32)> {
    if path != Path::new(INSTALLED) {
        return None;
    }
    user(&fs::read_to_string("/etc/passwd").ok()?)
}

/// Parses `/etc/passwd` (passwd(5)).
fn user(passwd: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find_map(|line| line.strip_prefix("sitemon:"))?;
    let mut fields = line.split(':').skip(1).map(|id| id.parse().ok());
    fields.next()?.zip(fields.next()?)
}

/// Returns the command that (re)starts the service with the new configuration, or the one that runs
/// the agent in the foreground if no service uses this file.
pub fn start_command(path: &Path) -> String {
    const UNITS: [&str; 3] = [
        "/etc/systemd/system/sitemon.service",
        "/usr/lib/systemd/system/sitemon.service",
        "/lib/systemd/system/sitemon.service",
    ];
    const SCRIPT: &str = "/etc/init.d/sitemon";
    let exists = |path: &str| Path::new(path).exists();
    if path != Path::new(INSTALLED) {
        format!("sitemon -c {} run", quoted(&path.display().to_string()))
    } else if exists("/run/systemd/system") && UNITS.into_iter().any(exists) {
        "systemctl restart sitemon".to_owned()
    } else if exists(SCRIPT) {
        format!("{SCRIPT} restart")
    } else {
        "sitemon run".to_owned()
    }
}

/// Quotes `word` for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=".contains(c);
    match word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            (
                "/home/b\u{fc}ro/my-sites.conf",
                "/home/b\u{fc}ro/my-sites.conf",
            ),
            ("my sites.conf", "'my sites.conf'"),
            ("it's $HOME", "'it'\\''s $HOME'"),
        ] {
            assert_eq!(quoted(path), word);
        }
    }

    #[test]
    fn the_token_goes_beside_a_configuration_of_ones_own() {
        let of = |path: &str| token_file(Path::new(path));
        let etc = "/etc/sitemon/token";
        assert_eq!(of(INSTALLED), (etc.into(), etc.into()));
        assert_eq!(
            of("home/my.conf"),
            ("my.token".into(), "home/my.token".into())
        );
        assert_eq!(of("my"), ("my.token".into(), "my.token".into()));
    }

    #[test]
    fn a_file_has_secrets_where_a_warning_would_name_them() {
        let telegram = "[telegram]\ntoken_file = \"t\"\n";
        let site = |url: &str| format!("{telegram}[[site]]\nname = \"a\"\nurl = \"{url}\"\n");
        let route = |way: &str| format!("{telegram}route = [\"direct\", \"{way}\"]\n");
        let secret = |text: &str| has_secrets(text, Path::new("my.conf"));
        for text in [
            route("socks5h://u:p@h:1"),
            route("socks5h://user@h:1"),
            route("socks5h://user:pa$$word@h:1"),
            route("https://h/p"),
            site("https://user:password@h/"),
            site("https://h/?api_key=x"),
        ] {
            assert!(secret(&text), "{text}");
        }
        for text in [
            telegram.to_owned(),
            route("socks5h://h:1"),
            route("https://h"),
            route("https://h$PWD"),
            site("https://h/?a=b"),
        ] {
            assert!(!secret(&text), "{text}");
        }
    }

    #[test]
    fn the_service_has_a_user_or_not() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nsitemon:x:107:113::/var/lib/sitemon:/usr/sbin/nologin\n";
        assert_eq!(user(passwd), Some((107, 113)));
        assert_eq!(user("root:x:0:0::/:/bin/sh\nsitemonitor:x:1:1::/:\n"), None);
        assert_eq!(user("sitemon:x::\n"), None);
    }
}
