//! What the worker counts, as Prometheus reads it.
//!
//! Each series is a constant here, with its help and the names of its labels, so that what there is
//! to see stands on one page. Label values come from the configuration and from our own words, never
//! from an event: so the number of series has a bound. One registry a process, made at its first use.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// What there is about every series but its kind.
#[derive(Clone, Copy, Debug)]
struct Series {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

/// Goes up only.
#[derive(Clone, Copy, Debug)]
pub struct Counter(Series);

/// Goes up and down.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(Series);

/// How often a value fell into which range.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(Series, &'static [f64]);

const fn series(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Series {
    Series { name, help, labels }
}

/// From half a millisecond to ten seconds: work of one host.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// From a tenth of a second to an hour: work over a network.
const LONG_SECONDS: &[f64] =
    &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

/// Pieces of one batch of the run loop.
const PIECES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 512.0];

pub const EVENTS_RECEIVED: Counter = Counter(series(
    "hindsight_events_received_total",
    &["source"],
    "Events that a source handed over.",
));
pub const EVENTS_REJECTED: Counter = Counter(series(
    "hindsight_events_rejected_total",
    &["source"],
    "Messages that were no events; recorded and acknowledged.",
));
pub const RETAINED_IGNORED: Counter = Counter(series(
    "hindsight_retained_messages_ignored_total",
    &["source"],
    "Retained MQTT messages that were acknowledged and, being old news, not decided.",
));
pub const DECISIONS: Counter = Counter(series(
    "hindsight_decisions_total",
    &["decision"],
    "Outcomes of events, one for each rule that matched, or one where none did.",
));
pub const DUE_DECISIONS: Counter = Counter(series(
    "hindsight_due_decisions_total",
    &["decision"],
    "What was decided when that came which a rule had waited for: the time of `for`, a capture before.",
));
pub const CAPTURES: Gauge =
    Gauge(series("hindsight_captures", &["state"], "Captures that have not reached their end."));
pub const CAPTURES_STOPPED: Counter = Counter(series(
    "hindsight_captures_stopped_total",
    &["reason"],
    "Captures that take no more packets.",
));
pub const CAPTURES_ENDED: Counter = Counter(series(
    "hindsight_captures_ended_total",
    &["state"],
    "Captures that reached their end: done, partial or failed.",
));
pub const START_SECONDS: Histogram = Histogram(
    series(
        "hindsight_capture_start_seconds",
        &[],
        "From the receipt of the event to the capture taking packets.",
    ),
    SECONDS,
);
pub const PACKETS: Counter = Counter(series(
    "hindsight_capture_packets_total",
    &[],
    "Packets written by captures that have ended.",
));
pub const CAPTURE_BYTES: Counter = Counter(series(
    "hindsight_capture_bytes_total",
    &[],
    "Bytes of the files of captures that have ended.",
));
pub const PACKETS_LOST: Counter = Counter(series(
    "hindsight_capture_lost_packets_total",
    &["where"],
    "Packets that captures which have ended missed: by the kernel, or overrun before they were read.",
));
pub const UPLOAD_ATTEMPTS: Counter = Counter(series(
    "hindsight_upload_attempts_total",
    &["storage"],
    "Attempts to store a segment.",
));
pub const UPLOAD_FAILURES: Counter = Counter(series(
    "hindsight_upload_failures_total",
    &["storage"],
    "Attempts to store a segment that failed.",
));
pub const UPLOAD_BYTES: Counter = Counter(series(
    "hindsight_upload_bytes_total",
    &["storage"],
    "Bytes of segments that were stored and verified.",
));
pub const UPLOAD_SECONDS: Histogram = Histogram(
    series("hindsight_upload_seconds", &["storage"], "How long an attempt that succeeded took."),
    LONG_SECONDS,
);
pub const SEGMENTS_WAITING: Gauge =
    Gauge(series("hindsight_segments_waiting", &[], "Segments not yet verified in their storage."));
pub const NOTICE_ATTEMPTS: Counter = Counter(series(
    "hindsight_notice_attempts_total",
    &["notifier"],
    "Attempts to deliver a notice.",
));
pub const NOTICE_FAILURES: Counter = Counter(series(
    "hindsight_notice_failures_total",
    &["notifier"],
    "Attempts to deliver a notice that failed.",
));
pub const NOTICES_WAITING: Gauge =
    Gauge(series("hindsight_notices_waiting", &[], "Notices not yet delivered."));
pub const COMMIT_SECONDS: Histogram = Histogram(
    series("hindsight_journal_commit_seconds", &[], "How long one commit of the journal took."),
    SECONDS,
);
pub const BATCH_PIECES: Histogram = Histogram(
    series("hindsight_loop_batch_pieces", &[], "News in one batch of the run loop."),
    PIECES,
);
pub const RECORDER_WINDOW: Gauge = Gauge(series(
    "hindsight_recorder_window_seconds",
    &["interface"],
    "Time from the oldest packet held to now.",
));
pub const RECORDER_PACKETS: Counter = Counter(series(
    "hindsight_recorder_packets_total",
    &["interface"],
    "Packets that passed the interface since its recorder began.",
));
pub const RECORDER_DROPPED: Counter = Counter(series(
    "hindsight_recorder_dropped_packets_total",
    &["interface"],
    "Packets that the kernel could not put into the ring.",
));
pub const SPOOL_BYTES: Gauge =
    Gauge(series("hindsight_spool_bytes", &[], "Bytes of the files in the spool."));
pub const SPOOL_FREE_BYTES: Gauge = Gauge(series(
    "hindsight_spool_free_bytes",
    &[],
    "Bytes that are free for the worker on the file system of the spool.",
));
pub const RELOADS: Counter = Counter(series(
    "hindsight_reloads_total",
    &["result"],
    "Attempts to load the configuration again: ok or failed.",
));

const COUNTERS: [Counter; 18] = [
    EVENTS_RECEIVED,
    EVENTS_REJECTED,
    RETAINED_IGNORED,
    DECISIONS,
    DUE_DECISIONS,
    CAPTURES_STOPPED,
    CAPTURES_ENDED,
    PACKETS,
    CAPTURE_BYTES,
    PACKETS_LOST,
    UPLOAD_ATTEMPTS,
    UPLOAD_FAILURES,
    UPLOAD_BYTES,
    NOTICE_ATTEMPTS,
    NOTICE_FAILURES,
    RECORDER_PACKETS,
    RECORDER_DROPPED,
    RELOADS,
];
const GAUGES: [Gauge; 6] =
    [CAPTURES, SEGMENTS_WAITING, NOTICES_WAITING, RECORDER_WINDOW, SPOOL_BYTES, SPOOL_FREE_BYTES];
const HISTOGRAMS: [Histogram; 4] = [START_SECONDS, UPLOAD_SECONDS, COMMIT_SECONDS, BATCH_PIECES];

/// Every series is of the same importance; nothing filters by it.
const METADATA: Metadata<'_> = Metadata::new("hindsight", Level::INFO, None);

impl Counter {
    /// Counts `n` more. `values` stand in the order of the series' labels.
    pub fn add(self, values: &[&str], n: u64) {
        registry().recorder.register_counter(&self.0.key(values), &METADATA).increment(n);
    }

