//! Every kind in one round: good servers, each cause of failure, and hostile servers, with the
//! exact causes that are reported. `bench/verdicts` has those of another prober for the same.

use crate::support::agent::Sitemon;
use crate::support::json::Json;
use crate::support::listener::Listener;
use crate::support::tls::{Certificate, DAY, TestCa, yesterday};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

/// The expected result of one site.
struct Case {
    url: String,
    keys: String,
    state: &'static str,
    /// Empty when the site is up.
    cause: String,
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn up(&mut self, url: impl Into<String>, keys: &str) {
        self.add(url, keys, "up", "");
    }

    fn down(&mut self, url: impl Into<String>, keys: &str, cause: &str) {
        self.add(url, keys, "down", cause);
    }

    fn add(&mut self, url: impl Into<String>, keys: &str, state: &'static str, cause: &str) {
        self.0.push(Case {
            url: url.into(),
            keys: keys.to_owned(),
            state,
            cause: cause.to_owned(),
        });
    }
}

/// Runs `script` for every connection, each on its own thread.
fn tcp(script: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let script = Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            thread::spawn(move || script(stream));
        }
    });
    address
}

/// Sends `text`, then only reads.
fn saying(text: impl Into<Vec<u8>>) -> SocketAddr {
    let text = text.into();
    tcp(move |mut stream| {
        let _ = stream.write_all(&text);
        wait(stream);
    })
}

fn wait(mut stream: impl Read) {
    while stream.read(&mut [0; 512]).is_ok_and(|n| n > 0) {}
}

/// Sends `head`, then `chunk` again and again with a pause between.
fn endless(head: &'static str, chunk: Vec<u8>, pause: u64) -> SocketAddr {
    tcp(move |mut stream| {
        if !head.is_empty() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(head.as_bytes());
        }
        while stream.write_all(&chunk).is_ok() {
            thread::sleep(Duration::from_millis(pause));
        }
    })
}

/// A port that no longer has a listener, and that no other socket takes meanwhile.
fn refusing() -> SocketAddr {
    Listener::start(|_, _| {}).address()
}

fn tls(config: Arc<ServerConfig>, text: &'static [u8]) -> SocketAddr {
    tcp(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        let _ = stream.write_all(text);
        let _ = stream.flush();
        wait(stream);
    })
}

/// Sends the server's hello, and then bytes that are not TLS.
fn garbage_after_hello(config: Arc<ServerConfig>) -> SocketAddr {
    tcp(move |mut stream| {
        let mut tls = ServerConnection::new(config.clone()).expect("a connection");
        while !tls.wants_write() && tls.read_tls(&mut stream).is_ok() {
            let _ = tls.process_new_packets();
        }
        let mut flight = Vec::new();
        while tls.wants_write() && tls.write_tls(&mut flight).is_ok() {}
        // A type, a version and a length come before the hello.
        let hello = 5 + usize::from(u16::from_be_bytes([flight[3], flight[4]]));
        let _ = stream.write_all(&flight[..hello]);
        let _ = stream.write_all(&[b'x'; 4096]);
        wait(stream);
    })
}

/// Returns the configuration of a leaf behind this many authorities, and the root's PEM.
fn chain_of(authorities: usize) -> (Arc<ServerConfig>, String) {
    let authority = |name: String| {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().expect("a key"))
    };
    let (params, key) = authority("root".to_owned());
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let mut issuer = Issuer::new(params, key);
    let mut chain = Vec::new();
    for n in 0..authorities {
        let (params, key) = authority(format!("authority {n}"));
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        chain.insert(0, certificate.der().clone());
        issuer = Issuer::new(params, key);
    }
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    chain.insert(0, leaf.der().clone());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a key that fits");
    (Arc::new(config), pem)
}

/// Sends `greeting`, answers each line, and continues with TLS.
fn mail(
    greeting: &'static str,
    answers: &'static [&'static str],
    config: Arc<ServerConfig>,
) -> SocketAddr {
    tcp(move |mut stream| {
        let _ = stream.write_all(greeting.as_bytes());
        for answer in answers {
            let mut byte = [0];
            while stream.read(&mut byte).is_ok_and(|n| n > 0) && byte != *b"\n" {}
            let _ = stream.write_all(answer.as_bytes());
        }
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        wait(StreamOwned::new(tls, stream));
    })
}

/// Returns an answer to `query` with these flags and addresses.
fn reply(query: &[u8], flags: u16, addresses: &[[u8; 4]]) -> Vec<u8> {
    let zero = query[12..].iter().position(|&byte| byte == 0);
    let mut message = query[..12 + zero.expect("a name") + 5].to_vec();
    message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    message[6..12].copy_from_slice(&[0, addresses.len() as u8, 0, 0, 0, 0]);
    for address in addresses {
        message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
        message.extend_from_slice(address);
    }
    message
}

