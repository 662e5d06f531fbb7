//! `sitemon init`: the first set-up, by questions. Nothing is written before the last of them is answered.

mod found;
mod packaged;
mod qr_code;
mod terminal;
mod unreached;

use super::args::Init;
use super::config_file::Draft;
use super::pair::{self, Guess};
use super::say::deliver;
use super::{Failure, check, client, print, table};
use crate::agent;
use crate::chat::telegram::{ApiError, Me, Telegram};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::files;
use crate::http::Client;
use crate::monitor::alert::{self, Alert, Notification};
use crate::monitor::outbox::callback_data::{AlertButton, DAY, HOUR};
use crate::monitor::outbox::message::{Delivery, Message};
use crate::monitor::site::Site;
use crate::monitor::site::printable::{self, NAME};
use crate::monitor::site::state::State;
use crate::secret::Secret;
use crate::state;
use async_signal::{Signal, Signals};
use found::{Found, Users};
use futures_lite::{FutureExt, StreamExt};
use packaged::Answers;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use terminal::Terminal;

/// Bytes of a file with a token.
const LONGEST_TOKEN: u64 = 4096;
/// A request that failed sooner is made again at once: over IPv4 alone, where IPv6 is broken.
const SOON: Duration = Duration::from_secs(5);
/// Of base32 (RFC 4648), in lower case: the code is short in a link, and can be typed.
const CODE_LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

pub fn init(path: &Path, options: &Init) -> Result<(), Failure> {
    let ends = [Signal::Int, Signal::Term, Signal::Hup, Signal::Quit];
    let mut signals = Signals::new(ends)
        .map_err(|e| Failure::Usage(format!("signals cannot be waited for: {e}")))?;
    // What is dropped then gives the terminal back as it was, and takes half-written files away.
    let ended = async {
        signals.next().await;
        Err(Failure::Interrupted)
    };
    smol::block_on(ended.or(set_up(path, options)))
}

async fn set_up(path: &Path, options: &Init) -> Result<(), Failure> {
    let mut setup = Setup::new(path, options)?;
    let Some(wanted) = setup.wanted()? else {
        return print(format_args!(
            "{} has all it needs: a bot, chats and sites. `sitemon say hello` tries the way to them.\n",
            path.display()
        ));
    };
    // A running agent would take the code away from us, and we its commands.
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
        let text = format!(
            "{} is left as it is: add to it what it lacks",
            path.display()
        );
        return Err(Failure::Usage(text));
    }
    print(format_args!(
        "Now start it: {}\n",
        found::start_command(path)
    ))?;
    tested
}

/// What is still to be found out.
struct Wanted {
    token: bool,
    chat: bool,
    site: bool,
}

struct Setup<'a> {
    path: &'a Path,
    options: &'a Init,
    /// `--route`, each by itself.
    route: Vec<String>,
    found: Found,
    terminal: Option<Terminal>,
    /// The token's file as the value of its key, and as a path.
    token_file: (String, PathBuf),
}

/// A bot that answers.
struct Bot {
    config: Config,
    client: Client,
    telegram: Telegram,
    token: Secret,
    me: Me,
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

    /// `None`: the file lacks nothing.
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

