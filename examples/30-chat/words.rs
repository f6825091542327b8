//! What names, rooms and messages may consist of.

/// In characters, as all that is counted here.
pub(crate) const LONGEST_NAME: usize = 20;
pub(crate) const LONGEST_ROOM: usize = 30;
pub(crate) const LONGEST_MESSAGE: usize = 4000;

/// Why a text was not taken: a code for the page, and a sentence for its reader.
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

/// The name that someone asked for, with its white space put in order.
pub(crate) fn name(asked: &str) -> Result<String, Refusal> {
    line(asked, LONGEST_NAME).ok_or_else(|| {
        let text = format!("A name must have 1 to {LONGEST_NAME} characters, all of them visible.");
        Refusal::new("name", text)
    })
}

/// The name of a room, in lower case, so that there is one way to write it.
pub(crate) fn room(asked: &str) -> Result<String, Refusal> {
    let room = line(&asked.to_lowercase(), LONGEST_ROOM);
    room.ok_or_else(|| {
        let text = format!(
            "The name of a room must have 1 to {LONGEST_ROOM} characters, all of them visible."
        );
        Refusal::new("room", text)
    })
}

/// What somebody said, with one kind of line break and without other control characters.
pub(crate) fn message(asked: &str) -> Result<String, Refusal> {
    let text = asked.replace("\r\n", "\n").replace('\r', "\n");
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    let text = text.trim_matches('\n').trim_end();
    let length = text.chars().count();
    if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        Err(Refusal::new("empty", "This message is empty."))
    } else if length > LONGEST_MESSAGE {
        let text =
            format!("A message has at most {LONGEST_MESSAGE} characters; this one has {length}.");
        Err(Refusal::new("too-long", text))
    } else {
        Ok(text.into())
    }
}

/// What two names have in common that look the same at a glance.
pub(crate) fn look(name: &str) -> String {
    let visible = name.chars().filter(|&c| !joins_emoji(c));
    visible.flat_map(char::to_lowercase).collect()
}

fn line(asked: &str, longest: usize) -> Option<String> {
    let words: Vec<_> = asked.split_whitespace().collect();
    let line = words.join(" ");
    let clean = line
        .chars()
        .all(|c| !c.is_control() && (!is_invisible(c) || joins_emoji(c)));
    let seen = line.chars().any(|c| !joins_emoji(c));
    (clean && seen && line.chars().count() <= longest).then_some(line)
}

/// Emoji are made of several characters by these.
fn joins_emoji(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe0f}')
}

/// Characters that take no room, or change the direction of those after them: with them, names look like others.
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
    fn a_name_has_its_white_space_put_in_order() {
        assert_eq!(name("  Grace \u{a0} Hopper\n").unwrap(), "Grace Hopper");
        assert_eq!(name("❤\u{fe0f}").unwrap(), "❤\u{fe0f}");
    }

    #[test]
    fn a_name_that_cannot_be_seen_or_is_too_long_is_refused() {
        let long = "é".repeat(LONGEST_NAME + 1);
        for asked in [
            "",
            " \t",
            "a\u{202e}b",
            "\u{200d}",
            "a\u{0}b",
            "a\u{200b}",
            &long,
        ] {
            assert_eq!(name(asked).unwrap_err().code, "name", "{asked:?}");
        }
        assert!(name(&long[2..]).is_ok());
    }

    #[test]
    fn names_that_look_the_same_are_the_same() {
        assert_eq!(look("ANN\u{200d}"), look("ann"));
        assert_ne!(look("ann"), look("anna"));
    }

    #[test]
    fn a_room_is_written_in_lower_case() {
        assert_eq!(room(" The  Kitchen ").unwrap(), "the kitchen");
        assert_eq!(room("").unwrap_err().code, "room");
    }

    #[test]
    fn a_message_keeps_its_lines_and_loses_its_control_characters() {
        let said = message("\r\na\r\n\tb\u{7}\u{1b}[31m\rc \n\n").unwrap();
        assert_eq!(said, "a\n\tb[31m\nc");
    }

    #[test]
    fn a_message_that_shows_nothing_is_refused() {
        for asked in ["", " \n ", "\u{200b}\u{0}"] {
            assert_eq!(message(asked).unwrap_err().code, "empty", "{asked:?}");
        }
    }

    #[test]
    fn the_longest_message_is_counted_in_characters() {
        assert!(message(&"😀".repeat(LONGEST_MESSAGE)).is_ok());
        let refusal = message(&"x".repeat(LONGEST_MESSAGE + 1)).unwrap_err();
        assert_eq!(refusal.code, "too-long");
        assert!(
            refusal.text.ends_with("this one has 4001."),
            "{}",
            refusal.text
        );
    }
}
