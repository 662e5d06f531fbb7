//! Reads `sitemon.conf`: turns its text into a [`Config`] or a list of all mistakes.
//!
//! - `keys` is the table of all keys; `toml_table` takes them out of the file one by one.
//! - `telegram`, `agent`, `notify`, `action`, `listen`, `site`, `site_keys` and `login` interpret them; `scheme`
//!   lists the keys of each kind of site; `site_names` compares the names of all sites.
//! - `exec` reads and inspects programs.
//! - `value`, `times_of_day`, `address`, `route`, `endpoint`, `host_url`, `ipv6_zone`, `condition` and
//!   `variables` parse single values, `template` those with placeholders; `string_span` locates a part of
//!   a value in the file.
//! - `error`, `syntax` and `mask` report mistakes without secrets; `plaintext_secrets`, `ca_files` and
//!   `machine_lacks` warn.
//! - `summary` and `json` print the configuration; `chat_sites` reads sites that are added in a chat;
//!   `paired_chat` writes `chats`; `cause_secrets` collects what causes must not show.

mod action;
mod address;
mod agent;
mod ca_files;
mod cause_secrets;
mod chat_sites;
mod condition;
mod endpoint;
mod error;
mod exec;
mod host_url;
mod ipv6_zone;
mod json;
mod keys;
mod listen;
mod login;
#[cfg(feature = "host")]
mod machine_lacks;
mod mask;
mod notify;
mod paired_chat;
mod plaintext_secrets;
mod route;
mod scheme;
mod secret_looks;
mod site;
mod site_keys;
mod site_names;
mod string_span;
mod summary;
mod syntax;
mod telegram;
mod template;
mod times_of_day;
mod toml_table;
mod value;
mod variables;

#[cfg(test)]
mod tests;

pub use action::{Action, Request, Task};
pub use chat_sites::{Defaults, added_beside, added_site, added_sites};
pub use error::{Mistake, Mistakes};
pub use json::{json_string, to_json};
pub use listen::Listen;
pub use notify::{Body, Notify};
pub use paired_chat::with_chat;
pub use summary::summary;
pub use telegram::{TOKEN_VARIABLE, sound_token};
pub use value::format_duration;

use crate::files;
use crate::monitor::site::Site;
use crate::monitor::time::hours::Hours;
use crate::monitor::uplink::route::Route;
use crate::secret::Secret;
use error::MistakeList;
use site_names::Names;
use std::cell::RefCell;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml_table::{Entry, Table};

/// Maximum bytes of a configuration.
pub const LARGEST_FILE: u64 = 1 << 20;
/// Timeout of a file at the start: a slow SD card answers within this even during the boot.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Timeout of a pipe, whose writer may be slow.
const PIPE_WITHIN: Duration = Duration::from_secs(30);

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub telegram: Option<Telegram>,
    pub agent: Agent,
    /// In the order of the file. Names are unique.
    pub sites: Vec<Arc<Site>>,
    /// The `[[notify]]` tables. Names are unique.
    pub channels: Vec<Notify>,
    /// The `[[action]]` tables. Names are unique.
    pub actions: Vec<Action>,
    /// The `[listen]` table, if there is one.
    pub listen: Option<Listen>,
    /// Defaults of sites that are added in the chat.
    pub defaults: Defaults,
    /// Warnings for the user, one sentence each.
    pub warnings: Vec<String>,
}

/// `[telegram]`.
#[derive(Clone, Debug)]
pub struct Telegram {
    pub token: Secret,
    /// Chats that get the alerts and may give commands. May be empty (for `pair`).
    pub chats: Vec<i64>,
    /// The only users who may give commands in these chats; `None` = all.
    pub users: Option<Vec<i64>>,
    /// The topic of a forum group for messages (`message_thread_id`), at least 1 (General).
    pub topic: Option<i64>,
    /// Local times between which alerts arrive without sound.
    pub quiet: Option<Hours>,
    /// Base URL of the Bot API, without a trailing slash.
    pub api: String,
    /// Routes to it in the order in which they are tried: at least one, without duplicates.
    pub route: Vec<Route>,
    /// Long-poll timeout of `getUpdates`, 0 to 50 s.
    pub poll: Duration,
}