const ONE: [u8; 4] = [192, 0, 2, 1];

/// Answers every query over UDP with the result of `script`; over TCP with [`ONE`].
fn dns(script: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let (socket, listener) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        if let Ok(socket) = UdpSocket::bind(address) {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().expect("bound");
    thread::spawn(move || {
        let mut buffer = [0; 600];
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            let answer = script(&buffer[..size]);
            if !answer.is_empty() {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut query = [0; 600];
            let size = stream.read(&mut query).unwrap_or(0);
            if size > 2 {
                let message = reply(&query[2..size], 0, &[ONE]);
                let framed = [&(message.len() as u16).to_be_bytes(), message.as_slice()].concat();
                let _ = stream.write_all(&framed);
            }
        }
    });
    format!("dns://{address}/www.example.org?type=A")
}

fn streams(cases: &mut Cases) {
    let at = |address: SocketAddr| format!("tcp://{address}");
    let wanted = "expect = \"220 \"";
    cases.up(at(saying("")), "");
    cases.up(at(saying("220 mail.example ESMTP\r\n")), wanted);
    let free = refusing();
    cases.down(at(free), "", &format!("connection refused by {free}"));
    cases.down(
        at(saying("554 no service\r\n")),
        wanted,
        "expected \"220 \" but got \"554 no service\"",
    );
    cases.down(at(saying("")), wanted, "\"220 \" did not come within 2s");
    cases.down(
        at(tcp(drop)),
        wanted,
        "connection closed before \"220 \" came",
    );
    let slow = format!("expected \"220 \" but got \"{}…\"", ".".repeat(60));
    cases.down(at(endless("", b"..".to_vec(), 10)), wanted, &slow);
    // A gigabyte, if it were read to the end.
    cases.down(
        at(endless("", vec![b'.'; 1 << 20], 0)),
        wanted,
        "\"220 \" is not in the first 4096 bytes",
    );
}

fn sessions(cases: &mut Cases, ca: &TestCa, long: &str, hundred: Arc<ServerConfig>) {
    let at = |address: SocketAddr| format!("tls://{address}");
    let good = ca.good_for_days(40).server_config();
    cases.up(at(tls(good.clone(), b"")), "");
    cases.up(at(tls(good.clone(), b"220 hi\r\n")), "expect = \"220 \"");
    let from = yesterday() - 30 * DAY;
    let names = &["127.0.0.1"];
    let expired = ca.issue(names, from, SystemTime::now() - 3 * DAY - DAY / 2);
    cases.down(
        at(tls(expired.server_config(), b"")),
        "",
        "certificate expired 3 days ago",
    );
    cases.up(
        at(tls(expired.server_config(), b"")),
        "verify = false\ncert = \"0s\"",
    );
    let other = ca.issue(&["other.example"], from, SystemTime::now() + DAY);
    cases.down(
        at(tls(other.server_config(), b"")),
        "",
        "certificate is for other.example, not for 127.0.0.1",
    );
    let own = Certificate::self_signed(names);
    cases.down(
        at(tls(own.server_config(), b"")),
        "",
        "self-signed certificate",
    );
    let (stranger, _) = chain_of(1);
    cases.down(
        at(tls(stranger, b"")),
        "",
        "certificate not trusted (unknown issuer)",
    );
    cases.down(
        at(tls(hundred, b"")),
        long,
        "certificate not trusted (its chain is too long)",
    );
    cases.down(at(saying("220 mail.example\r\n")), "", "not a TLS server");
    let hangs = "no end of the TLS handshake within 2s";
    cases.down(at(saying("")), "", hangs);
    cases.down(format!("https://{}/", saying("")), "", hangs);
    cases.down(
        at(garbage_after_hello(good.clone())),
        "",
        "TLS handshake failed: server broke the protocol",
    );
    let offers: &[&str] = &["250-hi\r\n250 STARTTLS\r\n", "220 go\r\n"];
    let smtp = |address: SocketAddr| format!("tls://{address}?starttls=smtp");
    cases.up(smtp(mail("220 hi\r\n", offers, good.clone())), "");
    cases.down(
        smtp(mail("220 hi\r\n", &["250 HELP\r\n"], good.clone())),
        "",
        "server does not offer STARTTLS",
    );
    cases.down(smtp(saying("")), "", "no greeting within 2s");
    let pop3 = mail("+OK hi\r\n", &["+OK go\r\n+OK injected\r\n"], good);
    cases.down(format!("tls://{pop3}?starttls=pop3"), "", "data before TLS");
}

fn names(cases: &mut Cases) {
    let wanted = "expect = \"192.0.2.1\"";
    cases.up(dns(|query| reply(query, 0, &[[192, 0, 2, 2], ONE])), wanted);
    cases.up(dns(|query| reply(query, 0x200, &[])), wanted);
    cases.down(
        dns(|query| reply(query, 0, &[[192, 0, 2, 2]])),
        wanted,
        "expected A 192.0.2.1 but got 192.0.2.2",
    );
    for (code, cause) in [
        (3, "NXDOMAIN: no such name as www.example.org"),
        (2, "SERVFAIL from 127.0.0.1"),
        (5, "REFUSED from 127.0.0.1"),
        (0, "no A record for www.example.org"),
    ] {
        cases.down(dns(move |query| reply(query, code, &[])), "", cause);
    }
    cases.down(
        dns(|_| Vec::new()),
        "",
        "no answer from 127.0.0.1 within 2s",
    );
    let other_id = |query: &[u8]| {
        let mut message = reply(query, 0, &[ONE]);
        message[0] ^= 1;
        message
    };
    cases.down(
        dns(other_id),
        "",
        "no fitting answer from 127.0.0.1 within 2s",
    );
    let loops = |query: &[u8]| {
        let mut message = reply(query, 0, &[ONE]);
        // The compressed name of the record points at itself.
        let begin = message.len() - 16;
        message[begin..begin + 2].copy_from_slice(&(0xc000 | begin as u16).to_be_bytes());
        message
    };
    cases.down(dns(loops), "", "malformed answer");
    let free = refusing();
    let refused = format!("connection refused by {free}");
    cases.down(format!("dns://{free}/www.example.org"), "", &refused);
}

fn pages(cases: &mut Cases) {
    let at = |address: SocketAddr| format!("http://{address}/");
    let body = r#"{"queue":[1,2],"state":"ok","load":"high"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let json = |expression: &str| format!("json = [\"{expression}\"]");
    let page = at(tcp(move |mut stream| {
        while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
            let _ = stream.write_all(answer.as_bytes());
        }
    }));
    cases.up(&page, &json("queue.# < 3"));
    cases.up(&page, &json("load exists"));
    cases.down(
        &page,
        &json("queue.0 > 1"),
        "json: queue.0 is 1, wanted > 1",
    );
    cases.down(&page, &json("nothing exists"), "json: nothing is missing");
    cases.down(
        &page,
        &json("load < 5"),
        "json: load is \"high\", wanted < 5",
    );
    cases.down(at(saying("")), "", "no answer within 2s");
    cases.down(
        at(endless("HTTP/1.1 200 OK\r\n", b"X-A: b\r\n".repeat(512), 0)),
        "",
        "answer's headers are too large",
    );
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    cases.up(at(endless(head, vec![b'.'; 1 << 16], 0)), "");
    cases.down(
        at(endless(head, b".".to_vec(), 20)),
        "",
        "no end of the answer within 2s",
    );
}

