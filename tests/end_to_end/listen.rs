//! `[listen]`: the answers that Prometheus gets, and hostile clients.

use crate::support::agent::{Running, Sitemon};
use crate::support::assert_has;
use crate::support::bot_api::BotApi;
use crate::support::listener::LIMIT;
use crate::support::scene::{Scene, keeps_the_rules, site};
use crate::support::web::{Behaviour, Web};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Returns an address of its own, since tests run beside each other.
fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, a, b] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, a | 64, b, NEXT.fetch_add(1, Ordering::Relaxed));
    let free = TcpListener::bind((ip, 0)).expect("loopback has room");
    // A process that another test starts has a copy of it until it executes its program.
    rustix::net::shutdown(&free, rustix::net::Shutdown::Both).expect("shut down");
    free.local_addr().expect("an address").to_string()
}

fn connect(address: &str) -> TcpStream {
    limited(TcpStream::connect(address).expect("it listens"))
}

fn limited(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
    stream
}

/// Reads until the connection is closed or reset.
fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("it goes on: {error}"),
        }
    }
    String::from_utf8(bytes).expect("text")
}

/// Sends these bytes on a new connection, and returns the answer.
fn exchange(address: &str, bytes: impl AsRef<[u8]>) -> String {
    exchange_over(connect(address), bytes)
}

fn exchange_over(mut stream: TcpStream, bytes: impl AsRef<[u8]>) -> String {
    // The server may refuse before it has read all.
    let _ = stream.write_all(bytes.as_ref());
    rest(&stream)
}

fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