impl Telegram {
    /// Both use the same bot by the same API and routes.
    pub fn is_same_bot(&self, other: &Telegram) -> bool {
        let of = |t: &Telegram| {
            (
                t.token.clone(),
                t.api.clone(),
                t.route.clone(),
                t.poll,
                t.topic,
            )
        };
        of(self) == of(other)
    }
}

/// `[agent]`.
#[derive(Clone, Debug)]
pub struct Agent {
    /// State directory, already resolved relative to the configuration file.
    pub state: PathBuf,
    /// Socket to which `sitemon push` reports.
    pub socket: PathBuf,
    /// Directory for reports that are made while no agent runs.
    pub spool: PathBuf,
    /// Maximum number of HTTP connections, at least 4.
    pub max_connections: usize,
    pub idle_connections: usize,
    /// Whole seconds.
    pub idle_timeout: Duration,
    /// Maximum number of `/check` commands that run at once, at least 1.
    pub commands: usize,
    /// Maximum number of programs that run at once, at least 1.
    pub max_commands: usize,
    /// Targets of the uplink's probes, at most 8: the uplink is down when none of them answers. Empty: it
    /// counts as up.
    pub uplink: Vec<Target>,
    /// An `http:` or `https:` URL with all variables replaced, which is requested every minute while the agent
    /// is healthy. A secret: with it others could suppress the alarm.
    pub heartbeat: Option<Secret>,
    /// Time of the daily summary in minutes since local midnight.
    pub digest: Option<u16>,
    /// A known time zone, by name or in POSIX form; `None` = the system's.
    pub timezone: Option<String>,
    /// URL of an RDAP server for all domains, `http:` or `https:` without a trailing slash; `None` = the
    /// servers in IANA's list.
    pub rdap: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub user_agent: String,
}

/// Target of a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// 1 to 65,535.
    pub port: u16,
}

/// As in the file: `tcp://1.1.1.1:443`, `tcp://[::1]:443`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, port } = self;
        if host.contains(':') {
            write!(f, "tcp://[{host}]:{port}")
        } else {
            write!(f, "tcp://{host}:{port}")
        }
    }
}

/// The environment of [`parse`].
pub struct Context<'a> {
    /// The path of the file, for errors.
    pub file: &'a str,
    /// Other users can read the file.
    pub exposed: bool,
    /// The directory that relative paths start from.
    pub dir: &'a Path,
    /// Checks a time zone. The error continues the key's name in a message.
    pub zone: &'a dyn Fn(&str) -> Result<(), String>,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a small file.
    pub read: &'a dyn Fn(&Path) -> io::Result<SmallFile>,
}

/// A text file, and who can read it.
#[derive(Clone, Debug)]
pub struct SmallFile {
    pub text: String,
    /// Other users can read it, or a group to which root did not give it.
    pub exposed: bool,
}

/// Reads the configuration at `path`, and the file with the token if it names one. Blocks, for some
/// seconds if a file system hangs. Accepts an inherited pipe: `/dev/stdin`, or the `/dev/fd/63` of a
/// shell's `<(…)`.
///
/// # Errors
///
/// If the file cannot be read; else all mistakes in it.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    let file = match is_inherited(path) {
        true => read_inherited(path),
        false => read_small(path, START_WITHIN),
    };
    read(path, file, START_WITHIN, env)
}

/// Like [`load`], but refuses pipes, which were consumed by the first read.
///
/// # Errors
///
/// If the file cannot be read; else all mistakes in it.
pub fn reload(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    let patience = files::READ_TIMEOUT;
    read(path, read_small(path, patience), patience, env)
}

