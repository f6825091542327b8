//! The fields of a part, and the parameters of fields.

use super::error::MultipartError;

/// What the fields of a part say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartHead {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
}

/// Fields that a part has; others than these two are of no use (RFC 7578, section 4.8).
const MAX_FIELDS: usize = 16;

/// Reads the fields of a part, up to the empty line.
pub(super) fn parse(bytes: &[u8]) -> Result<PartHead, MultipartError> {
    let malformed = MultipartError::malformed;
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let parsed = httparse::parse_headers(bytes, &mut fields);
    let Ok(httparse::Status::Complete((_, fields))) = parsed else {
        return Err(malformed("a part's fields are none"));
    };
    let field = |name: &str| {
        let field = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        match field {
            Some(field) => str::from_utf8(field.value)
                .map(Some)
                .map_err(|_| malformed("a part's field is not UTF-8")),
            None => Ok(None),
        }
    };
    let disposition =
        field("content-disposition")?.ok_or(malformed("a part has no Content-Disposition"))?;
    let (kind, parameters) = disposition.split_once(';').unwrap_or((disposition, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(malformed("a part is not form-data"));
    }
    let name = parameter(parameters, "name").ok_or(malformed("a part has no name"))?;
    Ok(PartHead {
        name,
        file_name: parameter(parameters, "filename"),
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

/// The boundary that a `Content-Type` names (RFC 2046, section 5.1.1).
pub(super) fn boundary(content_type: &str) -> Result<String, MultipartError> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::NotMultipart);
    }
    let boundary = parameter(parameters, "boundary").ok_or(MultipartError::NoBoundary)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let valid = (1..=70).contains(&boundary.len())
        && boundary.bytes().all(allowed)
        && !boundary.ends_with(' ');
    match valid {
        true => Ok(boundary),
        false => Err(MultipartError::NoBoundary),
    }
}

/// The value of a parameter of a field: the first of that name.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (found, after) = rest.split_once('=')?;
        let value;
        (value, rest) = value_of(after)?;
        if found.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
    }
}

/// A value and what follows it.
///
/// In quotes, a backslash in front of a quote keeps that from being the end. Any other backslash is itself: names of files
/// from some systems have it, and browsers do not escape it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((value.trim_end().to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                chars.next();
                value.push('"');
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
    fn names_are_read_as_clients_write_them() {
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
    fn the_type_of_a_part_is_kept() {
        let disposition = "content-disposition: form-data; name=a";
        let with = head(&format!("Content-Type: image/png\r\n{disposition}")).unwrap();
        assert_eq!(with.content_type(), Some("image/png"));
        assert_eq!(head(disposition).unwrap().content_type(), None);
        let many = format!("{disposition}\r\n{}a: b", "x: y\r\n".repeat(20));
        assert!(head(&many).is_err());
    }

    #[test]
    fn boundaries_are_those_that_can_be() {
        let of = |parameters: &str| boundary(&format!("multipart/form-data{parameters}"));
        assert_eq!(of("; boundary=abc"), Ok("abc".into()));
        assert_eq!(of("; charset=utf-8; boundary=\"a b\""), Ok("a b".into()));
        let long = "x".repeat(71);
        let long = format!("; boundary={long}");
        for bad in [
            "",
            "; boundary=",
            "; boundary=\"a ",
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
