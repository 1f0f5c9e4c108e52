//! The log's way to standard error: one record, one line, one write.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use super::escape::escape;

/// Writes records to standard error with everything in them escaped but the line feed at their end.
///
/// The subscriber formats a whole record, then hands it over in one piece. It escapes the terminal
/// sequences that it knows, but leaves line feeds in what is logged by `Display`: a label of an
/// alert could then write log lines of its own. So the guard stands here, behind every formatter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// Whether each begins with its priority.
    priorities: bool,
}

impl Lines {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { priorities: format == LogFormat::Journald }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<io::StderrLock<'static>>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { to: io::stderr().lock(), prefix: "" }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        let prefix = if self.priorities { priority(*meta.level()) } else { "" };
        Line { to: io::stderr().lock(), prefix }
    }
}

/// The priority as journald reads it: that of syslog(3).
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Takes one whole record at a time.
#[derive(Debug)]
pub(super) struct Line<W> {
    to: W,
    prefix: &'static str,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = format!("{}{}\n", self.prefix, escape(text));
        self.to.write_all(line.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::telemetry::subscriber;

    /// Keeps what is logged, behind the guard under test.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Line<Kept>;

        fn make_writer(&'a self) -> Self::Writer {
            Line { to: self.clone(), prefix: "" }
        }
    }

    const FORGED: &str = "eth0\n2026-11-22T17:30:00Z ERROR forged\r\u{1b}[2J\u{9b}1m\u{2028}end";

    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let filter = tracing_subscriber::EnvFilter::new("info");
        let (subscriber, _level) = subscriber(filter, format, kept.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(display = %FORGED, debug = ?FORGED, text = FORGED, "message {FORGED}");
            tracing::info_span!("span", field = %FORGED).in_scope(|| tracing::warn!("inside"));
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_field_message_or_span_breaks_a_line_of_text() {
        let log = logged(LogFormat::Text);
        assert_eq!(log.lines().count(), 2, "{log:?}");
        assert!(log.contains("ERROR forged"), "the text itself is kept: {log:?}");
        assert!(!log.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{2028}'), "{log:?}");
    }

    #[test]
    fn journald_gets_the_priority_and_takes_the_time_itself() {
        let log = logged(LogFormat::Journald);
        assert_eq!(log.lines().count(), 2, "{log:?}");
        let has_time = |line: &str| line.starts_with(|first: char| first.is_ascii_digit());
        assert!(!log.lines().any(has_time), "{log:?}");
        let of = |level| {
            let kept = Kept::default();
            let mut line = Line { to: kept.clone(), prefix: priority(level) };
            line.write_all(b"said\n<0>forged\n").unwrap();
            let bytes = kept.0.lock().unwrap().clone();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(of(Level::ERROR), "<3>said\\n<0>forged\n");
        assert_eq!(of(Level::WARN), "<4>said\\n<0>forged\n");
        assert_eq!(of(Level::INFO), "<6>said\\n<0>forged\n");
    }

    #[test]
    fn json_stays_json_and_keeps_the_value() {
        let log = logged(LogFormat::Json);
        let records: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0]["text"], FORGED);
        assert!(!log.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{2028}'), "{log:?}");
    }

    #[test]
    fn the_level_changes_while_the_log_is_written() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let kept = Kept::default();
            let (subscriber, level) =
                subscriber(tracing_subscriber::EnvFilter::new("info"), format, kept.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::debug!("before");
                level(tracing_subscriber::EnvFilter::new("debug"));
                tracing::debug!("after");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("after") && !text.contains("before"), "{text}");
        }
    }
}