    /// Says what is wrong with the options and the place to write to, before anything is asked.
    fn look_over(&self, wanted: &Wanted) -> Result<(), Failure> {
        let config = found::with_any_token(&self.text(None, None), self.path);
        let config = config.map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
        // The one about sites is of no interest yet.
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
        let draft = |path: &Path| {
            Draft::beside(path).map(drop).map_err(|e| {
                let root = match e.kind() {
                    io::ErrorKind::PermissionDenied => "; run it as root: sudo sitemon init",
                    _ => "",
                };
                Failure::Usage(format!(
                    "{} cannot be written: {}{root}",
                    path.display(),
                    state::reason(&e)
                ))
            })
        };
        if matches!(self.found, Found::Replaceable { .. }) {
            draft(self.path)?;
        }
        if wanted.token && self.token_file.1.parent().is_some_and(Path::is_dir) {
            draft(&self.token_file.1)?;
        }
        Ok(())
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

    /// The configuration with these answers; a user's, with a table `[telegram]` where it has none.
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

    /// The bot of the token that is given or typed.
    async fn bot(&mut self, wanted: &Wanted) -> Result<Bot, Failure> {
        let mut known = self.known_token(wanted)?;
        // Asked for only when there is a terminal and no option.
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

    /// The token that needs not be asked for.
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
        // A pipe will do.
        let read = File::open(path).and_then(|file| files::bounded(file, LONGEST_TOKEN));
        let shown = path.display();
        let bytes = read.map_err(|e| {
            Failure::Usage(format!(
                "--token-file {shown} cannot be read: {}",
                state::reason(&e)
            ))
        })?;
        let token = config::sound_token(&String::from_utf8_lossy(&bytes));
        token.map(Some).ok_or_else(|| {
            Failure::Usage(format!(
                "what --token-file {shown} holds is not a bot token; BotFather gives it in the form 123456:ABC-DEF"
            ))
        })
    }

    /// `Err`: Telegram cannot be asked, or does not know it; with the sentence for the user.
    async fn try_token(&self, token: Secret) -> Result<Result<Bot, (ApiError, String)>, Failure> {
        let config = match &self.found {
            Found::Users(users) if users.has_token => users.config.clone(),
            _ => found::with_token(&self.text(None, None), self.path, &token)
                .map_err(|mistakes| Failure::Usage(mistakes.to_string()))?,
        };
        let Some(settings) = &config.telegram else {
            return Err(Failure::Usage("there is no [telegram]".into()));
        };
        let client = client(&config)?;
        let telegram = agent::telegram(&client, &Clock::system(), settings);
        let began = Instant::now();
        let mut asked = telegram.get_me().await;
        if matches!(asked, Err(ApiError::Unreachable { .. })) && began.elapsed() < SOON {
            asked = telegram.get_me().await;
        }
        Ok(match asked {
            Ok(me) => Ok(Bot {
                config,
                client,
                telegram,
                token,
                me,
            }),
            Err(error) => {
                let why = unreached::explain(&error, &client, &config).await;
                Err((error, why))
            }
        })
    }

    /// The chat; a new one has been greeted.
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
            Ok(()) => Ok(chat),
            Err(reason) => Err(Failure::Telegram(format!(
                "chat {chat} cannot be written to: {reason}. Press Start in https://t.me/{} first, or add the bot to the \
                 group",
                bot.me.username
            ))),
        }
    }

    /// The first site, checked; `None` where there are some.
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

    /// Writes the token's file and the configuration; of a user's, which stays as it is, prints what it lacks.
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
            let written = write_token(path, &bot.token, service);
            written.map_err(|e| unwritten(path, &e))?;
            print(format_args!("{} holds the token.\n", path.display()))?;
        }
        let old = match &self.found {
            Found::Replaceable { old, .. } => old,
            Found::Users(users) => return self.print_lacking(wanted, users, chat, site),
        };
        let old = old.as_ref().map(|old| ((old.uid(), old.gid()), old.mode()));
        let (owner, mode) = owner_and_mode(old, service, has_secret(&self.route));
        let written = Draft::beside(self.path).and_then(|mut draft| {
            draft.fill(&self.text(Some(chat), site), owner, mode)?;
            draft.put()
        });
        written.map_err(|e| unwritten(self.path, &e))?;
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

/// Of a proxy the user, of a relay the path may be secret.
fn has_secret(route: &[String]) -> bool {
    let literal = route.iter().filter(|way| !way.contains('$'));
    { literal }.any(|way| way.contains('@') || way.starts_with("https:"))
}

/// Whose the configuration is to be, and its mode. `old`: that of the file before it. `service`: user and group that
/// have to read it.
fn owner_and_mode(
    old: Option<((u32, u32), u32)>,
    service: Option<(u32, u32)>,
    secret: bool,
) -> (Option<(u32, u32)>, u32) {
    let owner = old.map(|(owner, _)| owner);
    match service {
        _ if !secret => (owner, old.map_or(0o644, |(_, mode)| mode)),
        Some((_, group)) => (Some((owner.map_or(0, |(user, _)| user), group)), 0o640),
        None => (owner, 0o600),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!(
        "{} cannot be written: {}",
        path.display(),
        state::reason(error)
    ))
}

/// For its owner alone. One that has it already stays.
fn write_token(path: &Path, token: &Secret, owner: Option<(u32, u32)>) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let mut draft = Draft::beside(path)?;
    draft.fill(&format!("{}\n", token.expose()), owner, 0o600)?;
    draft.put()
}

/// The site at an address as people write it.
fn site_of(address: &str, config: &Config) -> Result<Site, String> {
    if address.is_empty() {
        return Err("An address is needed; Ctrl-C ends, and nothing is written.".to_owned());
    }
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    };
    config::added_site(&url, None, config)
}

/// Those of the options that it holds for.
fn names(options: &[(bool, &str)]) -> String {
    let names = options.iter().filter(|(holds, _)| *holds);
    let names: Vec<&str> = names.map(|(_, name)| *name).collect();
    names.join(", ")
}

