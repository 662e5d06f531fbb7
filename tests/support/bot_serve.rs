//! The fake Bot API on the wire: requests in, faults and answers out.

use super::bot_answer::Answer;
use super::bot_api::{Fault, TOKEN};
use super::bot_params;
use super::bot_photo;
use super::bot_state::{Params, State, bot_json, flag, get, int};
use super::http::{Request, Wire, answer};
use super::json::Json;
use super::listener::{Connection, locked};
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest long poll in seconds. The real server cuts longer ones to it, too.
const MAX_POLL: i64 = 50;

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// The state, and the condition that wakes the polls that wait for a change.
pub struct Shared {
    pub state: Mutex<State>,
    pub changed: Condvar,
}

impl Shared {
    pub fn new(state: State) -> Shared {
        Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut locked(&self.state));
        self.changed.notify_all();
        result
    }

    /// Returns `None` when the bot has closed the connection.
    fn get_updates(&self, params: &Params, stream: &TcpStream) -> Option<Answer> {
        let seconds = int(params, "timeout").unwrap_or(0).clamp(0, MAX_POLL);
        let give_up = Instant::now() + Duration::from_secs(seconds.unsigned_abs());
        let limit = int(params, "limit").unwrap_or(100).clamp(1, 100) as usize;
        let mut state = locked(&self.state);
        state.newest_poll += 1;
        let this_poll = state.newest_poll;
        self.changed.notify_all();
        if let Some(kinds) = get(params, "allowed_updates").and_then(Json::array) {
            state.allow(kinds);
        }
        state.confirm(int(params, "offset").unwrap_or(0));
        loop {
            if state.webhook {
                return Some(Answer::webhook_is_active());
            }
            if state.newest_poll != this_poll {
                return Some(Answer::other_poller());
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if state.unconfirmed() > 0 || left.is_zero() {
                return Some(Answer::ok_verbatim(&state.batch(limit)));
            }
            // Wakes now and then to see whether the bot is still connected.
            let nap = left.min(Duration::from_millis(50));
            let woken = self.changed.wait_timeout(state, nap);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            if is_closed(stream) {
                return None;
            }
        }
    }
}

/// Serves one connection to its end.
pub fn serve(stream: &TcpStream, connection: &Connection, shared: &Shared) {
    let mut wire = Wire::new(stream);
    while wire.has_more() {
        connection.begin();
        let Ok(request) = wire.read_request() else {
            return;
        };
        let Some(bytes) = respond(&request, stream, shared, &mut wire) else {
            return;
        };
        if wire.write(&bytes).is_err() || request.wants_close() {
            return;
        }
        connection.end();
    }
}

/// Returns the bytes of the answer, or `None` to close the connection.
fn respond(
    request: &Request,
    stream: &TcpStream,
    shared: &Shared,
    wire: &mut Wire<&TcpStream>,
) -> Option<Vec<u8>> {
    let Some((token, method)) = bot_path(request.path()) else {
        return Some(Answer::error(404, "Not Found").bytes());
    };
    let params = read_params(request, method);
    let fault = shared.change(|state| {
        *state.calls.entry(method.to_owned()).or_default() += 1;
        let body = String::from_utf8_lossy(&request.body);
        let query = request.query().unwrap_or_default();
        state.note_request(format!("{} {method} {query}{body}", request.method));
        if token != TOKEN {
            return Err(Answer::error(401, "Unauthorized"));
        }
        let params = params.as_ref().map_err(|(code, why)| {
            state.violations.push(format!("{method}: {why}"));
            Answer::error(*code, &format!("Bad Request: {why}"))
        })?;
        Ok(state.take_fault(method, params))
    });
    let fault = match fault {
        Ok(fault) => fault,
        Err(refusal) => return Some(refusal.bytes()),
    };
    let params = params.unwrap_or_default();
    Some(match fault {
        None => carry_out(method, &params, stream, shared)?.bytes(),
        Some(Fault::DropAfter) => {
            carry_out(method, &params, stream, shared);
            return None;
        }
        Some(Fault::Late(delay)) => {
            let answer = carry_out(method, &params, stream, shared)?;
            thread::sleep(delay);
            answer.bytes()
        }
        Some(Fault::Drop) => return None,
        Some(Fault::Stall) => {
            let _ = wire.swallow();
            return None;
        }
        Some(Fault::Garbage(bytes)) => {
            let _ = wire.write(bytes);
            return None;
        }
        Some(Fault::Status(code)) => {
            let html = format!("<html><body><h1>{code}</h1><hr>nginx</body></html>\r\n");
            answer(code, &[("Content-Type", "text/html")], html.as_bytes())
        }
        Some(Fault::HugeBody(size)) => {
            let text = format!("{{\"ok\":true,\"result\":[{}]}}", " ".repeat(size));
            answer(200, &JSON, text.as_bytes())
        }
        Some(Fault::MigrateTo(chat)) => {
            shared.change(|state| state.add_chat(chat));
            Answer::migrated(chat).bytes()
        }
        Some(Fault::TooManyRequests { retry_after }) => {
            Answer::too_many_requests(retry_after).bytes()
        }
        Some(Fault::Unauthorized) => Answer::error(401, "Unauthorized").bytes(),
        Some(Fault::Forbidden) => {
            let why = "Forbidden: bot was blocked by the user";
            Answer::error(403, why).bytes()
        }
        Some(Fault::OtherPoller409) => Answer::other_poller().bytes(),
        Some(Fault::LoggedOut) => Answer::error(400, "Logged out").bytes(),
        Some(Fault::BadRequest(why)) => Answer::error(400, &format!("Bad Request: {why}")).bytes(),
    })
}