fn read(
    path: &Path,
    file: io::Result<SmallFile>,
    patience: Duration,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Mistakes> {
    let file = file.map_err(|error| Mistakes::unreadable(path, &error))?;
    let ctx = Context {
        file: &path.display().to_string(),
        exposed: file.exposed,
        dir: path.parent().unwrap_or(Path::new("")),
        zone: &crate::clock::check_zone,
        env,
        read: &|path| read_small(path, patience),
    };
    let mut config = parse(&file.text, &ctx)?;
    config.warnings.extend(ca_files::unusable(&config));
    #[cfg(feature = "host")]
    config.warnings.extend(machine_lacks::warnings(&config));
    config.warnings.extend(exec::warnings(&config));
    Ok(config)
}

/// Where `sitemon push` delivers reports.
#[derive(Debug)]
pub struct PushPaths {
    pub socket: PathBuf,
    pub spool: PathBuf,
    /// Names of the `push:` sites, if the file could be read.
    pub sites: Option<Vec<String>>,
}

/// Reads the paths from a configuration that may have other mistakes, without looking up variables.
///
/// # Errors
///
/// If the file cannot be read: the reason, and the default paths.
pub fn push_paths(path: &Path) -> Result<PushPaths, (String, PushPaths)> {
    let shown = path.display();
    let none = |_: &Path| Err(io::ErrorKind::Unsupported.into());
    let ctx = Context {
        file: "",
        exposed: false,
        dir: path.parent().unwrap_or(Path::new("")),
        zone: &|_| Ok(()),
        env: &|_| None,
        read: &none,
    };
    let paths = |root: Option<Table>, log: &mut MistakeList| {
        let mut root = root.unwrap_or_else(|| Table::empty(&keys::ROOT));
        let agent = root.table("agent", log).value();
        let mut agent = agent.unwrap_or_else(|| Table::empty(&keys::AGENT));
        let (socket, spool) = agent::push_paths(&mut agent, &ctx, log);
        let push = |mut site: Table| {
            let mut text = |key| site.text(key, log, |text| Ok(text.to_owned())).value();
            let (name, url) = (text("name"), text("url"));
            url.filter(|url| url.starts_with("push:")).and(name)
        };
        let sites = root.tables("site", &mut MistakeList::new("")).into_iter();
        (socket, spool, sites.filter_map(push).collect())
    };
    let read = read_small(path, files::READ_TIMEOUT);
    let text = read.map(|file| file.text).map_err(|e| {
        let why = files::reason(&e);
        format!("{shown} cannot be read: {why}")
    });
    let (text, wrong) = match text {
        Ok(text) => (text, None),
        Err(why) => (String::new(), Some(why)),
    };
    let mut log = MistakeList::new(&text);
    let root = toml_table::root(&text, &mut log);
    let wrong = wrong.or_else(|| root.is_none().then(|| format!("{shown} is no TOML")));
    let (socket, spool, sites) = paths(root, &mut log);
    let paths = PushPaths {
        socket,
        spool,
        sites: wrong.is_none().then_some(sites),
    };
    match wrong {
        None => Ok(paths),
        Some(why) => Err((why, paths)),
    }
}

/// Parses the text of a configuration.
///
/// # Errors
///
/// All mistakes in it, or the first syntax error.
pub fn parse(text: &str, ctx: &Context) -> Result<Config, Mistakes> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut log = MistakeList::new(text);
    let taken = RefCell::new(Vec::new());
    let env = |name: &str| {
        let value = (ctx.env)(name);
        taken.borrow_mut().extend(value.clone());
        value
    };
    let read = |path: &Path| {
        let file = (ctx.read)(path)?;
        taken.borrow_mut().push(file.text.trim().to_owned());
        Ok(file)
    };
    let noting = Context {
        env: &env,
        read: &read,
        ..*ctx
    };
    match toml_table::root(text, &mut log).and_then(|root| config(root, &noting, &mut log)) {
        Some(config) if log.is_empty() => Ok(config),
        _ => Err(log.into_mistakes(ctx.file, &taken.borrow())),
    }
}

