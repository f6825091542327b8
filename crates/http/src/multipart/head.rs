//! Parser for the headers of a part and their parameters.

use crate::MultipartError;

/// The decoded headers of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartHead {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
}

/// Maximum number of fields of a part. Only `Content-Disposition` and `Content-Type` are used (RFC 7578, section 4.8).
const MAX_FIELDS: usize = 16;

/// Parses the fields of a part, up to the empty line.
pub(super) fn parse(bytes: &[u8]) -> Result<PartHead, MultipartError> {
    let malformed = MultipartError::malformed;
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let parsed = httparse::parse_headers(bytes, &mut fields);
    let Ok(httparse::Status::Complete((_, fields))) = parsed else {
        return Err(malformed("the headers of a part are malformed"));
    };
    let field = |name: &str| {
        let field = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        match field {
            Some(field) => str::from_utf8(field.value)
                .map(Some)
                .map_err(|_| malformed("a header of a part is not UTF-8")),
            None => Ok(None),
        }
    };
    let disposition =
        field("content-disposition")?.ok_or(malformed("a part has no Content-Disposition"))?;
    let (kind, parameters) = disposition.split_once(';').unwrap_or((disposition, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(malformed("a part is not form-data"));
    }
    let name = text(parameters, "name", "name*")?.ok_or(malformed("a part has no name"))?;
    Ok(PartHead {
        name,
        file_name: text(parameters, "filename", "filename*")?,
        content_type: field("content-type")?.map(str::to_owned),
    })
}

impl PartHead {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    pub(super) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }
}

/// Returns the boundary of a `Content-Type` (RFC 2046, section 5.1.1).
///
/// The RFC allows fewer characters, but clients send others, such as `*****`, so all printable characters are accepted.
pub(super) fn boundary(content_type: &str) -> Result<String, MultipartError> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::NotMultipart);
    }
    let boundary = parameter(parameters, "boundary", |_| true).ok_or(MultipartError::NoBoundary)?;
    let valid = (1..=70).contains(&boundary.len())
        && boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !boundary.ends_with(' ');
    match valid {
        true => Ok(boundary),
        false => Err(MultipartError::NoBoundary),
    }
}

/// Returns a text parameter of `Content-Disposition`: the extended value with its charset (`filename*=utf-8''na%C3%AFve.txt`) if there is
/// one, otherwise the plain value (RFC 6266, section 4.3).
///
/// # Errors
/// [`MultipartError::Malformed`] if there is only an extended value and it cannot be decoded. It is not ignored, because a file without a
/// file name would be treated as a field.
fn text(
    parameters: &str,
    name: &str,
    extended_name: &str,
) -> Result<Option<String>, MultipartError> {
    // Other backslashes are literal: file names of some systems contain them, and browsers do not escape them.
    let value_of = |name| parameter(parameters, name, |escaped| escaped == '"');
    let plain = value_of(name);
    let Some(extended) = value_of(extended_name) else {
        return Ok(plain);
    };
    let undecodable = MultipartError::malformed("an extended parameter cannot be decoded");
    decode_extended(&extended)
        .or(plain)
        .map(Some)
        .ok_or(undecodable)
}

/// Decodes an extended value: charset, language and percent-encoded text (RFC 8187, section 3.2).
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, text) = rest.split_once('\'')?;
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    if charset.eq_ignore_ascii_case("utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// Returns the value of the first parameter with this name. `escapes` returns `true` for characters that a backslash escapes in quotes.
fn parameter(parameters: &str, name: &str, escapes: impl Fn(char) -> bool) -> Option<String> {
    const BLANK: [char; 2] = [' ', '\t'];
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (key, after) = rest.split_at(rest.find(['=', ';'])?);
        let Some(after) = after.strip_prefix('=') else {
            // The parameter has no value.
            rest = after;
            continue;
        };
        let value;
        (value, rest) = split_value(after.trim_start_matches(BLANK), &escapes)?;
        if key.trim_end_matches(BLANK).eq_ignore_ascii_case(name) {
            return Some(value);
        }
    }
}

