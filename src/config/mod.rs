//! `sitemon.conf`: text in, a [`Config`] or every mistake in it out.
//!
//! - `keys` is the table of all keys; `toml_table` takes them out of the file one by one.
//! - `telegram`, `agent`, `notify`, `action`, `listen`, `site`, `site_keys`, `login` give them their meaning, `scheme` knows which
//!   site has which, `site_names` looks at the names of all sites together.
//! - `exec` reads and looks at programs that are to be run.
//! - `value`, `times_of_day`, `address`, `route`, `endpoint`, `host_url`, `ipv6_zone`, `condition` and
//!   `variables` read single values, `template` those with placeholders; `string_span` finds a part of one
//!   in the file.
//! - `error`, `syntax` and `mask` show what is wrong without showing a secret; `plaintext_secrets`,
//!   `ca_files` and `machine_lacks` give warnings.
//! - `summary` and `json` print what would run; `chat_sites` reads sites that are added in a chat;
//!   `paired_chat` writes `chats`; `cause_secrets` collects what no cause of a failure may show.

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

/// A file over this is not a configuration.
pub const LARGEST_FILE: u64 = 1 << 20;
/// At the start: a slow card has answered by then while a machine boots.
const START_WITHIN: Duration = Duration::from_secs(10);
/// What writes a configuration into a pipe may take a while.
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
    /// `[listen]`, if it is there.
    pub listen: Option<Listen>,
    /// What holds for sites that are added in the chat.
    pub defaults: Defaults,
    /// What the user should know but what stops nothing, one sentence each.
    pub warnings: Vec<String>,
}

/// `[telegram]`.
#[derive(Clone, Debug)]
pub struct Telegram {
    pub token: Secret,
    /// Chats that get the alerts and may give commands. May be empty (for `pair`).
    pub chats: Vec<i64>,
    /// In these chats only these users may give commands; `None` = all in them.
    pub users: Option<Vec<i64>>,
    /// The topic of a forum group that messages go to (`message_thread_id`), from 1 = General.
    pub topic: Option<i64>,
    /// Between these local times alerts arrive without sound.
    pub quiet: Option<Hours>,
    /// Base URL of the Bot API, no slash at its end.
    pub api: String,
    /// Ways to it, in the order in which they are tried; at least one, none twice.
    pub route: Vec<Route>,
    /// Long-poll time of `getUpdates`, 0 to 50 s.
    pub poll: Duration,
}

impl Telegram {
    /// Asked at the same place, in the same way, as the same bot.
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
    /// State directory; a relative one is already relative to the configuration file.
    pub state: PathBuf,
    /// Where `sitemon push` finds the agent.
    pub socket: PathBuf,
    /// Directory for the reports that come while no agent runs.
    pub spool: PathBuf,
    /// HTTP connections at once, at least 4.
    pub max_connections: usize,
    pub idle_connections: usize,
    /// Whole seconds.
    pub idle_timeout: Duration,
    /// `/check` commands running at once, at least 1.
    pub commands: usize,
    /// Programs running at once, at least 1.
    pub max_commands: usize,
    /// Asked whether our own line is up: it is down when none of them answers. At most 8; none =
    /// the line counts as up.
    pub uplink: Vec<Target>,
    /// An `http:` or `https:` URL with everything filled in, to be asked for every minute while all
    /// is well. With it the alarm can be kept silent, hence a secret.
    pub heartbeat: Option<Secret>,
    /// When the daily summary is sent: minutes since local midnight.
    pub digest: Option<u16>,
    /// A zone that is known here, by name or in POSIX form; `None` = the system's.
    pub timezone: Option<String>,
    /// An `http:` or `https:` URL without a slash at its end: the server that is asked for the
    /// registration of every domain; `None` = those of IANA's list.
    pub rdap: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub user_agent: String,
}

/// Where a TCP connection goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// From 1.
    pub port: u16,
}

/// As the file writes it: `tcp://1.1.1.1:443`, `tcp://[::1]:443`.
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

/// What [`parse`] needs to know of the world.
pub struct Context<'a> {
    /// The path of the file, as errors show it.
    pub file: &'a str,
    /// Other users can read the file.
    pub exposed: bool,
    /// The directory that relative paths start from.
    pub dir: &'a Path,
    /// Why a time zone is not known here, as what follows the key's name in a message.
    pub zone: &'a dyn Fn(&str) -> Result<(), String>,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a small file.
    pub read: &'a dyn Fn(&Path) -> io::Result<SmallFile>,
}

/// A text file and whether it is a secret to others.
#[derive(Clone, Debug)]
pub struct SmallFile {
    pub text: String,
    /// Others can read it, or a group that was not given it by root.
    pub exposed: bool,
}

/// Reads the configuration at `path`, and the file with the token where it names one. Blocks, for
/// some seconds when files do not answer. A pipe that we were started with will do: `/dev/stdin`,
/// or the `/dev/fd/63` of a shell's `<(…)`.
///
/// # Errors
///
/// The file cannot be read, or every mistake in it.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    let file = match is_inherited(path) {
        true => read_inherited(path),
        false => read_small(path, START_WITHIN),
    };
    read(path, file, START_WITHIN, env)
}

/// [`load`] for a configuration that was read before: of a pipe there is nothing more to come.
///
/// # Errors
///
/// The file cannot be read, or every mistake in it.
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

/// Where `sitemon push` reports to.
#[derive(Debug)]
pub struct PushPaths {
    pub socket: PathBuf,
    pub spool: PathBuf,
    /// The names of the `push:` sites, where the file could be read.
    pub sites: Option<Vec<String>>,
}

/// Of a configuration that may have mistakes elsewhere, and none of whose variables is looked up.
///
/// # Errors
///
/// It cannot be read: why, and what holds without it.
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
        let why = crate::state::reason(&e);
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

/// Reads the text of a configuration.
///
/// # Errors
///
/// Every mistake in it, or the first syntax error.
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

/// `None` where a mistake is recorded.
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
    // Each in a block of its own: all of them side by side would be kept by the heap for good.
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

/// A path, made relative to the configuration's directory.
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

/// A descriptor that we were started with, by its name.
fn is_inherited(path: &Path) -> bool {
    path == "/dev/stdin" || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

/// A pipe up to its end, or the regular file that the descriptor stands for.
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
    // What root lets another group read, or us, was given on purpose: to a service, or by systemd
    // as a credential, whose access list shows as the group's bits.
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