impl Bot {
    /// Shows the link and waits until a user follows it: the chat.
    async fn wait_for_start(&self) -> Result<i64, Failure> {
        let refused = |e: ApiError| Failure::Telegram(e.to_string());
        // Whatever waits there was sent before there was a code.
        let offset = self.telegram.skip_pending().await.map_err(refused)?;
        let code = code()?;
        let link = format!("https://t.me/{}?start={code}", self.me.username);
        let picture = qr_code::for_terminal(&link).unwrap_or_default();
        print(format_args!(
            "Open this where your Telegram is, and press Start:\n\n    {link}\n\n{picture}Waiting for it …\n"
        ))?;
        let mut told = false;
        let mut ignored = |guess: &Guess| {
            if !matches!(guess, Guess::Ignored) && !std::mem::replace(&mut told, true) {
                let text = "A message without the right code came to the bot and is ignored: only the link counts.";
                let _ = print(format_args!("{text}\n"));
            }
        };
        let message = pair::wait(&self.telegram, offset, &code, &mut ignored).await?;
        // Confirmed, or the agent would take it for a command.
        self.telegram.confirm_pending().await;
        let name = printable::line(&message.name, NAME);
        let by = if name.is_empty() {
            name
        } else {
            format!(" ({name})")
        };
        print(format_args!("Chat {}{by} gets the alerts.\n", message.chat))?;
        Ok(message.chat)
    }

    /// An alert as one of the agent's, with its buttons, which the agent answers.
    async fn test_alert(&self, chat: i64, site: &str) -> Result<(), Failure> {
        // No incident has this number.
        const NONE: u32 = 0;
        let now = Clock::system().now();
        let alert = Alert {
            id: 0,
            notification: Notification::Down {
                cause: "only a test, this is what alerts look like".to_owned(),
                common: None,
                behind: 0,
            },
            site: site.to_owned(),
            incident: Some(NONE),
            at: now.moment(),
            chats: vec![chat],
            delivered: Vec::new(),
            edits: Vec::new(),
            stored: true,
        };
        let composed = alert::compose(&[&alert], now, &|_| false);
        let lines: Vec<String> = composed.lines.into_iter().map(|(line, _)| line).collect();
        let row = |buttons: [AlertButton; 2]| buttons.map(|b| b.button(&[NONE])).to_vec();
        let message = Message {
            chat,
            html: lines.join("\n"),
            buttons: vec![
                row([AlertButton::Check, AlertButton::Acknowledge]),
                row([AlertButton::Mute(HOUR), AlertButton::Mute(DAY)]),
            ],
            ..Message::default()
        };
        match self.telegram.send(&message, None).await {
            Delivery::Sent { .. } => print(format_args!("A test alert is in the chat.\n")),
            Delivery::Later { reason, .. } | Delivery::Refused { reason } => Err(
                Failure::Telegram(format!("the test alert could not be sent: {reason}")),
            ),
            Delivery::Migrated { to } => Err(Failure::Telegram(format!(
                "the group has become {to}: put that into `chats`"
            ))),
        }
    }
}

/// 128 random bits.
fn code() -> Result<String, Failure> {
    let mut bits = u128::from_le_bytes(pair::random()?);
    let mut code = String::with_capacity(26);
    for _ in 0..26 {
        code.push(char::from(CODE_LETTERS[(bits & 31) as usize]));
        bits >>= 5;
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_128_bits_and_differ() {
        let codes: Vec<String> = (0..20).map(|_| code().expect("urandom")).collect();
        for code in &codes {
            assert_eq!(code.len(), 26);
            // The start of a link may have letters, digits, `_` and `-`, 64 of them (core.telegram.org/bots/features).
            assert!(
                code.bytes().all(|byte| CODE_LETTERS.contains(&byte)),
                "{code}"
            );
            assert!(codes.iter().filter(|other| *other == code).count() == 1);
        }
    }

    #[test]
    fn a_configuration_with_a_secret_is_for_the_service_alone() {
        let old = Some(((5, 6), 0o100_644));
        let secret = |way: &str| has_secret(&["direct".to_owned(), way.to_owned()]);
        assert!(secret("socks5h://u:p@h:1") && secret("https://h/path"));
        assert!(!secret("socks5h://h:1") && !secret("https://h/$PATH_OF_RELAY"));
        assert_eq!(owner_and_mode(None, None, false), (None, 0o644));
        assert_eq!(
            owner_and_mode(old, Some((7, 8)), false),
            (Some((5, 6)), 0o100_644)
        );
        assert_eq!(
            owner_and_mode(old, Some((7, 8)), true),
            (Some((5, 8)), 0o640)
        );
        assert_eq!(
            owner_and_mode(None, Some((7, 8)), true),
            (Some((0, 8)), 0o640)
        );
        assert_eq!(owner_and_mode(None, None, true), (None, 0o600));
    }
}
