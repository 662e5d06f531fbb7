//! The terminal as the chat: prompt, end of input, `quit`.

use crate::support::agent::Sitemon;
use crate::support::scene::site;
use crate::support::web::{Behaviour, Web};
use std::io::Write;

#[test]
fn an_alert_is_written_above_the_prompt() {
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let (mut running, mut keyboard) = sitemon.run_at_terminal();
    running.wait_stdout("quit ends it.\r\n\r\u{1b}[K> ");
    keyboard.write_all(b"/sta").expect("typed");
    running.wait_stdout("> /sta");
    web.set("/", Behaviour::status(503));
    let alert = "\r\u{1b}[K🔴 blog is down: HTTP 503, wanted 200-299 (#1)\r\n";
    running.wait_stdout(alert);
    // The letters typed before are still there.
    keyboard.write_all(b"tus\n").expect("typed");
    running.wait_stdout_from(0, |text| {
        text.contains("0 up, 1 down\r\n") && text.ends_with("\r\n> ")
    });
    let before = running.stdout().len();
    keyboard.write_all(b"\n").expect("typed");
    running.wait_stdout_from(before, |text| text == "\r\n\r\u{1b}[K> ");
    keyboard.write_all(b"quit\n").expect("typed");
    assert_eq!(running.wait_exit().code(), Some(0));
    drop(keyboard);
    let shown = running.stdout();
    assert!(shown.ends_with("> quit\r\n\r\u{1b}[K"), "{shown:?}");
}

#[test]
fn at_the_end_of_input_the_terminal_still_shows_alerts() {
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let (mut running, mut keyboard) = sitemon.run_at_terminal();
    running.wait_stdout("> ");
    // Ctrl-D.
    keyboard.write_all(&[4]).expect("typed");
    running
        .wait_stdout("\r\u{1b}[KEnd of input: sitemon goes on, and Ctrl-C or SIGTERM ends it.\r\n");
    web.set("/", Behaviour::status(503));
    let shown = running.wait_stdout("is down: HTTP 503, wanted 200-299 (#1)\r\n");
    let alert = shown.split_once("ends it.\r\n🔴 blog").is_some();
    assert!(alert, "without a prompt: {shown:?}");
    // Ctrl-C, which a terminal sends to its group of processes.
    running.signal("INT");
    assert_eq!(running.wait_exit().code(), Some(0));
}

#[test]
fn lines_of_a_pipe_are_answered_before_quit_ends_it() {
    let sitemon = Sitemon::new(&site("blog", "http://127.0.0.1:1/"));
    for quit in ["quit", "exit"] {
        let mut running = sitemon.run_console();
        running.type_line("/list");
        running.type_line(quit);
        assert_eq!(running.wait_exit().code(), Some(0));
        let shown = running.rest_of_stdout();
        assert!(shown.contains("blog"), "{shown}");
        assert!(
            !shown.contains('>') && !shown.contains("End of input"),
            "{shown}"
        );
    }
    let mut running = sitemon.run_console();
    running.close_stdin();
    running.wait_stdout("End of input: sitemon goes on");
    assert_eq!(running.terminate().code(), Some(0));
}
