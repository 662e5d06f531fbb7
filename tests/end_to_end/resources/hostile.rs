//! The cost of hostile servers: a failed check each, and 4 MiB for all of them together.

use super::common::{site_table, wait_for};
use crate::support::agent::Sitemon;
use crate::support::h2::{END_HEADERS, GOAWAY, H2, HEADERS, OK, PADDED, frame};
use crate::support::web::{Behaviour, Web};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Memory above that of the agent at rest, in KiB.
const ALLOWED_KIB: u64 = 4 * 1024;
const ROUNDS: usize = 4;

#[test]
fn ten_hostile_servers_at_once_take_no_more_than_4_mib() {
    let web = Web::new();
    let padding = [&[255, b'z'][..], &[0; 255]].concat();
    let padded = h2(move |h2| {
        h2.send(HEADERS, END_HEADERS, h2.id, OK)?;
        loop {
            h2.data(PADDED, &padding)?;
        }
    });
    let goaway = [&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], &[b'z'; 16_000]].concat();
    let goaway = frame(GOAWAY, 0, 0, &goaway);
    let leaving = h2(move |h2| {
        loop {
            h2.write(&goaway)?;
        }
    });
    let ahead = h2(|h2| {
        h2.send(HEADERS, END_HEADERS, h2.id, OK)?;
        loop {
            h2.data(0, &[b'z'; 16_000])?;
        }
    });

    let (looks, keeps) = ("body = \"never\"", "json = [\"a == b\"]");
    let http = [
        ("stacked", looks),
        ("bomb", looks),
        ("empty-blocks", looks),
        ("extensions", ""),
        ("large", keeps),
        ("headers", ""),
        ("many-headers", ""),
        ("dripping", keeps),
    ];
    let mut config = String::from(
        "[agent]\nstate = \"state\"\nuplink = []\n[defaults]\ninterval = \"1s\"\ntimeout = \"2s\"\n",
    );
    for (name, keys) in http {
        config += &site_table(name, &web.url(&format!("/{name}")), keys);
    }
    let agent = Sitemon::new(&config);
    let mut running = agent.run();
    web.wait_requests(3 * http.len());
    let rest = running.peak_kib();

    // The HTTP/2 servers are added with the attack, since they have no harmless mode for the
    // measurement at rest.
    for (name, server) in [
        ("padded", &padded),
        ("leaving", &leaving),
        ("ahead", &ahead),
    ] {
        let keys = if name == "ahead" { keeps } else { "" };
        let url = format!("http://{}/", server.address);
        config += &site_table(name, &url, &format!("http = \"2\"\n{keys}"));
    }
    let packed = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let stacked = pack(&pack(&pack(&vec![0; 100 << 20])));
    let lines = (0..4900).map(|i| format!("Set-Cookie: c{i}={}\r\n", "v".repeat(40)));
    let kept = format!("{{\"a\":\"{}", "x".repeat(1_000_000));
    for (path, behaviour) in [
        (
            "/stacked",
            Behaviour::Answer {
                status: 200,
                headers: vec![("Content-Encoding".into(), "gzip, gzip, gzip".into())],
                body: stacked,
            },
        ),
        ("/bomb", Behaviour::GzipBomb(100 << 20)),
        (
            "/empty-blocks",
            Behaviour::Flood(
                [packed.as_bytes(), &pack(b"")[..10]].concat(),
                [0, 0, 0, 0xff, 0xff].repeat(10_000),
            ),
        ),
        (
            "/extensions",
            Behaviour::Flood(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                [b"1;", &[b'x'; 60_000][..], b"\r\nz\r\n"].concat(),
            ),
        ),
        ("/large", Behaviour::Big(10_000_000_000)),
        ("/headers", Behaviour::ManyHeaders(1_000_000)),
        (
            "/many-headers",
            Behaviour::Garbage(
                format!("HTTP/1.1 200 OK\r\n{}\r\n", lines.collect::<String>()).into_bytes(),
            ),
        ),
        (
            "/dripping",
            Behaviour::Flood(
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1040000\r\n\r\n{kept}").into_bytes(),
                Vec::new(),
            ),
        ),
    ] {
        web.set(path, behaviour);
    }
    agent.rewrite(&config);
    running.hup();
    let seen = || [&padded, &leaving, &ahead].map(|s| s.requests.load(Ordering::SeqCst));
    let limit = Duration::from_secs(120);
    wait_for(limit, "requests", seen, |all| {
        all.iter().all(|n| *n >= ROUNDS)
    });
    let before = web.requests();
    web.wait_requests(before + ROUNDS * http.len());
    let peak = running.peak_kib();
    println!("KiB resident: {rest} at rest, {peak} at the most");
    assert!(
        peak <= rest + ALLOWED_KIB,
        "{rest} KiB at rest, then {peak}"
    );
    assert_eq!(running.terminate().code(), Some(0));
}

fn pack(data: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::best());
    file.write_all(data).expect("memory");
    file.finish().expect("memory")
}

struct Served {
    address: std::net::SocketAddr,
    requests: Arc<AtomicUsize>,
}

/// Does `script` to every request, in HTTP/2 without TLS.
fn h2(script: impl Fn(&mut H2) -> io::Result<()> + Send + Sync + 'static) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, script) = (requests.clone(), Arc::new(script));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (count, script) = (count.clone(), script.clone());
            thread::spawn(move || {
                let mut h2 = H2::accept(stream)?;
                h2.request()?;
                count.fetch_add(1, Ordering::SeqCst);
                script(&mut h2)
            });
        }
    });
    Served { address, requests }
}
