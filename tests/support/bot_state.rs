//! The state of the fake Bot API, and the effects of its methods on it. No sockets here.

use super::bot_answer::Answer;
use super::bot_api::{ANY, BOT_NAME, Button, Edit, Fault, Photo, Sent};
use super::bot_html;
use super::bot_limits::Limiter;
use super::json::{Json, object};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub type Params = [(String, Json)];

pub struct State {
    /// Unconfirmed updates: id and JSON text.
    updates: VecDeque<(i64, String)>,
    next_update: i64,
    next_message: i64,
    /// `None` until the bot sets it.
    allowed_updates: Option<Vec<String>>,
    /// Number of the newest `getUpdates`; it ends an older one that still waits.
    pub newest_poll: u64,
    pub webhook: bool,

    chats: HashSet<i64>,
    topics: HashSet<(i64, i64)>,
    /// Chat and id of the messages of users.
    written: HashSet<(i64, i64)>,
    pub sent: Vec<Sent>,
    /// Messages before this index were cleared by the test.
    pub cleared: usize,
    pub callbacks: HashSet<String>,
    pub callback_answers: Vec<(String, String)>,
    pub commands: Vec<(String, String)>,

    pub calls: HashMap<String, usize>,
    pub violations: Vec<String>,
    /// The last requests, for the report of a failing test.
    log: VecDeque<String>,

    pub next_faults: HashMap<String, VecDeque<Fault>>,
    pub standing_faults: HashMap<String, Fault>,
    pub chat_faults: HashMap<i64, Fault>,
    pub limiter: Limiter,
}

const LOGGED_REQUESTS: usize = 200;

impl State {
    pub fn new(chat: i64) -> State {
        State {
            updates: VecDeque::new(),
            next_update: 700_000_001,
            next_message: 101,
            allowed_updates: None,
            newest_poll: 0,
            webhook: false,
            chats: HashSet::from([chat]),
            topics: HashSet::new(),
            written: HashSet::new(),
            sent: Vec::new(),
            cleared: 0,
            callbacks: HashSet::new(),
            callback_answers: Vec::new(),
            commands: Vec::new(),
            calls: HashMap::new(),
            violations: Vec::new(),
            log: VecDeque::new(),
            next_faults: HashMap::new(),
            standing_faults: HashMap::new(),
            chat_faults: HashMap::new(),
            limiter: Limiter::default(),
        }
    }

    pub fn add_chat(&mut self, chat: i64) {
        self.chats.insert(chat);
    }

    pub fn add_topic(&mut self, chat: i64, topic: i64) {
        self.topics.insert((chat, topic));
    }

    pub fn note_request(&mut self, line: String) {
        self.log.truncate(LOGGED_REQUESTS - 1);
        self.log.push_front(line);
    }

    /// Takes the fault that is queued for this request, if any.
    pub fn take_fault(&mut self, method: &str, params: &Params) -> Option<Fault> {
        let next = self.next_faults.get_mut(method);
        if let Some(fault) = next.and_then(VecDeque::pop_front) {
            return Some(fault);
        }
        let chat = int(params, "chat_id").and_then(|chat| self.chat_faults.get(&chat));
        let standing = || {
            let faults = &self.standing_faults;
            faults.get(method).or_else(|| faults.get(ANY))
        };
        chat.or_else(standing).cloned()
    }

    // Updates.

    /// Queues a text message of a user, unless the bot's `allowed_updates` exclude messages.
    pub fn push_message(&mut self, chat: i64, user: i64, text: &str, date: i64) -> i64 {
        self.add_chat(chat);
        let message = self.user_message(chat, user, text, date);
        self.push_update("message", message)
    }

    /// Queues `json` as it is, but for `UPDATE_ID`, which becomes the number that is returned.
    pub fn push_raw(&mut self, json: &str) -> i64 {
        let id = self.new_update_id();
        let json = json.replace("UPDATE_ID", &id.to_string());
        self.updates.push_back((id, json));
        id
    }

    /// Confirms the updates before `offset`; a negative one keeps only that many from the end.
    pub fn confirm(&mut self, offset: i64) {
        if offset < 0 {
            let keep = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            let surplus = self.updates.len().saturating_sub(keep);
            self.updates.drain(..surplus);
        } else {
            self.updates.retain(|(id, _)| *id >= offset);
        }
    }

    pub fn allow(&mut self, kinds: &[Json]) {
        let kinds = kinds.iter().filter_map(|k| k.str().map(str::to_owned));
        self.allowed_updates = Some(kinds.collect());
    }

    /// Returns up to `limit` updates as a JSON array.
    pub fn batch(&self, limit: usize) -> String {
        let updates: Vec<&str> = self.updates.iter().map(|(_, json)| json.as_str()).collect();
        format!("[{}]", updates[..limit.min(updates.len())].join(","))
    }

    pub fn unconfirmed(&self) -> usize {
        self.updates.len()
    }

