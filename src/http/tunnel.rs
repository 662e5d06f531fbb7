//! Connects through a proxy where libcurl's connections are of no use: HTTP's CONNECT (RFC 9110, section
//! 9.3.6), and SOCKS 5 (RFC 1928) with user and password (RFC 1929).

use super::Client;
use crate::monitor::site::IpVersion;
use crate::monitor::site::secret_url::SecretUrl;
use crate::pem::base64;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use percent_encoding::percent_decode_str;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::time::Duration;
use url::Url;

/// Maximum bytes of the head of a response to CONNECT.
const HEAD: usize = 16 * 1024;
/// How long to wait for the other address family once one has been resolved.
const BESIDE: Duration = Duration::from_millis(50);

impl Client {
    /// Connects to `host`, a name or an address without brackets, through `proxy`. Has no timeout.
    ///
    /// # Errors
    ///
    /// A sentence without a full stop and without secrets.
    pub async fn tunnel(
        &self,
        proxy: &SecretUrl,
        host: &str,
        port: u16,
    ) -> Result<Async<TcpStream>, String> {
        let url = Url::parse(proxy.expose()).map_err(|_| "the proxy's address is no URL")?;
        let (mut socket, _) = self.dial(&url).await?;
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        let literal = host.parse::<IpAddr>().ok();
        let made = match url.scheme() {
            "http" => connect(&mut socket, &user, &password, host, port).await,
            "socks5" if literal.is_none() => {
                let mut lookup = self.lookup(host, port, IpVersion::Any);
                let found = lookup.addresses(BESIDE).await.unwrap_or_default();
                let first = found
                    .first()
                    .ok_or_else(|| format!("cannot resolve {host}"))?;
                let (host, literal) = (first.ip().to_string(), Some(first.ip()));
                socks(&mut socket, &user, &password, (&host, literal), port).await
            }
            _ => socks(&mut socket, &user, &password, (host, literal), port).await,
        };
        match made {
            Ok(true) => Ok(socket),
            Ok(false) => Err("the proxy makes no connection to the server".to_owned()),
            Err(error) => Err(format!("the proxy breaks off ({})", error.kind())),
        }
    }
}

/// Asks an HTTP proxy to connect.
async fn connect(
    socket: &mut Async<TcpStream>,
    user: &[u8],
    password: &[u8],
    host: &str,
    port: u16,
) -> io::Result<bool> {
    let host = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
    if !user.is_empty() {
        let mut credentials = base64(&[user, b":", password].concat());
        while !credentials.len().is_multiple_of(4) {
            credentials.push('=');
        }
        request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head is the server's.
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD {
        socket.read_exact(&mut byte).await?;
        head.push(byte[0]);
    }
    let status = head
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(1..3));
    Ok(status == Some(b" 2"))
}

/// Asks a SOCKS proxy to connect: to the address if it is known, else to the name.
async fn socks(
    socket: &mut Async<TcpStream>,
    user: &[u8],
    password: &[u8],
    (host, literal): (&str, Option<IpAddr>),
    port: u16,
) -> io::Result<bool> {
    const VERSION: u8 = 5;
    const PASSWORD: u8 = 2;
    let bytes = |text: &[u8]| [&[u8::try_from(text.len()).unwrap_or(u8::MAX)], text].concat();
    let fits = |text: &[u8]| text.len() <= usize::from(u8::MAX);
    if !fits(user) || !fits(password) || !fits(host.as_bytes()) {
        return Ok(false);
    }
    let method = if user.is_empty() { 0 } else { PASSWORD };
    socket.write_all(&[VERSION, 1, method]).await?;
    let mut answer = [0; 2];
    socket.read_exact(&mut answer).await?;
    if answer != [VERSION, method] {
        return Ok(false);
    }
    if method == PASSWORD {
        let request = [&[1][..], &bytes(user), &bytes(password)].concat();
        socket.write_all(&request).await?;
        socket.read_exact(&mut answer).await?;
        if answer[1] != 0 {
            return Ok(false);
        }
    }
    // CONNECT, then the address type and the address.
    let mut request = vec![VERSION, 1, 0];
    match literal {
        Some(IpAddr::V4(v4)) => {
            request.push(1);
            request.extend(v4.octets());
        }
        Some(IpAddr::V6(v6)) => {
            request.push(4);
            request.extend(v6.octets());
        }
        None => {
            request.push(3);
            request.extend(bytes(host.as_bytes()));
        }
    }
    request.extend(port.to_be_bytes());
    socket.write_all(&request).await?;
    let mut head = [0; 4];
    socket.read_exact(&mut head).await?;
    if head[1] != 0 {
        return Ok(false);
    }
    // The proxy's outgoing address.
    let length = match head[3] {
        1 => 4,
        4 => 16,
        _ => {
            let mut length = [0];
            socket.read_exact(&mut length).await?;
            usize::from(length[0])
        }
    };
    let mut rest = vec![0; length + 2];
    socket.read_exact(&mut rest).await?;
    Ok(true)
}
