//! Connects up to the start of TLS: at once, or after STARTTLS (SMTP: RFC 3207, IMAP: RFC 9051 section
//! 6.2.1, POP3: RFC 2595 section 4).

use super::connect::{CheckFailure, Connection, Target};
use super::deadline::Deadline;
use super::dialogue::{broken, quoted};
use super::wire::mail::{SmtpLine, capabilities, is_starttls, starts, take_line};
use crate::http::Client;
use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::monitor::site::{StartTls, TlsCheck};
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, TcpStream};

/// Maximum bytes of a line: eight times what SMTP allows (RFC 5321 section 4.5.3.1.5).
const LINE: usize = 4096;
/// Maximum lines of a reply.
const LINES: usize = 100;

/// Connects to the server of `check` and negotiates STARTTLS. The ClientHello is next on the connection.
pub(super) async fn connect(
    client: &Client,
    check: &TlsCheck,
    deadline: Deadline,
) -> Result<Connection, CheckFailure> {
    let target = Target {
        host: &check.host,
        port: check.port,
        ip: check.ip,
    };
    let connection = target.connect(client, deadline).await?;
    if let Some(protocol) = check.starttls {
        let mut dialogue = Dialogue::new(&connection.socket);
        let ended = deadline.bound(dialogue.begin(protocol)).await;
        let late = |awaited| Err(deadline.missed(&format!("no {awaited}")));
        let ended = ended.unwrap_or_else(|| late(dialogue.awaited));
        // A server that refused a greeting, and then is silent or closes, has given the cause.
        let mut why = |failure| dialogue.refusal.take().unwrap_or(failure);
        ended.map_err(|failure| CheckFailure::new(why(failure), connection.address.ip()))?;
    }
    Ok(connection)
}

/// The dialogue before TLS.
struct Dialogue<'a> {
    socket: &'a Async<TcpStream>,
    /// Received and not yet parsed.
    received: Vec<u8>,
    /// Name of the expected reply, for causes.
    awaited: &'static str,
    /// The first refused greeting, until one is accepted.
    refusal: Option<Failure>,
    /// Number of IMAP commands so far.
    tags: u32,
}