fn get(address: &str, path: &str, headers: &str) -> String {
    exchange(address, request(&format!("GET {path}"), headers))
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

/// Requests the metrics until they contain `wanted`.
#[track_caller]
fn wait_metrics(running: &Running, address: &str, headers: &str, wanted: &str) -> String {
    running.wait_stderr("listening on");
    let mut last = String::new();
    for _ in 0..LIMIT.as_millis() / 50 {
        // Connections are refused for a moment while a reload binds again.
        if let Ok(stream) = TcpStream::connect(address) {
            last = exchange_over(limited(stream), request("GET /metrics", headers));
            if last.contains(wanted) {
                return last;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no {wanted} in {last}");
}

fn listening(address: &str) -> Scene {
    let scene = Scene::new();
    let listen = format!("[listen]\naddress = \"{address}\"\n");
    scene.sitemon.rewrite(&scene.config_with(&listen));
    scene
}

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3\r\n";

#[test]
fn a_site_is_up_and_down_in_both_formats() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    let up = wait_metrics(&running, &address, "", "sitemon_site_up{site=\"blog\"} 1\n");
    assert_eq!(status(&up), "200");
    let (head, body) = up.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    assert_has(&head, &format!("Content-Length: {}", body.len()));
    assert!(!body.contains("# EOF") && body.contains("# TYPE sitemon_checks_total counter\n"));
    for part in [
        "sitemon_site_state{site=\"blog\",state=\"up\"} 1\n",
        "sitemon_site_state{site=\"blog\",state=\"down\"} 0\n",
        "sitemon_check_duration_seconds{site=\"blog\"} 0.",
        "sitemon_check_phase_seconds{site=\"blog\",phase=\"first_byte\"} 0.",
        "sitemon_checks_total{site=\"blog\",result=\"failure\"} 0\n",
        "sitemon_uplink_up 1\n",
        "sitemon_telegram_up 1\n",
        "sitemon_alerts_waiting 0\n",
        "sitemon_rounds_late_total 0\n",
        "process_cpu_seconds_total 0.",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    scene.ask("/status", "1 up");
    scene.outage();
    let down = wait_metrics(
        &running,
        &address,
        OPEN,
        "sitemon_site_up{site=\"blog\"} 0\n",
    );
    assert!(
        down.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(down.ends_with("\n# EOF\n") && down.contains("# TYPE sitemon_checks counter\n"));
    assert_has(&down, "sitemon_incident_open{site=\"blog\"} 1\n");
    assert_has(&down, "sitemon_command_answer_seconds_count 1\n");
    assert_eq!(status(&get(&address, "/healthz", "")), "200");
    scene.end(running);
}

#[test]
fn a_label_of_the_file_cannot_break_the_text() {
    let address = own_address();
    let (api, web) = (BotApi::start(), Web::new());
    let table = site("blog", &web.url("/")).replace("\"blog\"", r#"'a "b" \ {c}'"#);
    let config = format!(
        "{}{table}group = 'web, \"x\"'\n[listen]\naddress = \"{address}\"\n",
        api.config()
    );
    let sitemon = Sitemon::new(&config);
    let mut running = sitemon.run();
    let wanted = r#"sitemon_site_up{site="a \"b\" \\ {c}",group="web, \"x\""} 1"#;
    wait_metrics(&running, &address, "", wanted);
    assert_eq!(running.terminate().code(), Some(0));
}

#[test]
fn nothing_but_what_is_documented_is_answered() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    for path in [
        "/",
        "//metrics",
        "/metrics/",
        "/./metrics",
        "/x/../metrics",
        "/Metrics",
        "/metrics%00",
        "/%6detrics",
        "/metrics;x",
        "/metrics#x",
        "/push/blog",
        "/push/..%2fmetrics",
        "/push/../metrics",
        "/push/",
        "http://x/metrics",
        "http://127.0.0.1/metrics",
        "metrics",
        "*",
        "/healthz/..",
        "/.env",
    ] {
        assert_eq!(status(&get(&address, path, "")), "404", "{path}");
    }
    for path in ["/metrics", "/metrics?x=/../y", "/healthz", "/healthz?"] {
        assert_eq!(status(&get(&address, path, "")), "200", "{path}");
        let head = exchange(&address, request(&format!("HEAD {path}"), ""));
        assert!(
            status(&head) == "200" && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        for method in [
            "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "X",
        ] {
            let answer = exchange(&address, request(&format!("{method} {path}"), ""));
            assert_eq!(status(&answer), "405", "{method} {path}");
            assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
        }
    }
    scene.end(running);
}

#[test]
fn a_token_is_wanted_for_the_metrics_alone_and_a_reload_changes_it() {
    let (address, other) = (own_address(), own_address());
    let scene = listening(&address);
    let with = |address: &str, token: &str| {
        let more = site("shop", &scene.web.url("/shop"));
        let listen = format!("[listen]\naddress = \"{address}\"\ntoken = \"{token}\"\n");
        scene.config_with(&(more + &listen))
    };
    scene.sitemon.rewrite(&with(&address, "s3cret-of-metrics"));
    let running = scene.start();
    let bearer = "Authorization: Bearer s3cret-of-metrics\r\n";
    let all = wait_metrics(
        &running,
        &address,
        bearer,
        "sitemon_site_up{site=\"shop\"} 1\n",
    );
    assert!(all.contains("site=\"blog\""));
    for headers in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer s3cret-of-metric\r\n",
        "Authorization: Bearer s3cret-of-metricss3cret-of-metrics\r\n",
        "Authorization: Basic s3cret-of-metrics\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer s3cret-of-metrics\r\n",
    ] {
        let refused = get(&address, "/metrics", headers);
        assert_eq!(status(&refused), "401", "{headers}");
        assert!(refused.contains("\r\nWWW-Authenticate: Bearer\r\n") && !refused.contains("blog"));
    }
    assert_eq!(
        status(&get(&address, "/metrics?token=s3cret-of-metrics", "")),
        "401"
    );
    assert_eq!(status(&get(&address, "/healthz", "")), "200");

    // Another token, and one site less, on the same address; an idle connection is closed.
    let mut kept = connect(&address);
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    let config = with(&address, "another").replace("\"shop\"", "\"shop 2\"");
    scene.sitemon.rewrite(&config);
    running.hup();
    assert!(rest(&kept).contains("200 OK"));
    let bearer = "Authorization: Bearer another\r\n";
    let all = wait_metrics(
        &running,
        &address,
        bearer,
        "sitemon_site_up{site=\"shop 2\"} 1\n",
    );
    assert!(!all.contains("site=\"shop\""), "{all}");

    // Another address.
    scene.sitemon.rewrite(&with(&other, "another"));
    running.hup();
    running.wait_stderr(&format!("listening on http://{other}/"));
    wait_metrics(&running, &other, bearer, "site=\"shop\"");
    assert!(TcpStream::connect(&address).is_err(), "it was left");

    // No [listen] any more.
    scene.sitemon.rewrite(&scene.config_with(""));
    running.hup();
    for _ in 0..LIMIT.as_millis() / 50 {
        if TcpStream::connect(&other).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(TcpStream::connect(&other).is_err(), "it was left");
    for token in ["s3cret-of-metrics", "another"] {
        assert!(!running.stderr().contains(token), "{}", running.stderr());
    }
    scene.end(running);
}

#[test]
fn a_port_that_is_taken_is_told_once_and_checks_go_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("an address").to_string();
    let scene = listening(&address);
    let running = scene.start();
    let text =
        format!("Cannot listen on {address}: Address already in use. It is tried every minute.");
    scene.wait_text(&text);
    running.wait_stderr(&text);
    scene.web.wait_requests(4);
    assert_eq!(scene.count("Cannot listen"), 1);
    scene.end(running);
}

/// The retry follows the agent's own clock.
#[test]
#[ignore = "takes a minute"]
fn a_port_that_was_taken_is_listened_on_when_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("an address").to_string();
    let scene = listening(&address);
    let running = scene.start();
    scene.wait_text("Cannot listen");
    drop(taken);
    for _ in 0..3 {
        scene.web.wait_requests(scene.web.requests() + 25);
    }
    running.wait_stderr("listening on");
    assert_eq!(status(&get(&address, "/healthz", "")), "200");
    assert_eq!(scene.count("Cannot listen"), 1);
    scene.end(running);
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    let mut stream = connect(&address);
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        let mut byte = [0; 1];
        while !answer.ends_with("\r\n\r\nok\n") {
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(char::from(byte[0]));
        }
        assert_has(&answer, "\r\nConnection: keep-alive\r\n");
    }
    // A client that closes its side for writing still gets its answer.
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    stream
        .shutdown(Shutdown::Write)
        .expect("half of it is closed");
    assert!(rest(&stream).contains("sitemon_build_info{version="));
    scene.end(running);
}

#[test]
fn hostile_requests_are_refused_and_the_connection_ends() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    let second = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let smuggled = |headers: &str, body: &str| {
        format!("POST /metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}{second}")
    };
    for (bytes, wanted) in [
        (
            smuggled("Content-Length: 4\r\nContent-Length: 0\r\n", "abcd"),
            "400",
        ),
        (smuggled("Content-Length: 0, 4\r\n", ""), "400"),
        (
            smuggled(
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            "400",
        ),
        (
            smuggled("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            "400",
        ),
        (
            smuggled("Transfer-Encoding: x\r\n chunked\r\n", "0\r\n\r\n"),
            "400",
        ),
        (
            smuggled("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
            "400",
        ),
        (smuggled("Content-Length: -1\r\n", ""), "400"),
        (
            smuggled("Content-Length: 18446744073709551616\r\n", ""),
            "413",
        ),
        (smuggled("Content-Length: 8192\r\n", ""), "413"),
        (smuggled("Host: y\r\n", ""), "400"),
        (format!("GET /metrics HTTP/1.1\r\n\r\n{second}"), "400"),
        (
            format!("GET /metrics HTTP/1.1\nHost: x\n\r\n\r\n{second}"),
            "400",
        ),
        (
            format!("GET /metrics\0 HTTP/1.1\r\nHost: x\r\n\r\n{second}"),
            "400",
        ),
        (
            format!("GET /metrics HTTP/1.1\r\nHost: x\0y\r\n\r\n{second}"),
            "400",
        ),
        (format!("GET /metrics\r\n\r\n{second}"), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
        ("\x16\x03\x01\x02\0\r\n\r\n".to_owned(), "400"),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(9_000)),
            "431",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(1_000_000)),
            "431",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "X: y\r\n".repeat(500)
            ),
            "431",
        ),
    ] {
        let answer = exchange(&address, &bytes);
        let start = &bytes[..bytes.len().min(120)];
        assert_eq!(status(&answer), wanted, "{start:?}");
        // There is exactly one answer, and it has no metrics.
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{start:?}: {answer}"
        );
        assert!(
            answer.contains("\r\nConnection: close\r\n") && !answer.contains("sitemon_"),
            "{answer}"
        );
    }
    // Of several pipelined requests the first is answered.
    let answer = exchange(
        &address,
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20),
    );
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    scene.ask("/status", "1 up");
    scene.end(running);
}