fn carry_out(method: &str, params: &Params, stream: &TcpStream, shared: &Shared) -> Option<Answer> {
    if method == "getUpdates" {
        return shared.get_updates(params, stream);
    }
    let limited = shared.change(|state| state.limit(method, params));
    if let Err(refusal) = limited {
        return Some(refusal);
    }
    let result = shared.change(|state| match method {
        "getMe" => Ok(bot_json()),
        "sendMessage" => state.send_message(params),
        "sendPhoto" => state.send_photo(params),
        "editMessageText" => state.edit_message_text(params),
        "editMessageMedia" => state.edit_message_media(params),
        "setMyCommands" => state.set_my_commands(params),
        "answerCallbackQuery" => state.answer_callback_query(params),
        "deleteWebhook" => {
            state.webhook = false;
            if flag(params, "drop_pending_updates") {
                state.forget_updates();
            }
            Ok(true.into())
        }
        _ => Err(Answer::error(404, "Not Found: method not found")),
    });
    Some(result.map_or_else(|refusal| refusal, Answer::ok))
}

/// Splits `/bot<token>/<method>` into token and method.
fn bot_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/bot")?.split_once('/')
}

/// Reads the parameters.
///
/// # Errors
///
/// The status and the reason of the refusal.
fn read_params(request: &Request, method: &str) -> Result<Vec<(String, Json)>, (u16, String)> {
    let known = bot_params::parameters(method).ok_or((404, "unknown method".to_owned()))?;
    let bad = |why: String| (400, why);
    let query = request.query().unwrap_or_default();
    let params = match request.method.as_str() {
        "GET" => bot_params::from_query(query, known),
        "POST" if request.body.is_empty() => bot_params::from_query(query, known),
        "POST" => {
            let kind = request.header("content-type").unwrap_or_default();
            if kind.starts_with("multipart/") && query.is_empty() {
                let form = bot_photo::read_form(kind, &request.body).map_err(bad)?;
                let params = bot_params::from_form(form, known);
                return checked(params, known);
            }
            if kind.split(';').next() != Some("application/json") || !query.is_empty() {
                return Err(bad(format!("POST of {kind:?} with the query {query:?}")));
            }
            let text = std::str::from_utf8(&request.body).map_err(|e| bad(e.to_string()))?;
            match Json::parse(text).map_err(bad)? {
                Json::Object(params) => params,
                other => return Err(bad(format!("the body is {other}"))),
            }
        }
        other => return Err(bad(format!("HTTP method {other}"))),
    };
    checked(params, known)
}

fn checked(
    params: Vec<(String, Json)>,
    known: bot_params::Parameters,
) -> Result<Vec<(String, Json)>, (u16, String)> {
    let mistakes = bot_params::mistakes(&params, known);
    if mistakes.is_empty() {
        return Ok(params);
    }
    Err((400, mistakes.join("; ")))
}

/// Returns whether the peer has closed, without reading from the stream.
fn is_closed(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = stream.peek(&mut [0]);
    let blocking_again = stream.set_nonblocking(false);
    match peeked {
        Ok(read) => read == 0 || blocking_again.is_err(),
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
    }
}
