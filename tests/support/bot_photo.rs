//! Pictures in the fake Bot API: `multipart/form-data` (RFC 7578), read strictly, and the methods
//! that send it.

use super::bot_answer::Answer;
use super::bot_api::{Edit, Photo};
use super::bot_state::{Params, State, bad_request, buttons, get, int, message_json, read_html};
use super::json::{Json, object};
use std::time::Instant;

/// Longest caption in characters.
const CAPTION: usize = 1024;

/// Returns the texts of a form, and its files as `{"width","height","size"}`.
pub fn read_form(content_type: &str, body: &[u8]) -> Result<Vec<(String, FormValue)>, String> {
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .filter(|b| {
            (1..=70).contains(&b.len()) && b.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        })
        .ok_or_else(|| format!("no boundary in {content_type:?}"))?;
    let delimiter = format!("--{boundary}");
    let mut rest = body
        .strip_prefix(delimiter.as_bytes())
        .ok_or("the form does not begin with its boundary")?;
    let mut parts = Vec::new();
    while rest != b"--\r\n" && rest != b"--" {
        rest = rest
            .strip_prefix(b"\r\n")
            .ok_or("no line end after the boundary")?;
        let head_end = find(rest, b"\r\n\r\n").ok_or("a part without an end of its head")?;
        let head = std::str::from_utf8(&rest[..head_end]).map_err(|e| e.to_string())?;
        rest = &rest[head_end + 4..];
        let next = format!("\r\n{delimiter}");
        let end = find(rest, next.as_bytes()).ok_or("a part without an end")?;
        parts.push(part(head, &rest[..end])?);
        rest = &rest[end + next.len()..];
    }
    Ok(parts)
}

pub enum FormValue {
    Text(String),
    File(Json),
}

fn part(head: &str, content: &[u8]) -> Result<(String, FormValue), String> {
    let mut lines = head.split("\r\n");
    let disposition = lines.next().unwrap_or_default();
    let rest = disposition
        .strip_prefix("Content-Disposition: form-data; name=\"")
        .ok_or_else(|| format!("a part that begins with {disposition:?}"))?;
    let (name, rest) = rest.split_once('"').ok_or("a name without its end")?;
    if rest.is_empty() {
        let text = String::from_utf8(content.to_vec()).map_err(|e| e.to_string())?;
        return Ok((name.to_owned(), FormValue::Text(text)));
    }
    if !rest.starts_with("; filename=\"") || lines.next() != Some("Content-Type: image/png") {
        return Err(format!("a file with the head {head:?}"));
    }
    Ok((name.to_owned(), FormValue::File(png(content)?)))
}

/// Returns the size of a picture, if Telegram accepts it.
fn png(bytes: &[u8]) -> Result<Json, String> {
    let number = |at: usize| -> Option<i64> {
        let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(i64::from(u32::from_be_bytes(bytes)))
    };
    let whole = bytes.starts_with(b"\x89PNG\r\n\x1a\n")
        && bytes.get(12..16) == Some(b"IHDR")
        && bytes.ends_with(b"IEND\xae\x42\x60\x82");
    let (Some(width), Some(height), true) = (number(16), number(20), whole) else {
        return Err("a picture that is no PNG".to_owned());
    };
    if bytes.len() > 10 << 20
        || width + height > 10_000
        || width.max(height) > 20 * width.min(height)
    {
        return Err(format!("PHOTO_INVALID_DIMENSIONS {width}x{height}"));
    }
    Ok(object([
        ("width", width.into()),
        ("height", height.into()),
        ("size", (bytes.len() as i64).into()),
    ]))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

impl State {
    pub fn send_photo(&mut self, params: &Params) -> Result<Json, Answer> {
        let chat = self.known_chat(params)?;
        let topic = self.known_topic(chat, params)?;
        let photo = photo(params, "photo")?;
        let (html, text) = caption(params)?;
        let reply_to = self.reply_target(chat, params)?;
        let place = (chat, topic, reply_to);
        Ok(self.put(params, place, (html, text), Some(photo)))
    }

    pub fn edit_message_media(&mut self, params: &Params) -> Result<Json, Answer> {
        let chat = self.known_chat(params)?;
        let id = int(params, "message_id").ok_or_else(|| bad_request("message_id is missing"))?;
        let media = get(params, "media")
            .and_then(Json::object)
            .unwrap_or_default();
        let text = |name| get(media, name).and_then(Json::str).unwrap_or_default();
        let file = text("media").strip_prefix("attach://");
        let (Some(file), "photo") = (file, text("type")) else {
            return Err(bad_request("wrong media"));
        };
        let photo = photo(params, file)?;
        let (html, text) = caption(media)?;
        let buttons = buttons(params);
        let sent = self.sent.iter_mut();
        let message = { sent }.find(|m| m.chat == chat && m.message_id == id);
        let message = message.ok_or_else(|| bad_request("message to edit not found"))?;
        message.photo = Some(photo);
        message.buttons = buttons;
        message.edits.push(Edit {
            text,
            html,
            at: Instant::now(),
        });
        Ok(message_json(message))
    }
}

fn photo(params: &Params, name: &str) -> Result<Photo, Answer> {
    let number = |key| get(params, name).and_then(|p| p.get(key)?.int());
    match (number("width"), number("height"), number("size")) {
        (Some(width), Some(height), Some(size)) => Ok(Photo {
            width,
            height,
            size,
        }),
        _ => Err(bad_request("there is no photo in the request")),
    }
}

fn caption(params: &Params) -> Result<(String, String), Answer> {
    let (html, text) = read_html(params, "caption")?;
    if text.encode_utf16().count() > CAPTION {
        return Err(bad_request("message caption is too long"));
    }
    Ok((html, text))
}