#[test]
fn clients_that_never_end_are_ended_and_checks_and_chat_go_on() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    let at_rest = running.descriptors();
    // More clients than are accepted: nothing sent, half a head, half a body, an answer that is not
    // read.
    let mut clients = Vec::new();
    for n in 0..60 {
        let mut stream = connect(&address);
        let bytes: &[u8] = match n % 4 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
            2 => b"POST /push/blog HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
            _ => b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        stream.write_all(bytes).expect("sent");
        clients.push(stream);
    }
    let before = scene.web.requests();
    scene.ask("/status", "1 up");
    scene.web.wait_requests(before + 3);
    let most = running.descriptors();
    assert!(most <= at_rest + 20, "{at_rest} descriptors became {most}");
    for (n, stream) in clients.iter().enumerate() {
        if n % 4 == 3 {
            // The connection is kept for another request, which never comes.
            let _ = stream.shutdown(Shutdown::Write);
        }
        rest(stream);
    }
    assert_eq!(status(&get(&address, "/healthz", "")), "200");
    scene.end(running);
}

#[test]
fn a_client_that_sends_for_ever_is_not_read_for_as_long_as_it_can() {
    const MIB: usize = 1 << 20;
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    for head in [
        "POST /push/blog HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = connect(&address);
        stream.write_all(head.as_bytes()).expect("sent");
        let (part, mut sent) = (vec![b'x'; 64 << 10], 0);
        while sent < 256 * MIB && stream.write_all(&part).is_ok() {
            sent += part.len();
        }
        // The bytes that the agent reads, and the buffers of the kernel on both sides.
        assert!(sent < 64 * MIB, "{} MiB after {head:?}", sent / MIB);
    }
    scene.ask("/status", "1 up");
    scene.end(running);
}

