//! A client without checks, for the tests of the fakes: it sends the bytes it is given.

use super::bot_api::{BotApi, CHAT};
use super::json::Json;
use super::listener::LIMIT;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Connects to the host and port of `url`.
pub fn connect(url: &str) -> TcpStream {
    let address = url.split('/').nth(2).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let limit = Some(LIMIT);
    stream.set_read_timeout(limit).unwrap();
    stream
}

/// Sends the call of a method, with `body` as JSON.
pub fn write_call(stream: &mut TcpStream, api: &BotApi, method: &str, body: &str) {
    let request = format!(
        "POST /bot{}/{method} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        api.token(),
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
}

/// Returns status and body of one answer.
pub fn read_answer(stream: &mut TcpStream) -> (u16, String) {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let read = match stream.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.unwrap(),
        };
        assert!(read > 0, "closed in the middle: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() == length {
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            return (status, body.to_owned());
        }
    }
}

/// Calls a method on a new connection, and returns status and answer.
pub fn call(api: &BotApi, method: &str, body: &str) -> (u16, Json) {
    let mut stream = connect(&api.url());
    write_call(&mut stream, api, method, body);
    let (status, body) = read_answer(&mut stream);
    (status, Json::parse(&body).unwrap())
}

pub fn text_body(text: &str) -> String {
    format!(r#"{{"chat_id":{CHAT},"text":"{text}"}}"#)
}

pub fn send_html(api: &BotApi, html: &str) -> (u16, Json) {
    let html = Json::from(html);
    let body = format!(r#"{{"chat_id":{CHAT},"text":{html},"parse_mode":"HTML"}}"#);
    call(api, "sendMessage", &body)
}

/// Sends a message "hello" of the bot, and returns its id.
pub fn api_message(api: &BotApi) -> i64 {
    let answer = call(api, "sendMessage", &text_body("hello")).1;
    let result = answer.get("result").unwrap();
    result.get("message_id").and_then(Json::int).unwrap()
}

pub fn description(answer: &Json) -> &str {
    answer.get("description").and_then(Json::str).unwrap()
}

pub fn updates_in(answer: &Json) -> usize {
    answer.get("result").unwrap().array().unwrap().len()
}