/// Returns `None` after a mistake, which is recorded.
fn config(mut root: Table, ctx: &Context, log: &mut MistakeList) -> Option<Config> {
    let mut warnings = Vec::new();
    let (telegram, chats) = match root.table("telegram", log).value() {
        Some(table) => telegram::read(table, ctx, &mut warnings, log),
        None => (None, None),
    };
    let agent = root.table("agent", log).value();
    let agent = agent.unwrap_or_else(|| Table::empty(&keys::AGENT));
    let agent = agent::read(agent, ctx, &mut warnings, log);
    let state = agent.as_ref().map(|agent| agent.state.as_path());
    let scope = site_keys::Scope { ctx, chats, state };
    let table = root.table("defaults", log).value();
    let mut table = table.unwrap_or_else(|| Table::empty(&keys::DEFAULTS));
    let (mut defaults, taken) = cause_secrets::noting(&scope, |scope| {
        site_keys::Keys::read(&mut table, scope, log)
    });
    defaults.taken = taken;
    table.finish(log);
    let mut names = Names::default();
    let tables = root.tables("site", log).into_iter();
    // One at a time: all of them at once would enlarge the heap for good.
    let sites = tables.map(|table| {
        let site = site::read(table, &defaults, &mut names, &scope, log);
        site.map(Arc::new)
    });
    let sites: Vec<Option<Arc<Site>>> = sites.collect();
    let mut targets = notify::Targets::new(&names, &sites);
    names.finish(log);
    let tables = root.tables("notify", log).into_iter();
    let channels: Vec<Option<Notify>> = tables
        .map(|table| notify::read(table, &mut targets, ctx, &mut warnings, log))
        .collect();
    let mut names = Vec::new();
    let scope = action::Scope {
        targets: &targets,
        sites: &sites,
        telegram: telegram.as_ref(),
        uplink: agent.as_ref().is_none_or(|agent| !agent.uplink.is_empty()),
        state,
    };
    let tables = root.tables("action", log).into_iter();
    let actions: Vec<Option<Action>> = tables
        .map(|table| action::read(table, &scope, &mut names, ctx, &mut warnings, log))
        .collect();
    let listen = root.table("listen", log).value();
    let listen = listen.map(|table| listen::read(table, ctx, &mut warnings, log));
    root.finish(log);
    let secrets = log.take_secrets();
    if ctx.exposed {
        warnings.extend(plaintext_secrets::warning(ctx.file, &secrets, log));
    }
    if sites.is_empty() {
        warnings.push(format!("no [[site]] in {}: nothing to watch", ctx.file));
    }
    let channels: Vec<Notify> = channels.into_iter().collect::<Option<_>>()?;
    warnings.extend(notify::idle(&channels, telegram.is_some()));
    Some(Config {
        telegram,
        agent: agent?,
        sites: sites.into_iter().collect::<Option<_>>()?,
        channels,
        actions: actions.into_iter().collect::<Option<_>>()?,
        listen: match listen {
            Some(listen) => Some(listen?),
            None => None,
        },
        defaults: Defaults::of(&defaults),
        warnings,
    })
}

/// Reads a path, resolved relative to the configuration's directory.
fn path(
    table: &mut Table,
    key: &'static str,
    ctx: &Context,
    log: &mut MistakeList,
) -> Entry<PathBuf> {
    table.text(key, log, |text| {
        if text.is_empty() || text.contains('\0') {
            return Err("must be a path".to_owned());
        }
        Ok(ctx.dir.join(text))
    })
}

fn read_small(path: &Path, patience: Duration) -> io::Result<SmallFile> {
    let owned = path.to_owned();
    files::within(path, patience, move || {
        let (file, found) = files::open(&owned, LARGEST_FILE)?;
        small(&file, &found)
    })
}

/// The path names an inherited descriptor.
fn is_inherited(path: &Path) -> bool {
    path == "/dev/stdin" || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

/// Reads a pipe to its end, or the regular file behind the descriptor.
fn read_inherited(path: &Path) -> io::Result<SmallFile> {
    let owned = path.to_owned();
    files::within(path, PIPE_WITHIN, move || {
        if !std::fs::metadata(&owned)?.file_type().is_fifo() {
            let (file, found) = files::open(&owned, LARGEST_FILE)?;
            return small(&file, &found);
        }
        let file = File::open(&owned)?;
        let found = file.metadata()?;
        small(&file, &found)
    })
}

fn small(file: &File, found: &Metadata) -> io::Result<SmallFile> {
    let readable_by = |who| found.mode() & who != 0;
    // Access that root gave to another group, or to us, is deliberate: for a service, or by systemd as a
    // credential, whose ACL shows as the group's bits.
    let given = found.uid() == 0 && (found.gid() != 0 || !rustix::process::geteuid().is_root());
    let exposed = readable_by(0o004) || (readable_by(0o040) && !given);
    let bytes = files::bounded(file, LARGEST_FILE)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + sound.iter().filter(|&&byte| byte == b'\n').count();
        io::Error::other(format!("line {line} is not UTF-8 text"))
    })?;
    Ok(SmallFile { text, exposed })
}