#[test]
fn every_kind_tells_every_cause_in_one_round() {
    let ca = TestCa::new();
    let sitemon = Sitemon::new("");
    let pem = ca.write_pem(sitemon.dir()).display().to_string();
    let (hundred, root) = chain_of(100);
    let root_path = sitemon.dir().join("root.pem");
    std::fs::write(&root_path, root).expect("written");
    let long = format!("ca_file = \"{}\"", root_path.display());
    let mut cases = Cases::default();
    streams(&mut cases);
    sessions(&mut cases, &ca, &long, hundred);
    names(&mut cases);
    pages(&mut cases);
    let mut config = format!(
        "[agent]\nstate = \"state\"\nmax_connections = 15\nca_file = \"{pem}\"\n\
         [defaults]\ntimeout = \"2s\"\n"
    );
    for (n, case) in cases.0.iter().enumerate() {
        let (url, keys) = (&case.url, &case.keys);
        config.push_str(&format!(
            "[[site]]\nname = \"s{n}\"\nurl = \"{url}\"\n{keys}\n"
        ));
    }
    sitemon.rewrite(&config);
    let out = sitemon.command(&["check", "--json"]);
    assert_eq!(out.code, Some(1), "{}", out.stderr);
    let json = Json::parse(&out.stdout).expect("one JSON object");
    let sites = json.get("sites").and_then(Json::array).expect("sites");
    assert_eq!(sites.len(), cases.0.len());
    for (site, case) in sites.iter().zip(&cases.0) {
        let text = |key: &str| site.get(key).and_then(Json::str).unwrap_or_default();
        let (told, wanted) = ((text("state"), text("cause")), (case.state, &*case.cause));
        assert_eq!(told, wanted, "{} {}", case.url, case.keys);
    }
}
