//! Routes to Telegram: a gate before the Bot API that can block direct connections, and real
//! proxies and relays beside it.

use super::listener::{LIMIT, Listener, locked, until};
use super::tls::Certificate;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

/// User and password of the proxies.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "pr0xy-pa55word";
/// The relay's path.
pub const PATH: &str = "a-long-secret";
/// Source address of the proxies, by which the gate tells them from direct connections.
const PROXIES: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What the gate does with a direct connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Straight {
    Passes,
    /// The connection is reset after the first bytes.
    Reset,
    /// The connection is accepted and never answered.
    Hangs,
    /// Every request is answered with a page, without TLS.
    Page,
}

/// A server that forwards connections.
pub struct Gate {
    listener: Listener,
    straight: Arc<Mutex<Straight>>,
}

impl Gate {
    /// Forwards to the server at `port` of this machine.
    pub fn before(port: u16) -> Gate {
        let straight = Arc::new(Mutex::new(Straight::Passes));
        let mode = Arc::clone(&straight);
        let listener = Listener::start(move |stream, connection| {
            connection.begin();
            let from = stream.peer_addr().map(|peer| peer.ip());
            let proxied = from.is_ok_and(|ip| ip == IpAddr::V4(PROXIES));
            let mode = if proxied {
                Straight::Passes
            } else {
                *locked(&mode)
            };
            match mode {
                Straight::Passes => pass(stream, (Ipv4Addr::LOCALHOST, port).into()),
                Straight::Reset => reset(stream),
                Straight::Hangs => {
                    let _ = io::copy(&mut { stream }, &mut io::sink());
                }
                Straight::Page => page(stream),
            }
        });
        Gate { listener, straight }
    }

    pub fn port(&self) -> u16 {
        self.listener.address().port()
    }

    /// Sets what happens from now on. Open connections are cut.
    pub fn set(&self, straight: Straight) {
        *locked(&self.straight) = straight;
        self.listener.cut_all();
    }
}

fn pass(stream: &TcpStream, to: SocketAddr) {
    let Ok(there) = TcpStream::connect(to) else {
        return;
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &there, &mut { stream });
            let _ = stream.shutdown(Shutdown::Both);
        });
        let _ = io::copy(&mut { stream }, &mut &there);
        let _ = there.shutdown(Shutdown::Both);
    });
}

/// Resets the connection as a firewall does after it has read the server's name.
fn reset(mut stream: &TcpStream) {
    let _ = stream.read(&mut [0; 512]);
    // On Linux this is a reset (connect(2), AF_UNSPEC).
    let _ = rustix::net::connect_unspec(stream);
}

fn page(mut stream: &TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|got| got > 0) {
        let text = "<html>Please log in to the hotel's network</html>";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        if stream.write_all((head + text).as_bytes()).is_err() {
            return;
        }
    }
}

/// A program that listens at a port of this machine, killed when this value is dropped.
pub struct Server {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Server {
    /// A `socks5h://` proxy with a user and a password.
    pub fn microsocks() -> Server {
        let port = free_port();
        let (port_text, from) = (port.to_string(), PROXIES.to_string());
        let arguments = [
            "-i",
            "127.0.0.1",
            "-p",
            &port_text,
            "-b",
            &from,
            "-u",
            USER,
            "-P",
            PASSWORD,
        ];
        Server::start("microsocks", "microsocks", &arguments, port, directory())
    }

    /// An `http://` proxy with a user and a password.
    pub fn tinyproxy() -> Server {
        let (port, dir) = (free_port(), directory());
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nBind {PROXIES}\nTimeout 600\nMaxClients 50\nBasicAuth {USER} {PASSWORD}\n"
        );
        let path = write(&dir, "tinyproxy.conf", &config);
        Server::start("tinyproxy", "tinyproxy", &["-d", "-c", &path], port, dir)
    }

    /// Runs nginx with this `server` block, in which `PORT`, `CERT` and `KEY` stand for the port
    /// and the files of `certificate`.
    pub fn nginx(block: &str, certificate: &Certificate) -> Server {
        let (port, dir) = (free_port(), directory());
        let (cert, key) = certificate.pem();
        let (cert, key) = (write(&dir, "cert.pem", cert), write(&dir, "key.pem", key));
        let block = block
            .replace("PORT", &port.to_string())
            .replace("CERT", &cert)
            .replace("KEY", &key);
        let here = dir.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary
            .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log stderr crit;\nevents {{}}\n\
             http {{\n{temporary}access_log off;\n{block}\n}}\n"
        );
        let path = write(&dir, "nginx.conf", &config);
        Server::start(
            "nginx",
            "nginx-light",
            &["-c", &path, "-e", "stderr"],
            port,
            dir,
        )
    }

    /// Runs node with this script, which listens at the port in its argument.
    pub fn node(script: &str, files: &[(&str, &str)]) -> Server {
        let (port, dir) = (free_port(), directory());
        for (name, text) in files {
            write(&dir, name, text);
        }
        let path = write(&dir, "server.mjs", script);
        Server::start("node", "nodejs", &[&path, &port.to_string()], port, dir)
    }

    fn start(program: &str, package: &str, arguments: &[&str], port: u16, dir: TempDir) -> Server {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir.path());
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = spawned.unwrap_or_else(|error| {
            panic!("this test needs {program} ({error}): apt-get install {package}")
        });
        let mut server = Server {
            child,
            port,
            _dir: dir,
        };
        until(&format!("{program} listens"), || {
            let ended = server.child.try_wait().ok().flatten();
            assert_eq!(ended, None, "{program} ended");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the program.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns the URL of this route, with `scheme`.
    pub fn route(&self, scheme: &str) -> String {
        format!("{scheme}://{USER}:{PASSWORD}@127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, text).expect("it can be written");
    path_text(&path)
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a path of ASCII").to_owned()
}

/// Returns a port that nothing listens at. Another program may take it before it is used.
fn free_port() -> u16 {
    let give_up = Instant::now() + LIMIT;
    loop {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = socket
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        // Below the kernel's ephemeral ports, so that no outgoing connection takes it meanwhile.
        let port = 10_000 + port % 20_000;
        drop(socket);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
        assert!(Instant::now() < give_up, "no free port");
    }
}

/// Returns the code block of this language in `docs/telegram-blocked.md`, with these replacements.
#[track_caller]
pub fn recipe(language: &str, replaced: &[(&str, &str)]) -> String {
    let page = include_str!("../../docs/telegram-blocked.md");
    let (_, rest) = page
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    let mut text = rest.split_once("```").expect("its end").0.to_owned();
    for (part, with) in replaced {
        assert!(text.contains(part), "{part} is not in\n{text}");
        text = text.replace(part, with);
    }
    text
}
