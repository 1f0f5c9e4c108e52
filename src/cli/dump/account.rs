//! What the reports of a capture come to: how far it is, and the last line.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::error::Error;
use crate::clock::{BootTime, WallTime};
use crate::model::{InterfaceTotals, RecorderStatus, Report, SealedFile, StopReason, Totals};
use crate::units::{Bytes, Span};

/// The most files that are named at the end: the newest. A capture without an end makes ever more.
const MAX_FILES: usize = 1_000;

/// The most that the last line names one by one.
const MAX_SHOWN: usize = 4;

/// What the state of a recorder that records is called.
pub(super) const RECORDING: &str = "recording";

/// What is known of a capture.
#[derive(Debug)]
pub(super) struct Account {
    began: BootTime,
    /// What people call the place that packets go to.
    target: String,
    /// How many files are kept; the oldest go.
    keep: usize,
    totals: Totals,
    files: VecDeque<SealedFile>,
    /// All that there were, those included that were not kept.
    segments: u64,
    held_from: Option<WallTime>,
}

/// How a capture ended. As JSON it is part of the command's interface.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) stop_reason: StopReason,
    /// What went wrong, in a sentence.
    pub(super) error: Option<String>,
    packets: u64,
    bytes: u64,
    dropped_by_kernel: u64,
    overrun: u64,
    /// Packets of which only a part was kept.
    truncated: u64,
    duration_ms: u64,
    /// The oldest instant that was held when it began.
    held_from: Option<WallTime>,
    /// How many files were written; `files` are those that are there, at most the newest 1,000.
    segments: u64,
    files: Vec<File>,
    interfaces: Vec<InterfaceTotals>,
    #[serde(skip)]
    target: String,
}

#[derive(Debug, Serialize)]
struct File {
    path: PathBuf,
    packets: u64,
    bytes: u64,
    first_packet: Option<WallTime>,
    last_packet: Option<WallTime>,
    /// Cut short by an error and closed afterwards.
    partial: bool,
}

impl Account {
    pub(super) fn new(began: BootTime, target: String, keep: Option<u32>) -> Self {
        let keep = keep.and_then(|keep| usize::try_from(keep).ok()).unwrap_or(MAX_FILES);
        Self {
            began,
            target,
            keep: keep.min(MAX_FILES),
            totals: Totals::default(),
            files: VecDeque::new(),
            segments: 0,
            held_from: None,
        }
    }

    /// Takes a report; the last one gives the summary.
    pub(super) fn take(&mut self, report: Report, now: BootTime) -> Option<Summary> {
        match report {
            Report::Started { held_from, .. } => self.held_from = Some(held_from),
            Report::Progress { totals, .. } => self.totals = totals,
            Report::Sealed { file, .. } => self.seal(file),
            Report::Ended { reason, error, totals, interfaces, .. } => {
                self.totals = totals;
                return Some(self.summary(reason, error, interfaces, now));
            }
        }
        None
    }

    fn seal(&mut self, file: SealedFile) {
        self.segments = self.segments.max(u64::from(file.index) + 1);
        self.files.push_back(file);
        while self.files.len() > self.keep {
            self.files.pop_front();
        }
    }

    /// What there is to say of a capture that nobody began.
    pub(super) fn untouched(&self, now: BootTime) -> Summary {
        self.summary(StopReason::Manual, None, Vec::new(), now)
    }

    fn summary(
        &self,
        stop_reason: StopReason,
        error: Option<String>,
        interfaces: Vec<InterfaceTotals>,
        now: BootTime,
    ) -> Summary {
        let duration = now.since(self.began).as_millis();
        Summary {
            stop_reason,
            error,
            packets: self.totals.packets,
            bytes: self.totals.bytes,
            dropped_by_kernel: self.totals.dropped_by_kernel,
            overrun: self.totals.overrun,
            truncated: interfaces.iter().map(|interface| interface.truncated).sum(),
            duration_ms: u64::try_from(duration).unwrap_or(u64::MAX),
            held_from: self.held_from,
            segments: self.segments,
            files: self.files.iter().map(File::of).collect(),
            interfaces,
            target: self.target.clone(),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self, now: BootTime) -> String {
        if self.held_from.is_none() {
            return format!("waits for the ring, {}", short(now.since(self.began)));
        }
        let Totals { packets, bytes, dropped_by_kernel, overrun } = self.totals;
        let bytes = Bytes(bytes).rounded();
        let time = short(now.since(self.began));
        let lost = dropped_by_kernel + overrun;
        format!("{}, {bytes}, {lost} dropped, {time}", counted(packets, "packet"))
    }
}

impl File {
    fn of(file: &SealedFile) -> Self {
        Self {
            path: file.path.clone(),
            packets: file.packets,
            bytes: file.size_bytes,
            first_packet: file.first_packet,
            last_packet: file.last_packet,
            partial: file.partial,
        }
    }
}

impl Summary {
    /// The last line.
    pub(super) fn text(&self) -> String {
        let packets = counted(self.packets, "packet");
        let mut text = format!("{packets}, {} in {}", Bytes(self.bytes).rounded(), self.place());
        text.push_str(&format!(
            "; {} dropped by the kernel, {} overrun",
            self.dropped_by_kernel, self.overrun
        ));
        if self.truncated > 0 {
            text.push_str(&format!(", {} truncated", self.truncated));
        }
        let time = short(Duration::from_millis(self.duration_ms));
        text.push_str(&format!("; stopped after {time}: {}", self.stop_reason));
        text
    }

