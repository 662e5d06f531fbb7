//! The objects of the Bot API that are used here, under their own names
//! (<https://core.telegram.org/bots/api>). Unknown fields are skipped.

// The code that nanoserde's derive generates triggers this lint.
#![allow(clippy::question_mark)]

use nanoserde::{DeJson, SerJson};

/// `getUpdates`.
#[derive(SerJson)]
pub struct GetUpdates {
    pub offset: Option<i64>,
    /// 1 to 100.
    pub limit: u32,
    /// In seconds; Telegram accepts 0 to 50.
    pub timeout: u64,
    /// Always sent, because Telegram keeps the previous value otherwise.
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
    /// If it is missing, Telegram removes the buttons.
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

/// The envelope of each response, without its `result`.
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
    /// In seconds.
    pub retry_after: Option<i64>,
    pub migrate_to_chat_id: Option<i64>,
}

/// The response to `getMe`.
#[derive(DeJson)]
pub struct RawMe {
    pub result: RawBot,
}

/// `User`, for a bot.
#[derive(DeJson)]
pub struct RawBot {
    pub id: i64,
    pub username: String,
}

/// The response to `getUpdates`.
#[derive(DeJson)]
pub struct RawUpdates {
    pub result: Vec<RawUpdate>,
}

/// `Update`. Both fields are missing if the update is of another kind.
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
    /// If it is too old for the bot, has only `chat`, `message_id` and a `date` of 0.
    pub message: Option<RawMessage>,
    pub data: Option<String>,
}

/// `Message`. Fields that may be missing, or that aren't essential, are optional.
#[derive(DeJson)]
pub struct RawMessage {
    pub message_id: Option<i64>,
    pub message_thread_id: Option<i64>,
    /// Whether `message_thread_id` is a topic of a forum.
    pub is_topic_message: Option<bool>,
    pub date: Option<i64>,
    pub chat: Option<RawPeer>,
    pub from: Option<RawPeer>,
    pub text: Option<String>,
    pub entities: Option<Vec<RawEntity>>,
    /// Id of the supergroup that this group has become.
    pub migrate_to_chat_id: Option<i64>,
    /// Id of the group that this supergroup was.
    pub migrate_from_chat_id: Option<i64>,
}

/// `MessageEntity`. Offset and length count UTF-16 code units.
#[derive(Clone, DeJson)]
pub struct RawEntity {
    #[nserde(rename = "type")]
    pub kind: String,
    pub offset: i64,
    pub length: i64,
}

/// `Chat` or `User`. Ids may exceed 32 bits.
#[derive(DeJson)]
pub struct RawPeer {
    pub id: i64,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub is_forum: Option<bool>,
}

/// The response to all methods that send or edit a message.
#[derive(DeJson)]
pub struct RawSent {
    pub result: RawMessageId,
}

/// `Message`, reduced to the id of one that the bot sent.
#[derive(DeJson)]
pub struct RawMessageId {
    pub message_id: i64,
}

/// The id of an update, never negative. (nanoserde wraps numbers over `i64::MAX` to negative ones.)
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
