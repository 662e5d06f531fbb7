//! DNS checks against servers on loopback that answer by a script.

mod answers;
mod hostile;

use super::*;
use crate::check::dns::ask;
use crate::monitor::site::outcome::Failure;
use crate::monitor::site::{DnsCheck, RecordKind};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SHORT: Duration = Duration::from_millis(300);
/// `192.0.2.1`, `192.0.2.2`.
const ONE: &[u8] = &[192, 0, 2, 1];
const TWO: &[u8] = &[192, 0, 2, 2];

/// A server that answers with the result of its script.
struct DnsServer {
    address: SocketAddr,
    /// Every datagram received.
    queries: Receiver<Vec<u8>>,
}

impl DnsServer {
    /// `script` returns the datagrams that answer a query. The server doesn't listen on TCP.
    fn new(script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> DnsServer {
        let socket = UdpSocket::bind((HERE, 0)).expect("a port");
        DnsServer::on(socket, script)
    }

    fn on(socket: UdpSocket, script: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> DnsServer {
        let address = socket.local_addr().expect("bound");
        let (seen, queries) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 600];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let query = &buffer[..length];
                let _ = seen.send(query.to_vec());
                for answer in script(query) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        DnsServer { address, queries }
    }

    /// Answers `NOERROR` with these records, each `(type, data)`, for the name in the query.
    fn with(records: &'static [(u16, &'static [u8])]) -> DnsServer {
        DnsServer::new(move |query| vec![reply(query, 0, records)])
    }

    /// Answers with this code and no records.
    fn refusing(code: u16) -> DnsServer {
        DnsServer::new(move |query| vec![reply(query, code, &[])])
    }

    /// Answers with a truncated message over UDP. Over TCP, runs `script` once the query has been
    /// read.
    fn over_tcp(script: impl Fn(TcpStream, &[u8]) + Send + 'static) -> DnsServer {
        let (listener, socket) = loop {
            let listener = TcpListener::bind((HERE, 0)).expect("a port");
            let address = listener.local_addr().expect("bound");
            if let Ok(socket) = UdpSocket::bind(address) {
                break (listener, socket);
            }
        };
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; u16::from_be_bytes(length).into()];
                    let _ = stream.read_exact(&mut query);
                    script(stream, &query);
                }
            }
        });
        DnsServer::on(socket, |query| vec![truncated(query)])
    }
}

/// Returns the end of the question section of `query`.
fn question_end(query: &[u8]) -> usize {
    let zero = query[12..].iter().position(|&byte| byte == 0);
    12 + zero.expect("a name") + 5
}

/// Returns an answer to `query` with these flags (0x200 = truncated, the last four bits are the
/// code).
fn reply(query: &[u8], flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = query[..question_end(query)].to_vec();
    message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    let count = u16::try_from(records.len()).expect("fits");
    message[6..8].copy_from_slice(&count.to_be_bytes());
    message[8..12].fill(0);
    for (kind, data) in records {
        message.extend_from_slice(b"\xc0\x0c");
        for part in [*kind, 1, 0, 60, data.len() as u16] {
            message.extend_from_slice(&part.to_be_bytes());
        }
        message.extend_from_slice(data);
    }
    message
}

fn truncated(query: &[u8]) -> Vec<u8> {
    reply(query, 0x200, &[])
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("fits");
    [&length.to_be_bytes(), message].concat()
}

fn dns_site(address: SocketAddr, change: impl FnOnce(&mut DnsCheck)) -> Site {
    let mut check = DnsCheck {
        server: Some((address.ip().to_string(), address.port())),
        name: "www.example.org".to_owned(),
        kind: RecordKind::A,
        expect: None,
        ip: IpVersion::Any,
    };
    change(&mut check);
    site_of(Check::Dns(check), Duration::from_secs(5))
}

/// Checks `server` once.
fn asked(server: &DnsServer, timeout: Duration, change: impl FnOnce(&mut DnsCheck)) -> Outcome {
    let mut site = dns_site(server.address, change);
    site.timeout = timeout;
    let client = client();
    let start = Instant::now();
    let outcome = block_on(run(&client, &site, false));
    assert!(start.elapsed() < timeout + Duration::from_secs(1));
    all_permits_back(&client);
    assert_eq!(outcome.address, Some(HERE));
    outcome
}

/// Returns the failure's kind and cause.
#[track_caller]
fn told(server: &DnsServer, change: impl FnOnce(&mut DnsCheck)) -> (FailureKind, String) {
    let outcome = asked(server, Duration::from_secs(5), change);
    let (kind, detail) = failure(&outcome);
    (kind, detail.to_owned())
}

fn of(kind: FailureKind, detail: &str) -> (FailureKind, String) {
    (kind, detail.to_owned())
}