    pub fn forget_updates(&mut self) {
        self.updates.clear();
    }

    pub fn push_update(&mut self, kind: &str, content: Json) -> i64 {
        let id = self.new_update_id();
        let wanted = self.allowed_updates.as_ref();
        // As on the real server, an empty list means the default, which includes both kinds.
        if wanted.is_none_or(|kinds| kinds.is_empty() || kinds.iter().any(|k| k == kind)) {
            let update = object([("update_id", id.into()), (kind, content)]);
            self.updates.push_back((id, update.to_string()));
        }
        id
    }

    /// Returns the number of the next update.
    pub fn unconfirmed_id(&self) -> i64 {
        self.next_update
    }

    fn new_update_id(&mut self) -> i64 {
        self.next_update += 1;
        self.next_update - 1
    }

    fn user_message(&mut self, chat: i64, user: i64, text: &str, date: i64) -> Json {
        let id = self.new_message_id();
        self.written.insert((chat, id));
        let mut message = vec![
            ("message_id".to_owned(), id.into()),
            ("from".to_owned(), user_json(user)),
            ("chat".to_owned(), chat_json(chat)),
            ("date".to_owned(), date.into()),
            ("text".to_owned(), text.into()),
        ];
        if text.starts_with('/') {
            let command = text.split_whitespace().next().unwrap_or_default();
            let length = command.encode_utf16().count() as i64;
            let entity = object([
                ("offset", 0.into()),
                ("length", length.into()),
                ("type", "bot_command".into()),
            ]);
            message.push(("entities".to_owned(), Json::Array(vec![entity])));
        }
        Json::Object(message)
    }

    pub fn new_message_id(&mut self) -> i64 {
        self.next_message += 1;
        self.next_message - 1
    }

    // Methods.

    pub fn send_message(&mut self, params: &Params) -> Result<Json, Answer> {
        let chat = self.known_chat(params)?;
        let topic = self.known_topic(chat, params)?;
        let (html, text) = read_text(params)?;
        let reply_to = self.reply_target(chat, params)?;
        Ok(self.put(params, (chat, topic, reply_to), (html, text), None))
    }

    /// Adds a message to a chat.
    pub fn put(
        &mut self,
        params: &Params,
        (chat, topic, reply_to): (i64, Option<i64>, Option<i64>),
        (html, text): (String, String),
        photo: Option<Photo>,
    ) -> Json {
        let message_id = self.new_message_id();
        self.sent.push(Sent {
            chat,
            message_id,
            text,
            html,
            silent: flag(params, "disable_notification"),
            reply_to,
            topic,
            photo,
            buttons: buttons(params),
            edits: Vec::new(),
            deleted: false,
            date: unix_now(),
            at: Instant::now(),
        });
        message_json(&self.sent[self.sent.len() - 1])
    }

    pub fn edit_message_text(&mut self, params: &Params) -> Result<Json, Answer> {
        let chat = self.known_chat(params)?;
        let id = int(params, "message_id").ok_or_else(|| bad_request("message_id is missing"))?;
        if self.written.contains(&(chat, id)) {
            return Err(bad_request("message can't be edited"));
        }
        let (html, text) = read_text(params)?;
        let buttons = buttons(params);
        let sent = self.sent.iter_mut();
        let message = { sent }.find(|m| m.chat == chat && m.message_id == id && !m.deleted);
        let message = message.ok_or_else(|| bad_request("message to edit not found"))?;
        if message.photo.is_some() {
            return Err(bad_request("there is no text in the message to edit"));
        }
        if message.latest_html() == html && message.buttons == buttons {
            return Err(bad_request(
                "message is not modified: specified new message content and reply markup are \
                 exactly the same as a current content and reply markup of the message",
            ));
        }
        message.buttons = buttons;
        message.edits.push(Edit {
            text,
            html,
            at: Instant::now(),
        });
        Ok(message_json(message))
    }

    pub fn set_my_commands(&mut self, params: &Params) -> Result<Json, Answer> {
        let commands = get(params, "commands").and_then(Json::array);
        let commands = commands.ok_or_else(|| bad_request("commands are missing"))?;
        let text = |command: &Json, key| {
            let text = command.get(key).and_then(Json::str);
            text.unwrap_or_default().to_owned()
        };
        self.commands = commands
            .iter()
            .map(|c| (text(c, "command"), text(c, "description")))
            .collect();
        Ok(true.into())
    }

    /// Counts the request towards the rate limits, if they are on.
    pub fn limit(&mut self, method: &str, params: &Params) -> Result<(), Answer> {
        let counts = method.starts_with("send") || method.starts_with("edit");
        match int(params, "chat_id").filter(|_| counts) {
            Some(chat) => self.limiter.take(chat).map_err(Answer::too_many_requests),
            None => Ok(()),
        }
    }