    fn place(&self) -> String {
        let name = |file: &File| {
            let partial = if file.partial { " (partial)" } else { "" };
            format!("{}{partial}", file.path.display())
        };
        let gone = self.segments.saturating_sub(u64::try_from(self.files.len()).unwrap_or(0));
        let held: u64 = self.files.iter().map(|file| file.packets).sum();
        let of = match gone {
            0 => String::new(),
            _ => format!(", the newest of {}, with {}", self.segments, counted(held, "packet")),
        };
        match &self.files[..] {
            [] => self.target.clone(),
            [one] => format!("{}{of}", name(one)),
            some if some.len() <= MAX_SHOWN => {
                let names: Vec<_> = some.iter().map(name).collect();
                format!("{} files: {}{of}", some.len(), names.join(", "))
            }
            [first, .., last] => {
                format!("{} files: {} to {}{of}", self.files.len(), name(first), name(last))
            }
        }
    }

    /// Whether anything could be captured.
    pub(super) const fn began(&self) -> bool {
        self.held_from.is_some()
    }

    /// Whether the capture did what it was told.
    pub(super) fn outcome(&self) -> Result<(), Error> {
        match &self.error {
            _ if self.stop_reason.is_whole() => Ok(()),
            Some(error) => Err(Error::Capture(error.clone())),
            None => Err(Error::Capture(format!("the capture was cut short: {}", self.stop_reason))),
        }
    }
}

/// What an armed capture holds; of several interfaces, the window that all of them have.
pub(super) fn held(recorders: &[RecorderStatus]) -> String {
    // It is waited for: what the others hold is not given up for it.
    if let Some(away) = recorders.iter().find(|recorder| recorder.state != RECORDING) {
        return format!("armed: {} is away: {}", away.interface, away.state);
    }
    let window = recorders.iter().map(|recorder| recorder.window_ms).min().unwrap_or(0);
    let packets = recorders.iter().map(|recorder| recorder.held_packets).sum();
    let bytes = recorders.iter().map(|recorder| recorder.held_bytes).sum();
    let dropped: u64 = recorders.iter().map(|recorder| recorder.dropped).sum();
    let (window, packets) = (short(Duration::from_millis(window)), counted(packets, "packet"));
    format!("armed: holds {window}, {packets}, {}, {dropped} dropped", Bytes(bytes).rounded())
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A time for people: a decimal below a minute, whole seconds above.
pub(super) fn short(time: Duration) -> String {
    if time < Duration::from_mins(1) {
        return format!("{:.1}s", time.as_secs_f64());
    }
    Span(Duration::from_secs(time.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CaptureId;

    const BEGAN: BootTime = BootTime::from_duration(Duration::from_secs(100));

    fn account(keep: Option<u32>) -> Account {
        Account::new(BEGAN, "x.pcapng".to_owned(), keep)
    }

    fn sealed(index: u32) -> Report {
        let file = SealedFile {
            index,
            path: format!("x-{index}.pcapng").into(),
            size_bytes: 1_000,
            sha256: String::new(),
            packets: 10,
            first_packet: None,
            last_packet: None,
            partial: false,
        };
        Report::Sealed { capture: CaptureId::from_text("c"), file }
    }

    fn ended(reason: StopReason, error: Option<&str>, truncated: u64) -> Report {
        let totals = Totals { packets: 20, bytes: 2_048, dropped_by_kernel: 3, overrun: 4 };
        let one = InterfaceTotals { truncated, ..InterfaceTotals::default() };
        Report::Ended {
            capture: CaptureId::from_text("c"),
            reason,
            error: error.map(str::to_owned),
            totals,
            interfaces: vec![one.clone(), one],
        }
    }

    fn summary(files: u32, keep: Option<u32>, end: Report) -> Summary {
        let mut account = account(keep);
        for index in 0..files {
            assert!(account.take(sealed(index), BEGAN).is_none());
        }
        account.take(end, BEGAN + Duration::from_millis(2_500)).unwrap()
    }

    #[test]
    fn the_last_line_has_packets_bytes_losses_reason_and_file() {
        let line = summary(1, None, ended(StopReason::PacketsExceeded, None, 1)).text();
        let expected = "20 packets, 2.0 KiB in x-0.pcapng; 3 dropped by the kernel, 4 overrun, \
                        2 truncated; stopped after 2.5s: PacketsExceeded";
        assert_eq!(line, expected);
        let line = summary(0, None, ended(StopReason::Manual, None, 0)).text();
        let expected = "20 packets, 2.0 KiB in x.pcapng; 3 dropped by the kernel, 4 overrun; \
                        stopped after 2.5s: Manual";
        assert_eq!(line, expected);
    }

    #[test]
    fn how_far_it_is_is_told_once_it_hears() {
        let mut account = account(None);
        let after = BEGAN + Duration::from_secs(2);
        assert_eq!(account.progress(after), "waits for the ring, 2.0s");
        let capture = CaptureId::from_text("c");
        let held_from = WallTime::from_nanos(1);
        account.take(
            Report::Started { capture: capture.clone(), held_from, interfaces: vec![] },
            after,
        );
        let totals = Totals { packets: 1, bytes: 1_024, dropped_by_kernel: 2, overrun: 3 };
        account.take(Report::Progress { capture, totals }, after);
        assert_eq!(account.progress(after), "1 packet, 1.0 KiB, 5 dropped, 2.0s");
    }

    #[test]
    fn of_a_ring_of_files_those_are_named_that_are_there() {
        let place = |files, keep| summary(files, keep, ended(StopReason::Manual, None, 0)).place();
        assert_eq!(place(2, None), "2 files: x-0.pcapng, x-1.pcapng");
        assert_eq!(
            place(5, Some(2)),
            "2 files: x-3.pcapng, x-4.pcapng, the newest of 5, with 20 packets"
        );
        assert_eq!(place(9, None), "9 files: x-0.pcapng to x-8.pcapng");
        assert_eq!(
            place(1_500, None),
            "1000 files: x-500.pcapng to x-1499.pcapng, the newest of 1500, with 10000 packets"
        );
    }

    #[test]
    fn what_cuts_a_capture_short_is_an_error() {
        let outcome = |reason, error| summary(1, None, ended(reason, error, 0)).outcome();
        assert!(outcome(StopReason::Manual, None).is_ok());
        assert!(outcome(StopReason::EndOfFile, None).is_ok());
        let lost = outcome(StopReason::InterfaceLost, Some("eth0 is gone")).unwrap_err();
        assert_eq!(lost.to_string(), "eth0 is gone");
        let cut = outcome(StopReason::NoSpace, None).unwrap_err();
        assert_eq!(cut.to_string(), "the capture was cut short: NoSpace");
    }

    #[test]
    fn as_json_it_is_one_object_with_the_figures() {
        let summary = summary(1, None, ended(StopReason::Manual, None, 0));
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!((&json["packets"], &json["stop_reason"]), (&20.into(), &"Manual".into()));
        assert_eq!(json["files"][0]["path"], "x-0.pcapng");
        assert_eq!(json["duration_ms"], 2_500);
    }

    #[test]
    fn the_window_that_all_interfaces_hold_is_shown() {
        let recorder = |window_ms, held_packets| RecorderStatus {
            interface: "a".to_owned(),
            state: "recording".to_owned(),
            memory_bytes: 1 << 20,
            window_ms,
            held_packets,
            held_bytes: 1_024,
            received: 0,
            dropped: 1,
            readers: 0,
        };
        let expected = "armed: holds 12.3s, 7 packets, 2.0 KiB, 2 dropped";
        assert_eq!(held(&[recorder(12_340, 3), recorder(70_000, 4)]), expected);
        let away = RecorderStatus { state: "it is down".to_owned(), ..recorder(0, 0) };
        assert_eq!(held(&[recorder(12_340, 3), away]), "armed: a is away: it is down");
        assert_eq!(short(Duration::from_millis(72_900)), "1m12s");
    }
}
