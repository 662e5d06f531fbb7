//! `sitemon init`: sets sitemon up by asking questions. Writes nothing before the last one is
//! answered.

mod bot;
mod found;
mod packaged;
mod qr_code;
mod terminal;
mod unreached;
mod writing;

use super::args::Init;
use super::say::deliver;
use super::{Failure, check, print, table};
use crate::chat::telegram::ApiError;
use crate::config::{self, Config};
use crate::files;
use crate::monitor::site::Site;
use crate::monitor::site::state::State;
use crate::secret::Secret;
use crate::state;
use crate::timer;
use async_signal::{Signal, Signals};
use bot::Bot;
use found::{Found, Users};
use futures_lite::{FutureExt, StreamExt};
use packaged::Answers;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use terminal::Terminal;

/// Maximum size of a file with a token in bytes.
const LONGEST_TOKEN: u64 = 4096;

pub fn init(path: &Path, options: &Init) -> Result<(), Failure> {
    let ends = [Signal::Int, Signal::Term, Signal::Hup, Signal::Quit];
    let mut signals = Signals::new(ends)
        .map_err(|e| Failure::Usage(format!("signals cannot be waited for: {e}")))?;
    // Dropping the future restores the terminal and removes temporary files.
    let ended = async {
        signals.next().await;
        Err(Failure::Interrupted)
    };
    timer::block_on(ended.or(set_up(path, options)))
}

async fn set_up(path: &Path, options: &Init) -> Result<(), Failure> {
    let mut setup = Setup::new(path, options)?;
    let Some(wanted) = setup.wanted()? else {
        return print(format_args!(
            "{} has all it needs: a bot, chats and sites. `sitemon say hello` tries the way to them.\n",
            path.display()
        ));
    };
    // A running agent would receive the code, and this command would receive commands for the
    // agent.
    let waits = wanted.chat && options.chat.is_none();
    let _lock = match &setup.found {
        Found::Users(users) if users.has_token && waits => {
            state::reserve(&users.config.agent.state).map_err(Failure::Usage)?
        }
        _ => None,
    };
    setup.look_over(&wanted)?;
    let bot = setup.bot(&wanted).await?;
    let chat = setup.chat(&wanted, &bot).await?;
    let site = setup.site(&wanted, &bot).await?;
    setup.write(&wanted, &bot, chat, site.as_ref())?;
    let name = site
        .as_ref()
        .or(bot.config.sites.first().map(AsRef::as_ref));
    let tested = bot
        .test_alert(chat, name.map_or("site", |site| &site.name))
        .await;
    if matches!(setup.found, Found::Users(_)) {
        let left = format!(
            "{} is left as it is: add to it what it lacks",
            path.display()
        );
        return Err(Failure::Usage(match tested {
            Err(Failure::Telegram(why)) => format!("{why}\n{left}"),
            _ => left,
        }));
    }
    print(format_args!(
        "Now start it: {}\n",
        found::start_command(path)
    ))?;
    tested
}

/// What is still missing.
struct Wanted {
    token: bool,
    chat: bool,
    site: bool,
}

struct Setup<'a> {
    path: &'a Path,
    options: &'a Init,
    /// The routes of `--route`.
    route: Vec<String>,
    found: Found,
    terminal: Option<Terminal>,
    /// The value of `token_file`, and the path of that file.
    token_file: (String, PathBuf),
}

