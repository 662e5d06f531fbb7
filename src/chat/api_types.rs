//! The Bot API's objects as far as we speak them, by its own names
//! (<https://core.telegram.org/bots/api>). Unknown fields are skipped.

// nanoserde's derive writes such blocks.
#![allow(clippy::question_mark)]

use nanoserde::{DeJson, SerJson};

/// `getUpdates`.
#[derive(SerJson)]
pub struct GetUpdates {
    pub offset: Option<i64>,
    /// 1 to 100.
    pub limit: u32,
    /// Seconds; Telegram takes 0 to 50.
    pub timeout: u64,
    /// Remembered by Telegram until it is changed: always sent.
    pub allowed_updates: Vec<String>,
}

/// `sendMessage`.
#[derive(SerJson)]
pub struct SendMessage {
    pub chat_id: i64,
    pub message_thread_id: Option<i64>,
    pub text: String,
    pub parse_mode: Option<String>,
    pub disable_notification: bool,
    pub reply_parameters: Option<ReplyParameters>,
    pub link_preview_options: LinkPreviewOptions,
    pub reply_markup: Option<InlineKeyboardMarkup>,
}

/// `editMessageText`.
#[derive(SerJson)]
pub struct EditMessageText {
    pub chat_id: i64,
    pub message_id: i64,
    pub text: String,
    pub parse_mode: Option<String>,
    pub link_preview_options: LinkPreviewOptions,
    /// Missing: the buttons go.
    pub reply_markup: Option<InlineKeyboardMarkup>,
}

/// `InputMediaPhoto`, for `editMessageMedia`.
#[derive(SerJson)]
pub struct InputMediaPhoto {
    #[nserde(rename = "type")]
    pub kind: String,
    /// `attach://` and the name of the part that holds the file.
    pub media: String,
    pub caption: String,
    pub parse_mode: Option<String>,
}

/// `InlineKeyboardMarkup`.
#[derive(SerJson)]
pub struct InlineKeyboardMarkup {
    pub inline_keyboard: Vec<Vec<InlineKeyboardButton>>,
}

/// `InlineKeyboardButton`.
#[derive(SerJson)]
pub struct InlineKeyboardButton {
    pub text: String,
    /// 1 to 64 bytes.
    pub callback_data: String,
    /// `danger` or `success` (Bot API 9.4).
    pub style: Option<String>,
}

/// `answerCallbackQuery`.
#[derive(SerJson)]
pub struct AnswerCallbackQuery {
    pub callback_query_id: String,
    /// 0 to 200 characters.
    pub text: Option<String>,
}

/// `ReplyParameters`.
#[derive(SerJson)]
pub struct ReplyParameters {
    pub message_id: i64,
    pub allow_sending_without_reply: bool,
}

/// `LinkPreviewOptions`.
#[derive(SerJson)]
pub struct LinkPreviewOptions {
    pub is_disabled: bool,
}

/// `setMyCommands`.
#[derive(SerJson)]
pub struct SetMyCommands {
    pub commands: Vec<BotCommand>,
}

/// `BotCommand`.
#[derive(SerJson)]
pub struct BotCommand {
    /// Without the slash: 1 to 32 of `a-z 0-9 _`.
    pub command: String,
    pub description: String,
}

/// Every answer, without its `result`.
#[derive(DeJson)]
pub struct Envelope {
    pub ok: bool,
    pub error_code: Option<i64>,
    pub description: Option<String>,
    pub parameters: Option<ResponseParameters>,
}

/// `ResponseParameters`.
#[derive(DeJson, Default)]
pub struct ResponseParameters {
    /// Seconds.
    pub retry_after: Option<i64>,
    pub migrate_to_chat_id: Option<i64>,
}

/// The answer of `getMe`.
#[derive(DeJson)]
pub struct RawMe {
    pub result: RawBot,
}

/// `User`, a bot.
#[derive(DeJson)]
pub struct RawBot {
    pub id: i64,
    pub username: String,
}

/// The answer of `getUpdates`.
#[derive(DeJson)]
pub struct RawUpdates {
    pub result: Vec<RawUpdate>,
}

/// `Update`; a kind that is not ours has neither.
#[derive(DeJson)]
pub struct RawUpdate {
    pub update_id: UpdateId,
    pub message: Option<RawMessage>,
    pub callback_query: Option<RawCallback>,
}

/// `CallbackQuery`.
#[derive(DeJson)]
pub struct RawCallback {
    pub id: Option<String>,
    pub from: Option<RawPeer>,
    /// Too old for us to see: only `chat`, `message_id` and a `date` of 0.
    pub message: Option<RawMessage>,
    pub data: Option<String>,
}

/// `Message`; whatever may be missing or of no use to us is optional.
#[derive(DeJson)]
pub struct RawMessage {
    pub message_id: Option<i64>,
    pub message_thread_id: Option<i64>,
    /// Its `message_thread_id` is a topic of a forum.
    pub is_topic_message: Option<bool>,
    pub date: Option<i64>,
    pub chat: Option<RawPeer>,
    pub from: Option<RawPeer>,
    pub text: Option<String>,
    pub entities: Option<Vec<RawEntity>>,
    /// The group has become a supergroup with this id…
    pub migrate_to_chat_id: Option<i64>,
    /// … and this is the supergroup that was the group of this id.
    pub migrate_from_chat_id: Option<i64>,
}

/// `MessageEntity`. Places count UTF-16 units.
#[derive(Clone, DeJson)]
pub struct RawEntity {
    #[nserde(rename = "type")]
    pub kind: String,
    pub offset: i64,
    pub length: i64,
}

/// `Chat` or `User`. Ids go beyond 32 bits.
#[derive(DeJson)]
pub struct RawPeer {
    pub id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub is_forum: Option<bool>,
}

/// The answer of all that send or edit a message.
#[derive(DeJson)]
pub struct RawSent {
    pub result: RawMessageId,
}

/// `Message`, of our own.
#[derive(DeJson)]
pub struct RawMessageId {
    pub message_id: i64,
}

/// An update's id: never negative. (nanoserde lets a number over `i64::MAX` turn negative.)
pub struct UpdateId(pub i64);

impl DeJson for UpdateId {
    fn de_json(
        state: &mut nanoserde::DeJsonState,
        input: &mut std::str::Chars,
    ) -> Result<Self, nanoserde::DeJsonErr> {
        let id = i64::de_json(state, input)?;
        if id < 0 {
            return Err(state.err_range("update_id"));
        }
        Ok(UpdateId(id))
    }
}
