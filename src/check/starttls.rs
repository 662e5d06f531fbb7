//! The way to the point where TLS begins: at once, or after a word in the clear (SMTP: RFC 3207,
//! IMAP: RFC 9051 section 6.2.1, POP3: RFC 2595 section 4).

use super::connect::{Connection, Deadline, Failed, Target};
use super::talk::{broken, quoted};
use super::wire::mail::{SmtpLine, capabilities, is_starttls, starts, take_line};
use crate::http::Client;
use crate::monitor::outcome::{Failure, FailureKind};
use crate::monitor::site::{StartTls, TlsCheck};
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::{IpAddr, TcpStream};

/// Bytes of a line: eight times what SMTP allows (RFC 5321 section 4.5.3.1.5).
const LINE: usize = 4096;
/// Lines of one answer.
const LINES: usize = 100;

/// Connects to where `check` leads, and says in the clear what is to be said before TLS. The next
/// thing on the connection is the client's hello.
pub(super) async fn connect(
    client: &Client,
    check: &TlsCheck,
    deadline: Deadline,
) -> Result<Connection, Failed> {
    let target = Target {
        host: &check.host,
        port: check.port,
        ip: check.ip,
    };
    let connection = target.connect(client, deadline).await?;
    if let Some(protocol) = check.starttls {
        let mut dialogue = Dialogue::new(&connection.socket);
        let ended = deadline.bound(dialogue.begin(protocol)).await;
        let ended = ended.unwrap_or_else(|| {
            let detail = format!("no {} within {}", dialogue.awaited, deadline.within());
            Err(Failure::new(FailureKind::Timeout, detail))
        });
        ended.map_err(|failure| Failed::new(failure, connection.address.ip()))?;
    }
    Ok(connection)
}

/// Lines in the clear.
struct Dialogue<'a> {
    socket: &'a Async<TcpStream>,
    /// Received, and not yet looked at.
    received: Vec<u8>,
    /// What is waited for.
    awaited: &'static str,
}

impl Dialogue<'_> {
    fn new(socket: &Async<TcpStream>) -> Dialogue<'_> {
        Dialogue {
            socket,
            received: Vec::new(),
            awaited: "greeting",
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
        self.smtp_answer(220, &mut |_| {}).await?;
        let here = self.socket.get_ref().local_addr();
        let hello = match here.map(|here| here.ip()) {
            Ok(IpAddr::V6(here)) => format!("EHLO [IPv6:{here}]\r\n"),
            Ok(IpAddr::V4(here)) => format!("EHLO [{here}]\r\n"),
            Err(_) => "EHLO localhost\r\n".to_owned(),
        };
        self.say(&hello, "answer to EHLO").await?;
        let mut offered = false;
        self.smtp_answer(250, &mut |text| offered |= is_starttls(text.trim_ascii()))
            .await?;
        if !offered {
            return Err(not_offered());
        }
        self.say("STARTTLS\r\n", "answer to STARTTLS").await?;
        self.smtp_answer(220, &mut |_| {}).await
    }

    /// Reads the lines of one answer, which must have this code, and shows the text of each.
    async fn smtp_answer(
        &mut self,
        wanted: u16,
        text: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        for _ in 0..LINES {
            let line = self.line().await?;
            match SmtpLine::parse(&line) {
                Some(smtp) if smtp.code == wanted => {
                    text(smtp.text);
                    if smtp.last {
                        return Ok(());
                    }
                }
                _ => return Err(self.unwanted(&wanted.to_string(), &line)),
            }
        }
        Err(self.too_long())
    }

    async fn imap(&mut self) -> Result<(), Failure> {
        let greeting = self.line().await?;
        if !starts(&greeting, b"* OK") {
            return Err(self.unwanted("* OK", &greeting));
        }
        if capabilities(&greeting).is_some_and(|mut all| !all.any(is_starttls)) {
            return Err(not_offered());
        }
        // A server that doesn't know it says so.
        self.say("a001 STARTTLS\r\n", "answer to STARTTLS").await?;
        for _ in 0..LINES {
            let line = self.line().await?;
            // Untagged lines may come at any time.
            if !line.starts_with(b"* ") {
                return match starts(&line, b"a001 OK") {
                    true => Ok(()),
                    false => Err(self.unwanted("a001 OK", &line)),
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

    /// `awaited`: what is to come back.
    async fn say(&mut self, line: &str, awaited: &'static str) -> Result<(), Failure> {
        self.awaited = awaited;
        let said = self.socket.write_all(line.as_bytes()).await;
        said.map_err(|error| broken(&error))
    }

    /// The next line, without its end.
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

    /// Nothing may come before TLS does: it would be taken for what the server said under it
    /// (CVE-2011-0411). What comes a moment later is in the handshake's way, and fails it.
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

    fn unwanted(&self, wanted: &str, line: &[u8]) -> Failure {
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

fn protocol(detail: String) -> Failure {
    Failure::new(FailureKind::Protocol, detail)
}

fn not_offered() -> Failure {
    protocol("server does not offer STARTTLS".to_owned())
}