    /// Takes over what somebody else has counted since the process began.
    pub fn reached(self, values: &[&str], n: u64) {
        registry().recorder.register_counter(&self.0.key(values), &METADATA).absolute(n);
    }
}

impl Gauge {
    pub fn set(self, values: &[&str], value: f64) {
        registry().recorder.register_gauge(&self.0.key(values), &METADATA).set(value);
    }

    /// As [`set`](Self::set), for a count. Above 2^53 the last digits are not kept.
    pub fn set_count(self, values: &[&str], count: u64) {
        self.set(values, rounded(count));
    }
}

impl Histogram {
    pub fn record(self, values: &[&str], value: f64) {
        registry().recorder.register_histogram(&self.0.key(values), &METADATA).record(value);
    }

    /// As [`record`](Self::record), for a time.
    pub fn took(self, values: &[&str], time: Duration) {
        self.record(values, time.as_secs_f64());
    }
}

impl Series {
    fn key(&self, values: &[&str]) -> Key {
        debug_assert_eq!(self.labels.len(), values.len(), "labels of {}", self.name);
        let label = |(name, value): (&&'static str, &&str)| Label::new(*name, (*value).to_owned());
        Key::from_parts(self.name, self.labels.iter().zip(values).map(label).collect::<Vec<_>>())
    }
}

/// All series that have a value, in Prometheus' text format.
pub fn render() -> String {
    registry().handle.render()
}

/// Folds what histograms have recorded since the last time; to be called every few seconds, because
/// each record takes memory until then.
pub fn tidy() {
    registry().handle.run_upkeep();
}

struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut builder = PrometheusBuilder::new();
        for Histogram(series, buckets) in HISTOGRAMS {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(series.name.to_owned()), buckets)
                .expect("no list of buckets is empty");
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        for Counter(series) in COUNTERS {
            recorder.describe_counter(series.name.into(), None, series.help.into());
            if series.labels.is_empty() {
                recorder.register_counter(&series.key(&[]), &METADATA).absolute(0);
            }
        }
        for Gauge(series) in GAUGES {
            recorder.describe_gauge(series.name.into(), None, series.help.into());
        }
        for Histogram(series, _) in HISTOGRAMS {
            recorder.describe_histogram(series.name.into(), None, series.help.into());
        }
        Registry { recorder, handle }
    })
}

/// Exact below 2^53.
fn rounded(count: u64) -> f64 {
    let high = u32::try_from(count >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered_with_its_labels_and_its_help() {
        DECISIONS.add(&["test \"quoted\"\n"], 2);
        DECISIONS.add(&["test \"quoted\"\n"], 1);
        RECORDER_PACKETS.reached(&["test0"], 7);
        RECORDER_PACKETS.reached(&["test0"], 9);
        SPOOL_BYTES.set_count(&[], (1 << 40) + 3);
        UPLOAD_SECONDS.took(&["test"], Duration::from_millis(300));
        tidy();
        let text = render();
        for line in [
            "# TYPE hindsight_decisions_total counter",
            "hindsight_decisions_total{decision=\"test \\\"quoted\\\"\\n\"} 3",
            "hindsight_recorder_packets_total{interface=\"test0\"} 9",
            "hindsight_spool_bytes 1099511627779",
            "hindsight_upload_seconds_bucket{storage=\"test\",le=\"0.2\"} 0",
            "hindsight_upload_seconds_bucket{storage=\"test\",le=\"0.5\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("# HELP hindsight_spool_bytes Bytes of the files in the spool."));
    }

    #[test]
    fn every_series_has_a_name_of_its_own() {
        let counters = COUNTERS.iter().map(|series| series.0.name);
        let gauges = GAUGES.iter().map(|series| series.0.name);
        let histograms = HISTOGRAMS.iter().map(|series| series.0.name);
        let mut names: Vec<&str> = counters.chain(gauges).chain(histograms).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.starts_with("hindsight_")));
    }
}
