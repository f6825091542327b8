//! Request cookies (RFC 6265).

/// Returns the names and values of a `Cookie` field as they were sent, without the quotes around values.
///
/// Elements that are not a name and a value are ignored.
pub(crate) fn pairs(field: &str) -> impl Iterator<Item = (&str, &str)> {
    field.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        (!name.is_empty()).then_some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_parsed_into_pairs() {
        let pairs: Vec<_> = pairs("a=1; b=\"2\";c = 3 ;; d; =e; a=4; f=g=h").collect();
        assert_eq!(
            pairs,
            [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("f", "g=h")]
        );
    }
}
