//! A minute with sitemon, without Telegram and without the internet:
//!
//! ```text
//! cargo build && cargo run --example walkthrough
//! ```
//!
//! Starts three web sites on this machine and `sitemon run --console`, which uses the terminal as
//! the chat. One site breaks and recovers; the commands are typed automatically. Exits with 1 when
//! sitemon's output is not the expected one.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

/// Limit of each wait. Most take two or three seconds.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match walk() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("--- walkthrough: {error}");
            ExitCode::FAILURE
        }
    }
}

fn walk() -> Result<(), Box<dyn Error>> {
    let binary = sitemon_binary()?;
    let (asked, requests) = channel();
    let blog = Site::start("blog", &asked)?;
    let shop = Site::start("shop", &asked)?;
    let wiki = Site::start("wiki", &asked)?;
    let folder = tempfile::tempdir()?;
    let config = config(&[&blog, &shop, &wiki]);
    let file = folder.path().join("sitemon.conf");
    fs::write(&file, &config)?;

    tell("three sites run on this machine; this is sitemon.conf:");
    config.lines().for_each(|line| println!("      {line}"));
    tell("sitemon starts; this terminal stands in for the Telegram chat");
    let mut agent = Agent::start(Command::new(binary).arg("-c").arg(&file))?;
    tell("it asks each site every two seconds; we wait for the second round");
    wait_for_rounds(&requests, &[&blog, &shop, &wiki])?;
    agent.type_line("/status")?;
    agent.expect("all three up", |line| line.contains("3 up"))?;
    agent.expect("its buttons", |line| line.contains("[1] chart"))?;

    tell("now the shop goes down: it answers 503");
    shop.healthy.store(false, SeqCst);
    tell("one failure is no alert; the second, a second later, is");
    agent.expect("the alert", |line| {
        line.contains("shop") && line.contains("down")
    })?;
    agent.expect("its buttons", |line| line.contains("acknowledge"))?;
    agent.type_line("/status")?;
    agent.expect("one down", |line| line.contains("1 down"))?;
    agent.expect("which and why", |line| line.contains("503"))?;
    agent.expect("its buttons", |line| line.contains("[2] chart"))?;
    tell("did it recover meanwhile? ask now, without waiting for the next round");
    agent.type_line("/check shop")?;
    agent.expect("still failing", |line| line.contains("503"))?;

    tell("the shop is repaired");
    shop.healthy.store(true, SeqCst);
    agent.expect("the recovery", |line| {
        line.contains("shop") && line.contains("up again")
    })?;
    agent.type_line("/incidents")?;
    agent.expect("the incident", |line| {
        line.contains("#1") && line.contains("shop")
    })?;

    tell("SIGTERM, as an init system sends it: sitemon saves its state and ends");
    agent.terminate()?;
    tell("that was: checks, an alert that waited for a second failure, commands, a recovery");
    tell("next: put your own sites into sitemon.conf, try `sitemon check`, then add [telegram]");
    Ok(())
}

fn tell(what: &str) {
    println!("\n--- {what}");
}

fn config(sites: &[&Site]) -> String {
    let mut text = String::from(
        "[agent]\nstate = \"state\"\nuplink = []\n\n[defaults]\ninterval = \"2s\"\nretry = \"1s\"\ntries = 2\n",
    );
    for site in sites {
        let (name, port) = (site.name, site.port);
        text += &format!("\n[[site]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}/\"\n");
    }
    text
}

/// Waits for two requests to each site: the second check of a site begins after the first was
/// judged.
fn wait_for_rounds(requests: &Receiver<&'static str>, sites: &[&Site]) -> Result<(), String> {
    let give_up = Instant::now() + LIMIT;
    let mut seen = Vec::new();
    let count = |seen: &[&str], name| seen.iter().filter(|s| **s == name).count();
    while sites.iter().any(|site| count(&seen, site.name) < 2) {
        let left = give_up.saturating_duration_since(Instant::now());
        let name = requests.recv_timeout(left);
        seen.push(name.map_err(|_| "sitemon did not ask all the sites")?);
    }
    Ok(())
}

/// Returns the binary that cargo puts beside the directory of the examples.
fn sitemon_binary() -> Result<PathBuf, Box<dyn Error>> {
    let mut path = env::current_exe()?;
    path.pop();
    path.pop();
    path.push(format!("sitemon{}", env::consts::EXE_SUFFIX));
    if !path.is_file() {
        return Err(format!("{} is missing: run `cargo build` first", path.display()).into());
    }
    Ok(path)
}

/// A web site on a free port of 127.0.0.1.
struct Site {
    name: &'static str,
    port: u16,
    healthy: Arc<AtomicBool>,
}

impl Site {
    fn start(name: &'static str, asked: &Sender<&'static str>) -> io::Result<Site> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let healthy = Arc::new(AtomicBool::new(true));
        let (asked, healthy_now) = (asked.clone(), Arc::clone(&healthy));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = if healthy_now.load(SeqCst) {
                    "200 OK"
                } else {
                    "503 Service Unavailable"
                };
                // Errors are ignored, since the next request must be served all the same.
                let _ = answer(stream, status).map(|()| asked.send(name));
            }
        });
        Ok(Site {
            name,
            port,
            healthy,
        })
    }
}

fn answer(stream: TcpStream, status: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut request = BufReader::new(&stream);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 5\r\n\r\n");
    (&stream).write_all(format!("{head}hello").as_bytes())
}

/// The running sitemon, killed when this goes out of scope.
struct Agent {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Agent {
    fn start(command: &mut Command) -> Result<Agent, Box<dyn Error>> {
        let piped = command
            .args(["run", "--console"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        let (line, lines) = channel();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        show(stdout, "  sitemon | ", Some(line));
        let log = child.stderr.take().ok_or("no stderr")?;
        show(log, "      log | ", None);
        let stdin = child.stdin.take().ok_or("no stdin")?;
        Ok(Agent {
            child,
            stdin,
            lines,
        })
    }

    fn type_line(&mut self, line: &str) -> io::Result<()> {
        println!("      you > {line}");
        writeln!(self.stdin, "{line}")
    }

    /// Waits for a line of sitemon, converted to lower case, for which `fits` is true.
    fn expect(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<(), String> {
        let give_up = Instant::now() + LIMIT;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.map_err(|_| format!("waited in vain for sitemon to say: {what}"))?;
            if fits(&line.to_lowercase()) {
                return Ok(());
            }
        }
    }

    fn terminate(&mut self) -> Result<(), Box<dyn Error>> {
        let kill = format!("kill -TERM {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).status()?;
        // The end of the process closes its stdout, and with it the channel.
        let last = std::iter::repeat_with(|| self.lines.recv_timeout(LIMIT)).find(Result::is_err);
        if last == Some(Err(RecvTimeoutError::Timeout)) {
            return Err("sitemon did not end".into());
        }
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(format!("sitemon ended with {status}").into()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a stream to the terminal line by line, and to `lines`.
fn show(stream: impl Read + Send + 'static, prefix: &'static str, lines: Option<Sender<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            println!("{prefix}{line}");
            if let Some(lines) = &lines {
                let _ = lines.send(line);
            }
        }
    });
}