/// If each of sixteen clients at a time had five seconds, others would wait longer than the test
/// does.
#[test]
fn clients_that_send_nothing_keep_no_other_out() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    let mut silent = Vec::new();
    for n in 0..300 {
        let mut stream = connect(&address);
        if n % 3 == 0 {
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        silent.push(stream);
        if n % 50 == 49 {
            assert_eq!(status(&get(&address, "/healthz", "")), "200", "{n}");
        }
    }
    drop(silent);
    scene.end(running);
}

#[test]
fn ten_thousand_connections_leave_checks_and_chat_as_they_are() {
    let address = own_address();
    let scene = listening(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    get(&address, "/metrics", "");
    let (descriptors, threads) = (running.descriptors(), running.threads());
    let before = scene.web.requests();
    for n in 0..10_000 {
        let Ok(mut stream) = TcpStream::connect(&address) else {
            continue;
        };
        if n % 3 == 0 {
            let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        if n % 2_500 == 0 {
            scene.ask("/status", "1 up");
        }
    }
    scene.web.wait_requests(before + 2);
    scene.ask("/stats", "Up for");
    assert_eq!(status(&get(&address, "/healthz", "")), "200");
    let most = running.descriptors();
    assert!(
        most <= descriptors + 20,
        "{descriptors} descriptors became {most}"
    );
    assert_eq!(running.threads(), threads, "it has no thread of its own");
    assert_eq!(scene.count("🔴"), 0);
    assert!(running.rss_kib() < 64 * 1024);
    scene.end(running);
}

/// The answer is longer than the send buffer. It is sent in chunks if the connection is kept.
#[test]
fn the_metrics_of_many_sites_come_whole_however_they_are_sent() {
    let address = own_address();
    let (api, web) = (BotApi::start(), Web::new());
    web.set("/", Behaviour::ok());
    let mut config = api.config();
    for n in 0..200 {
        config += &site(&format!("site {n}"), &web.url("/")).replace("\"1s\"", "\"60s\"");
    }
    config += &format!("[listen]\naddress = \"{address}\"\n");
    let sitemon = Sitemon::new(&config);
    let mut running = sitemon.run();
    running.wait_stderr("listening on");
    let series = |text: &str| -> usize { text.matches("\nsitemon_site_state{").count() };
    let closed = get(&address, "/metrics", OPEN);
    assert!(!closed.contains("Content-Length") && !closed.contains("Transfer-Encoding"));
    assert!(closed.ends_with("\n# EOF\n"));
    assert_eq!(series(&closed), 200 * 7);

    let mut stream = connect(&address);
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{OPEN}\r\n");
    stream.write_all(ask.as_bytes()).expect("sent");
    stream
        .shutdown(Shutdown::Write)
        .expect("half of it is closed");
    let answer = rest(&stream);
    let (head, mut chunks) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("\r\nTransfer-Encoding: chunked"), "{head}");
    let mut body = String::new();
    loop {
        let (length, more) = chunks.split_once("\r\n").expect("a chunk");
        let length = usize::from_str_radix(length, 16).expect("its length");
        body.push_str(&more[..length]);
        chunks = more[length..].strip_prefix("\r\n").expect("its end");
        if length == 0 {
            break;
        }
    }
    assert_eq!(chunks, "");
    assert!(body.ends_with("\n# EOF\n"));
    assert_eq!(series(&body), 200 * 7);

    let old = exchange(&address, "GET /metrics HTTP/1.0\r\n\r\n");
    assert_eq!(series(&old), 200 * 7);
    assert_eq!(running.terminate().code(), Some(0));
    keeps_the_rules(&api, &running);
}

const TOKEN: &str = "0123456789abcdef-push";

/// A scene with `blog` and two jobs: one with a token and one without.
fn with_jobs(address: &str) -> Scene {
    let scene = Scene::new();
    let job = |name: &str, more: &str| {
        format!("[[site]]\nname = \"{name}\"\nurl = \"push:\"\nevery = \"1d\"\n{more}\n")
    };
    let jobs = job("db / ä", &format!("token = \"{TOKEN}\"")) + &job("silent", "");
    let listen = format!("[listen]\naddress = \"{address}\"\ntoken = \"of-metrics-alone\"\n");
    scene.sitemon.rewrite(&scene.config_with(&(jobs + &listen)));
    scene
}

const JOB: &str = "/push/db%20%2F%20%C3%A4";

#[test]
fn a_job_reports_by_http_and_is_answered_once_that_is_on_disk() {
    let address = own_address();
    let scene = with_jobs(&address);
    let mut running = scene.start();
    running.wait_stderr("listening on");
    let ok = get(&address, &format!("{JOB}?token={TOKEN}"), "");
    assert!(status(&ok) == "200" && ok.ends_with("\r\n\r\nok\n"), "{ok}");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let started = get(&address, &format!("{JOB}?status=start"), &bearer);
    assert_eq!(status(&started), "200");
    let body = "first line\ndisk is <full>\n";
    let headers = format!("{bearer}Content-Length: {}\r\n", body.len());
    let post = request(&format!("POST {JOB}?status=down&message=other"), &headers) + body;
    assert_eq!(status(&exchange(&address, post)), "200");
    // A client that waits for "100 Continue" before the body (RFC 9110, section 10.1.1).
    let mut waits = connect(&address);
    let head = request(
        &format!("POST {JOB}?status=down"),
        &format!(
            "{bearer}Expect: 100-continue\r\nContent-Length: {}\r\n",
            body.len()
        ),
    );
    waits.write_all(head.as_bytes()).expect("sent");
    let mut go_on = [0; 25];
    waits.read_exact(&mut go_on).expect("an answer");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    waits.write_all(body.as_bytes()).expect("sent");
    assert_eq!(status(&rest(&waits)), "200");
    running.kill9();
    let told = scene.sitemon.command(&["status"]);
    assert!(told.stdout.contains("down"), "{}", told.stdout);
    assert!(
        told.stdout.contains("disk is <full>") && !told.stdout.contains("other"),
        "{}",
        told.stdout
    );

    let running = scene.start();
    scene.wait_text("disk is <full>");
    let up = get(&address, &format!("{JOB}?token={TOKEN}&status=up"), "");
    assert_eq!(status(&up), "200");
    let bearer = "Authorization: Bearer of-metrics-alone\r\n";
    wait_metrics(
        &running,
        &address,
        bearer,
        "sitemon_site_up{site=\"db / ä\"} 1\n",
    );
    assert!(!running.stderr().contains(TOKEN), "{}", running.stderr());
    scene.end(running);
}

#[test]
fn a_report_without_the_token_is_as_one_of_a_job_that_there_is_not() {
    let address = own_address();
    let scene = with_jobs(&address);
    let running = scene.start();
    running.wait_stderr("listening on");
    let mut answers = Vec::new();
    for target in [
        JOB.to_owned(),
        format!("{JOB}?token="),
        format!("{JOB}?token=0123456789abcdef-pusH&status=down"),
        format!("{JOB}?token={TOKEN}{TOKEN}"),
        format!("{JOB}?token={TOKEN}&token={TOKEN}"),
        format!("{JOB}?token=of-metrics-alone"),
        format!("{JOB}?status=nonsense"),
        format!("{JOB}x?token={TOKEN}"),
        format!("/push/silent?token={TOKEN}"),
        "/push/silent?token=".to_owned(),
        format!("/push/blog?token={TOKEN}"),
        format!("/push/db%20/%20%C3%A4?token={TOKEN}"),
        format!("/push/..%2fdb%20%2F%20%C3%A4?token={TOKEN}"),
        format!("/push/%00?token={TOKEN}"),
        format!("/push/%ff?token={TOKEN}"),
        format!("//{}?token={TOKEN}", &JOB[1..]),
    ] {
        for method in ["GET", "POST"] {
            answers.push(exchange(
                &address,
                request(&format!("{method} {target}"), ""),
            ));
        }
    }
    assert!(
        answers.iter().all(|answer| status(answer) == "404"),
        "{answers:?}"
    );
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    let right = format!("{JOB}?token={TOKEN}&status=down");
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = exchange(&address, request(&format!("{method} {right}"), ""));
        assert_eq!(status(&answer), "405", "{method}");
    }
    let wrong = get(&address, &format!("{JOB}?token={TOKEN}&status=dwon"), "");
    assert_eq!(status(&wrong), "400");
    let bearer = "Authorization: Bearer of-metrics-alone\r\n";
    let metrics = get(&address, "/metrics", bearer);
    assert_has(
        &metrics,
        "sitemon_site_state{site=\"db / ä\",state=\"unknown\"} 1\n",
    );
    scene.end(running);
}
