//! The answers of the fake Bot API, and their bytes.

use super::http::answer;
use super::json::{Json, object};

/// An answer of the Bot API.
pub struct Answer {
    code: u16,
    json: String,
    retry_after: Option<u32>,
}

impl Answer {
    pub fn ok(result: Json) -> Answer {
        Answer::ok_verbatim(&result.to_string())
    }

    /// Puts `result` into the answer as it is, well-formed or not.
    pub fn ok_verbatim(result: &str) -> Answer {
        Answer {
            code: 200,
            json: format!("{{\"ok\":true,\"result\":{result}}}"),
            retry_after: None,
        }
    }

    pub fn error(code: u16, description: &str) -> Answer {
        Answer::with_parameter(code, description, None)
    }

    pub fn too_many_requests(retry_after: u32) -> Answer {
        let mut answer = Answer::with_parameter(
            429,
            &format!("Too Many Requests: retry after {retry_after}"),
            Some(("retry_after", retry_after.into())),
        );
        answer.retry_after = Some(retry_after);
        answer
    }

    pub fn migrated(to: i64) -> Answer {
        Answer::with_parameter(
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            Some(("migrate_to_chat_id", to)),
        )
    }

    pub fn other_poller() -> Answer {
        Answer::error(
            409,
            "Conflict: terminated by other getUpdates request; make sure that only one bot \
             instance is running",
        )
    }

    pub fn webhook_is_active() -> Answer {
        Answer::error(
            409,
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to \
             delete the webhook first",
        )
    }

    /// Returns the whole HTTP answer.
    pub fn bytes(&self) -> Vec<u8> {
        let mut headers = vec![("Content-Type", "application/json")];
        let seconds = self.retry_after.map(|s| s.to_string());
        if let Some(seconds) = &seconds {
            headers.push(("Retry-After", seconds));
        }
        answer(self.code, &headers, self.json.as_bytes())
    }

    fn with_parameter(code: u16, description: &str, parameter: Option<(&str, i64)>) -> Answer {
        let mut json = vec![
            ("ok".to_owned(), false.into()),
            ("error_code".to_owned(), i64::from(code).into()),
            ("description".to_owned(), description.into()),
        ];
        if let Some((name, value)) = parameter {
            json.push(("parameters".to_owned(), object([(name, value.into())])));
        }
        Answer {
            code,
            json: Json::Object(json).to_string(),
            retry_after: None,
        }
    }
}
