//! Explains why a server is unreachable by a route or a proxy, with a connection of its own, as libcurl's
//! error codes do not tell.

use super::{Client, TransferErrorKind, bare_host, handshake};
use crate::monitor::site::{IpVersion, Proxy};
use crate::timeout::at_most;
use async_io::Async;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use url::Url;

/// Time limit of an explanation.
pub(super) const EXPLAINED: Duration = Duration::from_secs(3);
/// How long to wait for the other address family once one has been resolved.
const BESIDE: Duration = Duration::from_millis(50);

impl Client {
    /// Explains the failure `what` of a request for `url`; `None` if nothing more can be found out.
    pub(super) async fn explain_route(
        &self,
        url: &Url,
        proxy: &Proxy,
        what: &TransferErrorKind,
    ) -> Option<String> {
        let https = url.scheme() == "https";
        if let Proxy::Server(server) = proxy {
            let server = Url::parse(server.expose()).ok()?;
            return match what {
                TransferErrorKind::Connect | TransferErrorKind::ConnectTimeout => {
                    let error = at_most(EXPLAINED, self.connect_to(&server)).await;
                    let why = error.map_or_else(
                        || "no answer".to_owned(),
                        |found| match found {
                            Ok(_) => "it answers too late".to_owned(),
                            Err(why) => why,
                        },
                    );
                    Some(format!("cannot connect to the proxy ({why})"))
                }
                // To libcurl a response to CONNECT other than 200 looks like a closed connection.
                TransferErrorKind::Empty | TransferErrorKind::Handshake if https => {
                    Some("the proxy makes no connection to the server".to_owned())
                }
                _ => None,
            };
        }
        if self.is_proxied(url, proxy) {
            return None;
        }
        match what {
            TransferErrorKind::Connect => {
                let why = at_most(EXPLAINED, self.connect_to(url)).await?.err()?;
                Some(format!("cannot connect to {} ({why})", url.host_str()?))
            }
            TransferErrorKind::ConnectTimeout | TransferErrorKind::AnswerTimeout if https => {
                let connected = at_most(EXPLAINED, self.connect_to(url)).await?.is_ok();
                let silent = connected && *what == TransferErrorKind::ConnectTimeout;
                silent.then(|| "no answer to the TLS hello".to_owned())
            }
            TransferErrorKind::Handshake
            | TransferErrorKind::Empty
            | TransferErrorKind::Certificate
                if https =>
            {
                at_most(EXPLAINED, self.greet(url)).await.flatten()
            }
            _ => None,
        }
    }

    /// No connection to this proxy can be established within `moment`; false if its address is unknown.
    pub async fn is_dead(&self, proxy: &Proxy, moment: Duration) -> bool {
        let Proxy::Server(server) = proxy else {
            return false;
        };
        match Url::parse(server.expose()) {
            Ok(url) => !matches!(at_most(moment, self.connect_to(&url)).await, Some(Ok(_))),
            Err(_) => false,
        }
    }

    async fn connect_to(&self, url: &Url) -> Result<SocketAddr, String> {
        self.dial(url).await.map(|(_, address)| address)
    }

    /// Connects to the server of `url`.
    pub(super) async fn dial(&self, url: &Url) -> Result<(Async<TcpStream>, SocketAddr), String> {
        let (host, port) = (
            bare_host(url).unwrap_or_default(),
            url.port_or_known_default(),
        );
        let mut lookup = self.lookup(&host, port.unwrap_or_default(), IpVersion::Any);
        let found = lookup.addresses(BESIDE).await.unwrap_or_default();
        let mut why = format!("{host} has no address");
        for address in found {
            match Async::<TcpStream>::connect(address).await {
                Ok(socket) => return Ok((socket, address)),
                Err(error) => why = reason(&error),
            }
        }
        Err(why)
    }

    /// Shakes hands.
    async fn greet(&self, url: &Url) -> Option<String> {
        let host = bare_host(url)?;
        let bundle = self.bundle(None).await.ok()?;
        let address = self.connect_to(url).await.ok()?;
        match handshake(address, &host, &bundle).await {
            Ok(peer) if peer.trust.is_err() => {
                Some(format!("the certificate is not that of {host}"))
            }
            Ok(_) => None,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    Some("connection reset after the TLS hello".to_owned())
                }
                ErrorKind::UnexpectedEof => {
                    Some("connection closed after the TLS hello".to_owned())
                }
                _ => None,
            },
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "no route to it".to_owned(),
        ErrorKind::TimedOut => "no answer".to_owned(),
        other => other.to_string(),
    }
}