impl<'a> Setup<'a> {
    fn new(path: &'a Path, options: &'a Init) -> Result<Setup<'a>, Failure> {
        let found = found::look(path)?;
        let mut token_file = found::token_file(path);
        if let Found::Users(users) = &found
            && let Some(named) = &users.token_file
        {
            token_file.1.clone_from(named);
        }
        let route = options.route.iter().flat_map(|list| list.split(','));
        Ok(Setup {
            path,
            options,
            route: route.map(|way| way.trim().to_owned()).collect(),
            found,
            terminal: Terminal::open(),
            token_file,
        })
    }

    /// Returns what is missing, or `None` if the file is complete.
    fn wanted(&self) -> Result<Option<Wanted>, Failure> {
        let wanted = match &self.found {
            Found::Replaceable { .. } => Wanted {
                token: true,
                chat: true,
                site: true,
            },
            Found::Users(users) => {
                let telegram = users.config.telegram.as_ref();
                Wanted {
                    token: !users.has_token,
                    chat: telegram.is_none_or(|telegram| telegram.chats.is_empty()),
                    site: users.config.sites.is_empty(),
                }
            }
        };
        let Init {
            token_file,
            chat,
            site,
            api,
            route,
        } = self.options;
        let has_table =
            matches!(&self.found, Found::Users(users) if users.config.telegram.is_some());
        let unused = [
            (!wanted.token && token_file.is_some(), "--token-file"),
            (!wanted.chat && chat.is_some(), "--chat"),
            (!wanted.site && site.is_some(), "--site"),
            (has_table && api.is_some(), "--api"),
            (has_table && !route.is_empty(), "--route"),
        ];
        let unused = names(&unused);
        if !unused.is_empty() {
            log::warn!("{} goes before {unused}", self.path.display());
        }
        if !wanted.token && !wanted.chat && !wanted.site {
            return Ok(None);
        }
        let lacking = [
            (wanted.token && token_file.is_none(), "--token-file"),
            (wanted.chat && chat.is_none(), "--chat"),
            (wanted.site && site.is_none(), "--site"),
        ];
        let lacking = names(&lacking);
        if self.terminal.is_none() && !lacking.is_empty() {
            return Err(Failure::Usage(format!(
                "there is no terminal to ask on: give {lacking}"
            )));
        }
        Ok(Some(wanted))
    }

    /// Checks the options and that the files can be written, before the first question.
    fn look_over(&self, wanted: &Wanted) -> Result<(), Failure> {
        let config = found::with_any_token(&self.text(None, None), self.path);
        let config = config.map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
        // The warning about missing sites is premature.
        for warning in config
            .warnings
            .iter()
            .filter(|w| !w.starts_with("no [[site]]"))
        {
            log::warn!("{warning}");
        }
        if let Some(site) = &self.options.site {
            site_of(site, &config).map_err(Failure::Usage)?;
        }
        if matches!(self.found, Found::Replaceable { .. }) {
            writing::look_over(self.path)?;
        }
        if wanted.token && self.token_file.1.parent().is_some_and(Path::is_dir) {
            writing::look_over(&self.token_file.1)?;
        }
        if wanted.token {
            self.spare_what_is_no_token()?;
        }
        Ok(())
    }

    /// Refuses to overwrite a token file that contains anything but a token.
    fn spare_what_is_no_token(&self) -> Result<(), Failure> {
        let path = &self.token_file.1;
        let shown = path.display();
        let bytes = match files::read(path, config::LARGEST_FILE) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                let reason = files::reason(&e);
                return Err(Failure::Usage(format!(
                    "{shown}, where the token goes, cannot be read: {reason}"
                )));
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().is_empty() || config::sound_token(&text).is_some() {
            true => Ok(()),
            false => Err(Failure::Usage(format!(
                "{shown}, where the token goes, holds something else: move it away first"
            ))),
        }
    }

    fn answers<'b>(&'b self, chat: Option<i64>, site: Option<&'b Site>) -> Answers<'b> {
        Answers {
            token_file: Some(self.token_file.0.as_str()),
            chat,
            api: self.options.api.as_deref(),
            route: &self.route,
            site: site.map(|site| (site.name.as_str(), site.url.as_str())),
        }
    }

    /// Returns the configuration with these answers. A user's file only gets a table `[telegram]`,
    /// if it has none.
    fn text(&self, chat: Option<i64>, site: Option<&Site>) -> String {
        let answers = self.answers(chat, site);
        match &self.found {
            Found::Replaceable { state, .. } => packaged::filled(state, &answers),
            Found::Users(users) if users.config.telegram.is_some() => users.text.clone(),
            Found::Users(users) => {
                format!("{}\n[telegram]\n{}", users.text, answers.telegram_lines())
            }
        }
    }

    /// Connects with the token that is configured, given as an option, or typed.
    async fn bot(&mut self, wanted: &Wanted) -> Result<Bot, Failure> {
        let mut known = self.known_token(wanted)?;
        // Whether to ask for the token.
        let asks = wanted.token && self.options.token_file.is_none();
        if asks {
            print(format_args!(
                "A bot sends the alerts. In Telegram, ask @BotFather for one (/newbot); it gives a token.\n"
            ))?;
        }
        loop {
            let token = match (&mut self.terminal, asks) {
                (Some(terminal), true) => {
                    let enter = if known.is_some() {
                        " (Enter: the same as before)"
                    } else {
                        ""
                    };
                    let line = terminal.ask_secret(&format!("Its token{enter}: ")).await?;
                    match config::sound_token(&line) {
                        _ if line.is_empty() && known.is_some() => known.clone(),
                        Some(token) => Some(token),
                        None => {
                            let form = "That is not a bot token; BotFather gives it in the form 123456:ABC-DEF.";
                            print(format_args!("{form}\n"))?;
                            continue;
                        }
                    }
                }
                _ => known.clone(),
            };
            let Some(token) = token else {
                return Err(Failure::Usage("there is no token".into()));
            };
            match self.try_token(token.clone()).await? {
                Ok(bot) => {
                    print(format_args!("The bot is @{}.\n", bot.me.username))?;
                    return Ok(bot);
                }
                Err((error, why)) if asks => {
                    print(format_args!("{why}\n"))?;
                    known = Some(token).filter(|_| !error.is_unauthorised());
                }
                Err((_, why)) => return Err(Failure::Telegram(why)),
            }
        }
    }

    /// Returns the token if it is configured or given as an option.
    fn known_token(&self, wanted: &Wanted) -> Result<Option<Secret>, Failure> {
        if let Found::Users(users) = &self.found
            && !wanted.token
        {
            let telegram = users.config.telegram.as_ref();
            return Ok(telegram.map(|telegram| telegram.token.clone()));
        }
        let Some(path) = &self.options.token_file else {
            return Ok(None);
        };
        // May also be a pipe.
        let read = File::open(path).and_then(|file| files::bounded(file, LONGEST_TOKEN));
        let shown = path.display();
        let bytes = read.map_err(|e| {
            Failure::Usage(format!(
                "--token-file {shown} cannot be read: {}",
                files::reason(&e)
            ))
        })?;
        let token = config::sound_token(&String::from_utf8_lossy(&bytes));
        token.map(Some).ok_or_else(|| {
            Failure::Usage(format!(
                "what --token-file {shown} holds is not a bot token; BotFather gives it in the form 123456:ABC-DEF"
            ))
        })
    }

    /// Connects with `token`. The inner `Err` is that of [`Bot::connect`].
    async fn try_token(&self, token: Secret) -> Result<Result<Bot, (ApiError, String)>, Failure> {
        let config = match &self.found {
            Found::Users(users) if users.has_token => users.config.clone(),
            _ => found::with_token(&self.text(None, None), self.path, &token)
                .map_err(|mistakes| Failure::Usage(mistakes.to_string()))?,
        };
        Bot::connect(config, token).await
    }

    /// Returns the chat; sends a greeting to a new one.
    async fn chat(&self, wanted: &Wanted, bot: &Bot) -> Result<i64, Failure> {
        let chats = bot
            .config
            .telegram
            .as_ref()
            .map_or(&[][..], |telegram| &telegram.chats);
        let given = if wanted.chat {
            self.options.chat
        } else {
            chats.first().copied()
        };
        let chat = match given {
            Some(chat) => chat,
            None => bot.wait_for_start().await?,
        };
        if !wanted.chat {
            return Ok(chat);
        }
        let hello = "Hello, this is sitemon. Alerts come to this chat.".to_owned();
        match deliver(&bot.telegram, chat, &[], hello).await {
            Ok(now) => Ok(now),
            Err(reason) => Err(Failure::Telegram(format!(
                "chat {chat} cannot be written to: {reason}. Press Start in https://t.me/{} first, or add the bot to the \
                 group",
                bot.me.username
            ))),
        }
    }

    /// Asks for the first site and checks it. Returns `None` if sites are configured.
    async fn site(&mut self, wanted: &Wanted, bot: &Bot) -> Result<Option<Site>, Failure> {
        if !wanted.site {
            return Ok(None);
        }
        loop {
            let given = self.options.site.clone();
            let text = match (&given, &mut self.terminal) {
                (None, Some(terminal)) => {
                    terminal
                        .ask("Address to watch first, such as https://example.org: ")
                        .await?
                }
                _ => given.clone().unwrap_or_default(),
            };
            let site = match site_of(&text, &bot.config) {
                Ok(site) => site,
                Err(why) if given.is_none() => {
                    print(format_args!("{why}\n"))?;
                    continue;
                }
                Err(why) => return Err(Failure::Usage(why)),
            };
            let row = check::one(&bot.config, &bot.client, &site).await;
            let well = matches!(row.state, State::Up | State::Degraded);
            print(format_args!("{}", table::text(&[row], table::coloured())))?;
            if let (false, None, Some(terminal)) = (well, &given, &mut self.terminal) {
                let answer = terminal.ask("Keep it anyway? [y/N] ").await?;
                if !answer.to_lowercase().starts_with('y') {
                    continue;
                }
            }
            return Ok(Some(site));
        }
    }

    /// Writes the token's file and the configuration. A user's file isn't changed; prints what it
    /// lacks.
    fn write(
        &self,
        wanted: &Wanted,
        bot: &Bot,
        chat: i64,
        site: Option<&Site>,
    ) -> Result<(), Failure> {
        let service = found::service_user(self.path);
        if wanted.token {
            let path = &self.token_file.1;
            writing::token(path, &bot.token, service)?;
            print(format_args!("{} holds the token.\n", path.display()))?;
        }
        let old = match &self.found {
            Found::Replaceable { old, .. } => old,
            Found::Users(users) => return self.print_lacking(wanted, users, chat, site),
        };
        let text = self.text(Some(chat), site);
        let secret = found::has_secrets(&text, self.path);
        writing::configuration(self.path, &text, old.as_ref(), service, secret)?;
        print(format_args!("{} is written.\n", self.path.display()))
    }

    fn print_lacking(
        &self,
        wanted: &Wanted,
        users: &Users,
        chat: i64,
        site: Option<&Site>,
    ) -> Result<(), Failure> {
        let answers = match users.config.telegram {
            None => self.answers(Some(chat), site),
            Some(_) => Answers {
                token_file: Some(self.token_file.0.as_str()).filter(|_| !users.names_token),
                chat: wanted.chat.then_some(chat),
                site: self.answers(None, site).site,
                ..Answers::default()
            },
        };
        let lines = answers.telegram_lines();
        let path = self.path.display();
        if users.config.telegram.is_some() && !lines.is_empty() {
            print(format_args!(
                "{path} lacks, below its line [telegram]:\n\n{lines}\n"
            ))?;
            return match answers.site {
                None => Ok(()),
                Some(_) => print(format_args!(
                    "and at its end:\n\n{}\n",
                    answers.site_table()
                )),
            };
        }
        let header = if lines.is_empty() { "" } else { "[telegram]\n" };
        let table = answers.site_table();
        print(format_args!(
            "{path} lacks, at its end:\n\n{header}{lines}{table}\n"
        ))
    }
}

/// Parses an address as users write it, with or without a scheme.
fn site_of(address: &str, config: &Config) -> Result<Site, String> {
    let address = address.trim();
    if address.is_empty() {
        return Err("An address is needed; Ctrl-C ends, and nothing is written.".to_owned());
    }
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    };
    config::added_site(&url, None, config)
}

/// Returns the names of the options whose condition holds.
fn names(options: &[(bool, &str)]) -> String {
    let names = options.iter().filter(|(holds, _)| *holds);
    let names: Vec<&str> = names.map(|(_, name)| *name).collect();
    names.join(", ")
}
