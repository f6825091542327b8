//! Validation of names, rooms and messages.

/// The maximum length of a name, in characters like the other limits here.
pub(crate) const MAX_NAME: usize = 20;
pub(crate) const MAX_ROOM: usize = 30;
pub(crate) const MAX_MESSAGE: usize = 4000;

/// The reason of a refusal: a code for the page, and a sentence for its user.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Refusal {
        let text = text.into();
        Refusal { code, text }
    }
}

/// Returns a name with normalized white space.
pub(crate) fn name(input: &str) -> Result<String, Refusal> {
    line(input, MAX_NAME).ok_or_else(|| {
        let text = format!("A name must have 1 to {MAX_NAME} characters, all of them visible.");
        Refusal::new("name", text)
    })
}

/// Returns the name of a room in lower case, so that it has only one spelling.
pub(crate) fn room(input: &str) -> Result<String, Refusal> {
    let room = line(&input.to_lowercase(), MAX_ROOM);
    room.ok_or_else(|| {
        let text = format!(
            "The name of a room must have 1 to {MAX_ROOM} characters, all of them visible."
        );
        Refusal::new("room", text)
    })
}

/// Returns the text of a message with normalized line breaks and without other control characters.
pub(crate) fn message(input: &str) -> Result<String, Refusal> {
    let text = input.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    let text = text.trim_matches('\n').trim_end();
    let length = text.chars().count();
    if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        Err(Refusal::new("empty", "This message is empty."))
    } else if length > MAX_MESSAGE {
        let text =
            format!("A message has at most {MAX_MESSAGE} characters; this one has {length}.");
        Err(Refusal::new("too-long", text))
    } else {
        Ok(text.into())
    }
}

/// Returns a key that is equal for names that look the same at a glance.
pub(crate) fn lookalike_key(name: &str) -> String {
    let visible = name.chars().filter(|&c| !joins_emoji(c));
    visible.flat_map(char::to_lowercase).collect()
}

fn line(input: &str, longest: usize) -> Option<String> {
    let parts: Vec<_> = input.split_whitespace().collect();
    let line = parts.join(" ");
    let clean = line
        .chars()
        .all(|c| !c.is_control() && (!is_invisible(c) || joins_emoji(c)));
    let seen = line.chars().any(|c| !joins_emoji(c));
    (clean && seen && line.chars().count() <= longest).then_some(line)
}

/// Returns whether a character joins others to one emoji.
fn joins_emoji(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe0f}')
}

/// Returns whether a character has no width, or changes the direction of the following ones. Such characters
/// make names look like others.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_white_space_of_a_name_is_normalized() {
        assert_eq!(name("  Grace \u{a0} Hopper\n").unwrap(), "Grace Hopper");
        assert_eq!(name("❤\u{fe0f}").unwrap(), "❤\u{fe0f}");
    }

    #[test]
    fn an_invisible_or_too_long_name_is_refused() {
        let long = "é".repeat(MAX_NAME + 1);
        for input in [
            "",
            " \t",
            "a\u{202e}b",
            "\u{200d}",
            "a\u{0}b",
            "a\u{200b}",
            &long,
        ] {
            assert_eq!(name(input).unwrap_err().code, "name", "{input:?}");
        }
        assert!(name(&long[2..]).is_ok());
    }

    #[test]
    fn names_that_look_the_same_are_equal() {
        assert_eq!(lookalike_key("ANN\u{200d}"), lookalike_key("ann"));
        assert_ne!(lookalike_key("ann"), lookalike_key("anna"));
    }

    #[test]
    fn the_name_of_a_room_is_lower_case() {
        assert_eq!(room(" The  Kitchen ").unwrap(), "the kitchen");
        assert_eq!(room("").unwrap_err().code, "room");
    }

    #[test]
    fn line_breaks_of_a_message_are_kept_and_control_characters_removed() {
        let said = message("\r\na\r\n\tb\u{7}\u{1b}[31m\rc \n\n").unwrap();
        assert_eq!(said, "a\n\tb[31m\nc");
    }

    #[test]
    fn an_invisible_message_is_refused() {
        for input in ["", " \n ", "\u{200b}\u{0}"] {
            assert_eq!(message(input).unwrap_err().code, "empty", "{input:?}");
        }
    }

    #[test]
    fn the_length_of_a_message_is_counted_in_characters() {
        assert!(message(&"😀".repeat(MAX_MESSAGE)).is_ok());
        let refusal = message(&"x".repeat(MAX_MESSAGE + 1)).unwrap_err();
        assert_eq!(refusal.code, "too-long");
        assert!(
            refusal.text.ends_with("this one has 4001."),
            "{}",
            refusal.text
        );
    }
}
