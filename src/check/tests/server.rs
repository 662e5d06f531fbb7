//! A server that runs a script for each connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `script` for every connection, each on its own thread, which ends with the test
    /// process at the latest.
    pub(super) fn new(script: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, script) = (accepted.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                std::thread::spawn(move || script(stream));
            }
        });
        Server { address, accepted }
    }

    /// Answers every request with `answer`, and keeps the connection open if the client asks for
    /// it.
    pub(super) fn answering(answer: &'static str) -> Server {
        Server::routing(move |_| answer.to_owned())
    }

    /// Answers every request with the result of `route`, which is given its head.
    pub(super) fn routing(route: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
        Server::new(move |mut stream| {
            while let Some(head) = request(&mut stream) {
                let answered = stream.write_all(route(&head).as_bytes());
                if answered.is_err() || head.contains("connection: close") {
                    break;
                }
            }
        })
    }

    /// Reads one request, answers `bytes` and closes.
    pub(super) fn closing(bytes: &'static [u8]) -> Server {
        Server::new(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(bytes);
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Counts the connections so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Reads the head of the next request, and its body if the head has its length.
pub(super) fn request(stream: &mut impl Read) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let mut text = String::from_utf8_lossy(&text).to_lowercase();
    if let Some((_, length)) = text.split_once("content-length: ") {
        let length: u64 = length.lines().next()?.trim().parse().ok()?;
        stream.take(length).read_to_string(&mut text).ok()?;
    }
    Some(text)
}