    pub fn known_topic(&self, chat: i64, params: &Params) -> Result<Option<i64>, Answer> {
        let topic = int(params, "message_thread_id");
        if topic.is_some_and(|topic| !self.topics.contains(&(chat, topic))) {
            return Err(bad_request("message thread not found"));
        }
        Ok(topic)
    }

    pub fn known_chat(&self, params: &Params) -> Result<i64, Answer> {
        match get(params, "chat_id") {
            None => Err(bad_request("chat_id is empty")),
            Some(Json::Int(chat)) if self.chats.contains(chat) => Ok(*chat),
            Some(_) => Err(bad_request("chat not found")),
        }
    }

    pub fn reply_target(&self, chat: i64, params: &Params) -> Result<Option<i64>, Answer> {
        let Some(reply) = get(params, "reply_parameters") else {
            return Ok(None);
        };
        let id = reply.get("message_id").and_then(Json::int).unwrap_or(0);
        let ours = |m: &Sent| m.chat == chat && m.message_id == id;
        if self.written.contains(&(chat, id)) || self.sent.iter().any(ours) {
            return Ok(Some(id));
        }
        let allowed = reply.get("allow_sending_without_reply");
        if allowed.and_then(Json::bool) == Some(true) {
            return Ok(None);
        }
        Err(bad_request("message to be replied not found"))
    }

    // For the report of a failing test.

    pub fn report(&self) -> String {
        let mut report = String::from("requests:\n");
        for line in self.log.iter().rev() {
            report.push_str(&format!("  {line}\n"));
        }
        report.push_str("messages:\n");
        for message in &self.sent[self.cleared..] {
            report.push_str(&format!("  {message:?}\n"));
        }
        report.push_str(&format!(
            "violations: {:?}, updates not confirmed: {}",
            self.violations,
            self.updates.len()
        ));
        report
    }
}

pub fn get<'a>(params: &'a Params, name: &str) -> Option<&'a Json> {
    params.iter().find(|(n, _)| n == name).map(|(_, v)| v)
}

pub fn int(params: &Params, name: &str) -> Option<i64> {
    get(params, name).and_then(Json::int)
}

pub fn flag(params: &Params, name: &str) -> bool {
    get(params, name).and_then(Json::bool).unwrap_or(false)
}

pub fn str<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    get(params, name).and_then(Json::str)
}

/// Returns the bot as `getMe` describes it.
pub fn bot_json() -> Json {
    object([
        ("id", 987_654.into()),
        ("is_bot", true.into()),
        ("first_name", "sitemon test".into()),
        ("username", BOT_NAME.into()),
    ])
}

pub fn user_json(user: i64) -> Json {
    object([
        ("id", user.into()),
        ("is_bot", false.into()),
        ("first_name", "Ada".into()),
    ])
}

pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs() as i64)
}

/// Reads the text, as sent and as users see it.
fn read_text(params: &Params) -> Result<(String, String), Answer> {
    let (raw, text) = read_html(params, "text")?;
    if text.trim().is_empty() {
        return Err(bad_request("message text is empty"));
    }
    if text.encode_utf16().count() > 4096 {
        return Err(bad_request("message is too long"));
    }
    Ok((raw, text))
}

/// Reads an HTML parameter, as sent and as users see it.
pub fn read_html(params: &Params, name: &str) -> Result<(String, String), Answer> {
    let raw = str(params, name).unwrap_or_default();
    let text = match str(params, "parse_mode") {
        Some(_) => bot_html::plain_text(raw).map_err(|why| Answer::error(400, &why))?,
        None => raw.to_owned(),
    };
    Ok((raw.to_owned(), text))
}

pub fn buttons(params: &Params) -> Vec<Button> {
    let markup = get(params, "reply_markup");
    let rows = markup.and_then(|m| m.get("inline_keyboard")?.array());
    let buttons = rows.unwrap_or_default().iter().filter_map(Json::array);
    let text = |button: &Json, key| {
        let text = button.get(key).and_then(Json::str);
        text.unwrap_or_default().to_owned()
    };
    buttons
        .flatten()
        .map(|button| Button {
            text: text(button, "text"),
            data: text(button, "callback_data"),
            style: text(button, "style"),
        })
        .collect()
}

pub fn message_json(message: &Sent) -> Json {
    object([
        ("message_id", message.message_id.into()),
        ("from", bot_json()),
        ("chat", chat_json(message.chat)),
        ("date", unix_now().into()),
        ("text", message.latest().into()),
    ])
}

pub fn chat_json(chat: i64) -> Json {
    if chat > 0 {
        return object([
            ("id", chat.into()),
            ("first_name", "Ada".into()),
            ("type", "private".into()),
        ]);
    }
    object([
        ("id", chat.into()),
        ("title", "Family \u{1f3e0} <servers>".into()),
        ("type", "supergroup".into()),
    ])
}

pub fn bad_request(why: &str) -> Answer {
    Answer::error(400, &format!("Bad Request: {why}"))
}
