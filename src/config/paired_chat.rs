//! Writes the chat that `sitemon pair` found into the text of a configuration.

/// Returns `text` with the line `chats = [CHAT]` below the header of `[telegram]`.
///
/// # Errors
///
/// If there is no place for it; the message continues the path of the file.
pub fn with_chat(text: &str, chat: i64) -> Result<String, &'static str> {
    if chats(text).is_some() {
        return Err("has `chats` in [telegram] already");
    }
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if !is_header(line) {
            continue;
        }
        let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
        let before = if line.ends_with('\n') { "" } else { end };
        let (head, rest) = text.split_at(at);
        let new = format!("{head}{before}chats = [{chat}]{end}{rest}");
        // The line may have been part of a multi-line string.
        if chats(&new) == Some(vec![Some(chat)]) {
            return Ok(new);
        }
    }
    Err("has no line [telegram]")
}

/// The header `[telegram]` in any notation of TOML.
fn is_header(line: &str) -> bool {
    let inside = line.trim_start().strip_prefix('[');
    let Some((name, rest)) = inside.and_then(|inside| inside.split_once(']')) else {
        return false;
    };
    let names = ["telegram", "\"telegram\"", "'telegram'"];
    let rest = rest.trim();
    names.contains(&name.trim()) && (rest.is_empty() || rest.starts_with('#'))
}

fn chats(text: &str) -> Option<Vec<Option<i64>>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = toml_span::parse(text).ok()?;
    let chats = root.pointer("/telegram/chats")?.as_array();
    Some(chats.map_or_else(Vec::new, |ids| {
        ids.iter().map(|id| id.as_integer()).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_below_the_header_and_nothing_else_changes() {
        for (before, after) in [
            ("[telegram]\n", ""),
            (
                "# mine\n[telegram] # the bot\n",
                "token = \"1:a\" # \"x\"\n\n[agent]\n",
            ),
            (
                "\u{feff}a = \"\"\"\n[telegram]\n\"\"\"\n [ \"telegram\" ]\n",
                "#chats = [1]\n",
            ),
            ("[site]\n[telegram]\n", "[agent]\nchats = [5]"),
        ] {
            let text = format!("{before}{after}");
            let wanted = format!("{before}chats = [-5]\n{after}");
            assert_eq!(with_chat(&text, -5), Ok(wanted));
        }
        let no_end = with_chat("[telegram]", 5);
        assert_eq!(no_end.as_deref(), Ok("[telegram]\nchats = [5]\n"));
        let windows = with_chat("[telegram]\r\ntoken = \"\"\r\n", 5);
        let wanted = "[telegram]\r\nchats = [5]\r\ntoken = \"\"\r\n";
        assert_eq!(windows.as_deref(), Ok(wanted));
    }

    #[test]
    fn without_a_place_there_is_a_reason() {
        for text in ["[telegram]\nchats = []", "telegram = { chats = [1] }"] {
            assert_eq!(with_chat(text, 5), Err("has `chats` in [telegram] already"));
        }
        for text in ["", "telegram.token = \"\"", "telegram = {}", "#[telegram]"] {
            assert_eq!(with_chat(text, 5), Err("has no line [telegram]"), "{text}");
        }
    }
}