/// Splits a quoted or unquoted value from the rest; `None` if the closing quote is missing.
fn split_value(text: &str, escapes: impl Fn(char) -> bool) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((value.trim_end().to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => {
                let escaped = chars.next_if(|(_, next)| escapes(*next));
                value.push(escaped.map_or(char, |(_, escaped)| escaped));
            }
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Result<PartHead, MultipartError> {
        parse(format!("{fields}\r\n\r\n").as_bytes())
    }

    fn names(disposition: &str) -> Option<(String, Option<String>)> {
        let head = head(&format!("Content-Disposition: {disposition}")).ok()?;
        Some((head.name, head.file_name))
    }

    #[test]
    fn names_in_the_forms_that_clients_send_are_parsed() {
        let cases = [
            (r#"form-data; name="a""#, "a", None),
            ("Form-Data;name=a", "a", None),
            (
                r#"form-data; name="a b;c=d"; filename="x.txt""#,
                "a b;c=d",
                Some("x.txt"),
            ),
            (r#"form-data; filename=""; NAME="a""#, "a", Some("")),
            (
                r#"form-data; name="a\"b"; filename="C:\dir\x.txt""#,
                "a\"b",
                Some(r"C:\dir\x.txt"),
            ),
            (
                r#"form-data; name="ä"; filename="日.txt""#,
                "ä",
                Some("日.txt"),
            ),
            (r#"form-data; xname="b"; name="a""#, "a", None),
            (r#"form-data; name = "a" ; filename	=	"b""#, "a", Some("b")),
            (r#"form-data ;name= a; filename =b"#, "a", Some("b")),
            (
                r#"form-data; flag; name="a"x; filename="b""#,
                "a",
                Some("b"),
            ),
            (r#"form-data; name="a"; name="b""#, "a", None),
        ];
        for (disposition, name, file_name) in cases {
            let expected = (name.to_owned(), file_name.map(str::to_owned));
            assert_eq!(names(disposition), Some(expected), "{disposition}");
        }
        for bad in [
            "form-data",
            "form-data; name",
            r#"form-data; name="a"#,
            "inline; name=a",
        ] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_with_a_charset_is_decoded() {
        let cases = [
            ("name=a; filename*=utf-8''na%C3%AFve.txt", "a", "naïve.txt"),
            ("name=a; filename*=UTF-8'en'x%20y", "a", "x y"),
            ("name=a; filename*=iso-8859-1''na%EFve", "a", "naïve"),
            ("name=a; FileName* = \"utf-8''%E6%97%A5\"", "a", "日"),
            ("name*=utf-8''gr%C3%B6%C3%9Fe; filename=b", "größe", "b"),
            // The extended value has precedence in any position, unless it cannot be decoded.
            ("name=a; filename=x; filename*=utf-8''y", "a", "y"),
            ("name=a; filename*=utf-8''y; filename=x", "a", "y"),
            ("name=a; filename*=koi8-r''%C6; filename=x", "a", "x"),
            ("name=a; filename*=utf-8''%FF; filename=x", "a", "x"),
        ];
        for (parameters, name, file_name) in cases {
            let expected = (name.to_owned(), Some(file_name.to_owned()));
            let found = names(&format!("form-data; {parameters}"));
            assert_eq!(found, Some(expected), "{parameters}");
        }
        for bad in [
            "name=a; filename*=koi8-r''%C6",
            "name=a; filename*=utf-8''%FF",
            "name=a; filename*=x",
            "name*=x",
        ] {
            assert_eq!(names(&format!("form-data; {bad}")), None, "{bad}");
        }
    }

    #[test]
    fn the_type_of_a_part_is_kept() {
        let disposition = "content-disposition: form-data; name=a";
        let with = head(&format!("Content-Type: image/png\r\n{disposition}")).unwrap();
        assert_eq!(with.content_type(), Some("image/png"));
        assert_eq!(head(disposition).unwrap().content_type(), None);
        let many = format!("{disposition}\r\n{}a: b", "x: y\r\n".repeat(20));
        assert!(head(&many).is_err());
    }

    #[test]
    fn a_boundary_is_any_printable_text_of_up_to_70_bytes() {
        let of = |parameters: &str| boundary(&format!("multipart/form-data{parameters}"));
        assert_eq!(of("; boundary=abc"), Ok("abc".into()));
        assert_eq!(of("; charset=utf-8; boundary=\"a b\""), Ok("a b".into()));
        assert_eq!(of("; boundary=*****"), Ok("*****".into()));
        assert_eq!(of("; boundary = \"*****\""), Ok("*****".into()));
        assert_eq!(of(r#"; boundary="a b\\c\"d""#), Ok(r#"a b\c"d"#.into()));
        let longest = "~".repeat(70);
        assert_eq!(of(&format!("; boundary={longest}")), Ok(longest));
        let long = format!("; boundary={}", "x".repeat(71));
        for bad in [
            "",
            "; boundary=",
            "; boundary=\"a ",
            "; boundary=\"a \"",
            "; boundary=ä",
            "; boundary=a\tb",
            &long,
        ] {
            assert_eq!(of(bad), Err(MultipartError::NoBoundary), "{bad}");
        }
        let other = boundary("multipart/mixed; boundary=a");
        assert_eq!(other, Err(MultipartError::NotMultipart));
    }
}
