//! The stored form of a session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// The values of a session, and its times in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SessionRecord {
    pub(super) created: u64,
    pub(super) seen: u64,
    pub(super) values: Map<String, Value>,
}

impl SessionRecord {
    pub(super) fn new(now: u64) -> Self {
        SessionRecord {
            created: now,
            seen: now,
            values: Map::new(),
        }
    }

    /// Parses a record; `None` if it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Value::Object(mut members) = serde_json::from_str(text).ok()? else {
            return None;
        };
        let created = members.get("begun")?.as_u64()?;
        let seen = members.get("seen")?.as_u64()?;
        let Some(Value::Object(values)) = members.remove("values") else {
            return None;
        };
        Some(SessionRecord {
            created,
            seen,
            values,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let values = Value::Object(self.values.clone());
        serde_json::json!({"begun": self.created, "seen": self.seen, "values": values}).to_string()
    }

    /// Returns the time until the session ends without another request; `None` if it has ended. Times in the future, from another clock, are
    /// treated as now.
    pub(super) fn left(&self, now: u64, idle: Duration, lifetime: Duration) -> Option<Duration> {
        let since = |time: u64| Duration::from_secs(now.saturating_sub(time));
        let idle = idle.checked_sub(since(self.seen))?;
        let lifetime = lifetime.checked_sub(since(self.created))?;
        Some(idle.min(lifetime)).filter(|left| !left.is_zero())
    }

    /// Returns the size of the values as JSON, in bytes.
    pub(super) fn size(&self) -> usize {
        serde_json::to_string(&self.values).map_or(usize::MAX, |text| text.len())
    }
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_record_ends_after_its_idle_timeout_and_its_lifetime() {
        let record = SessionRecord {
            created: 1_000_000,
            seen: 1_003_000,
            values: Map::new(),
        };
        let left = |now| record.left(now, HOUR, 3 * HOUR);
        assert_eq!(left(1_003_000), Some(HOUR));
        assert_eq!(left(1_006_599), Some(Duration::from_secs(1)));
        assert_eq!(left(1_006_600), None);
        let active = SessionRecord {
            seen: 1_010_700,
            ..record
        };
        assert_eq!(
            active.left(1_010_700, HOUR, 3 * HOUR),
            Some(Duration::from_secs(100))
        );
        assert_eq!(active.left(1_010_800, HOUR, 3 * HOUR), None);
    }

    #[test]
    fn a_record_is_written_and_parsed() {
        let mut record = SessionRecord::new(7);
        record.values.insert("user".into(), "ada".into());
        assert_eq!(SessionRecord::parse(&record.to_text()), Some(record));
        for text in [
            "",
            "7",
            "{}",
            r#"{"begun":1,"seen":2}"#,
            r#"{"begun":-1,"seen":2,"values":{}}"#,
        ] {
            assert_eq!(SessionRecord::parse(text), None, "{text}");
        }
    }
}