impl Dialogue<'_> {
    fn new(socket: &Async<TcpStream>) -> Dialogue<'_> {
        Dialogue {
            socket,
            received: Vec::new(),
            awaited: "greeting",
            refusal: None,
            tags: 0,
        }
    }

    async fn begin(&mut self, protocol: StartTls) -> Result<(), Failure> {
        match protocol {
            StartTls::Smtp => self.smtp().await?,
            StartTls::Imap => self.imap().await?,
            StartTls::Pop3 => self.pop3().await?,
        }
        self.nothing_more()
    }

    async fn smtp(&mut self) -> Result<(), Failure> {
        self.smtp_answer(220).await?;
        self.hello().await?;
        self.say("STARTTLS\r\n", "answer to STARTTLS").await?;
        self.smtp_answer(220).await
    }

    /// Greets the server, in up to three ways if it refuses (RFC 5321 section 4.1.4): EHLO with the address,
    /// EHLO with the name, HELO. After HELO the extensions are unknown, and STARTTLS is just tried.
    async fn hello(&mut self) -> Result<(), Failure> {
        let here = self.socket.get_ref().local_addr();
        let literal = match here.map(|here| here.ip()) {
            Ok(IpAddr::V6(here)) => format!("[IPv6:{here}]"),
            Ok(IpAddr::V4(here)) => format!("[{here}]"),
            Err(_) => "localhost".to_owned(),
        };
        let name = own_name();
        for (word, awaited, own_name) in [
            ("EHLO", "answer to EHLO", &literal),
            ("EHLO", "answer to EHLO", &name),
            ("HELO", "answer to HELO", &name),
        ] {
            let mut offered = word == "HELO";
            let mut look = |text: &[u8]| offered |= is_starttls(text.trim_ascii());
            self.say(&format!("{word} {own_name}\r\n"), awaited).await?;
            let (code, line) = self.smtp_reply(250, &mut look).await?;
            if code == 250 {
                self.refusal = None;
                return offered.then_some(()).ok_or_else(not_offered);
            }
            let failure = self.unwanted(250, &line);
            if code < 500 {
                // A transient refusal (4xx).
                return Err(failure);
            }
            self.refusal.get_or_insert(failure);
        }
        Err(not_offered())
    }

    async fn smtp_answer(&mut self, wanted: u16) -> Result<(), Failure> {
        match self.smtp_reply(wanted, &mut |_| {}).await? {
            (code, _) if code == wanted => Ok(()),
            (_, line) => Err(self.unwanted(wanted, &line)),
        }
    }

    /// Reads the lines of one reply and passes the text of each on. Returns the code, which should be
    /// `wanted`, and the first line.
    async fn smtp_reply(
        &mut self,
        wanted: u16,
        text: &mut dyn FnMut(&[u8]),
    ) -> Result<(u16, Vec<u8>), Failure> {
        let mut first = None;
        for _ in 0..LINES {
            let line = self.line().await?;
            let Some(smtp) = SmtpLine::parse(&line) else {
                return Err(self.unwanted(wanted, &line));
            };
            let (code, last) = (smtp.code, smtp.last);
            text(smtp.text);
            let first = first.get_or_insert((code, line));
            if last {
                return Ok(first.clone());
            }
        }
        Err(self.too_long())
    }

    async fn imap(&mut self) -> Result<(), Failure> {
        let greeting = self.line().await?;
        if !starts(&greeting, b"* OK") {
            return Err(self.unwanted("* OK", &greeting));
        }
        let has_starttls = |line: &[u8]| capabilities(line).map(|mut all| all.any(is_starttls));
        if has_starttls(&greeting) == Some(false) {
            // The greeting need not list all capabilities (RFC 9051 section 7.1).
            let mut offered = false;
            self.imap_command("CAPABILITY", "answer to CAPABILITY", &mut |line| {
                offered |= has_starttls(line) == Some(true);
            })
            .await?;
            if !offered {
                return Err(not_offered());
            }
        }
        // A server without STARTTLS refuses the command.
        self.imap_command("STARTTLS", "answer to STARTTLS", &mut |_| {})
            .await
    }

    /// Sends a command and passes on each line of the response, which must be OK.
    async fn imap_command(
        &mut self,
        command: &str,
        awaited: &'static str,
        text: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        self.tags += 1;
        let tag = format!("a{:03}", self.tags);
        self.say(&format!("{tag} {command}\r\n"), awaited).await?;
        let good = format!("{tag} OK");
        for _ in 0..LINES {
            let line = self.line().await?;
            text(&line);
            // Untagged lines may come at any time.
            if !line.starts_with(b"* ") {
                return match starts(&line, good.as_bytes()) {
                    true => Ok(()),
                    false => Err(self.unwanted(&good, &line)),
                };
            }
        }
        Err(self.too_long())
    }

    async fn pop3(&mut self) -> Result<(), Failure> {
        self.pop3_answer().await?;
        self.say("STLS\r\n", "answer to STLS").await?;
        self.pop3_answer().await
    }

    async fn pop3_answer(&mut self) -> Result<(), Failure> {
        let line = self.line().await?;
        match starts(&line, b"+OK") {
            true => Ok(()),
            false => Err(self.unwanted("+OK", &line)),
        }
    }

    /// `awaited`: the expected reply, for causes.
    async fn say(&mut self, line: &str, awaited: &'static str) -> Result<(), Failure> {
        self.awaited = awaited;
        let said = self.socket.write_all(line.as_bytes()).await;
        said.map_err(|error| broken(&error))
    }

    /// Reads the next line, without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut chunk = [0; 1024];
        loop {
            if let Some(line) = take_line(&mut self.received) {
                return Ok(line);
            }
            if self.received.len() > LINE {
                return Err(self.too_long());
            }
            match self.socket.read(&mut chunk).await {
                Ok(0) => {
                    let detail = format!("connection closed before the {}", self.awaited);
                    return Err(protocol(detail));
                }
                Ok(got) => self.received.extend_from_slice(&chunk[..got]),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// Fails if data came before TLS: they would be taken for data under TLS (CVE-2011-0411). Data that come
    /// later break the handshake.
    fn nothing_more(&self) -> Result<(), Failure> {
        let waiting = match self.socket.get_ref().peek(&mut [0]) {
            Ok(waiting) => waiting > 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => return Err(broken(&error)),
        };
        match self.received.is_empty() && !waiting {
            true => Ok(()),
            false => Err(protocol("data before TLS".to_owned())),
        }
    }

    fn unwanted(&self, wanted: impl Display, line: &[u8]) -> Failure {
        protocol(format!(
            "{}: expected \"{wanted}\" but got {}",
            self.awaited,
            quoted(line)
        ))
    }

    fn too_long(&self) -> Failure {
        protocol(format!("{} is too long", self.awaited))
    }
}

/// This machine's name if it is fully qualified, for servers that refuse address literals.
fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim_ascii().to_owned();
    let is_name = |name: &String| {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        name.contains('.') && name.chars().all(usual) && name.len() <= 255
    };
    Some(name)
        .filter(is_name)
        .unwrap_or_else(|| "localhost.localdomain".to_owned())
}

fn protocol(detail: String) -> Failure {
    Failure::new(FailureKind::Protocol, detail)
}

fn not_offered() -> Failure {
    protocol("server does not offer STARTTLS".to_owned())
}
