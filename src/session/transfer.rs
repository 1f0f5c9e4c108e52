//! Uploads, and the removal of local copies that follows.

use crate::backoff::Backoff;
use crate::clock::Now;
use crate::model::{Capture, Change, Receipt, Segment, SegmentState, State, Transfer};

use super::attempts::REFUSALS_UNTIL_GIVEN_UP;
use super::machine::SegmentKey;
use super::progress::joined;
use super::{Action, Effects, Failure, Machine, placing};

/// How the sentence begins that says why a segment is stranded.
const STRANDED: &str = "not stored: ";

impl Machine {
    pub(super) fn start_uploads(&mut self, now: Now, effects: &mut Effects) {
        for key in self.uploads.take_due(now.boot) {
            let Some(capture) = self.captures.get(&key.0) else { continue };
            let Some(segment) = segment_of(capture, key.1) else { continue };
            let storage = &capture.plan.storage;
            // The configuration may name another one by now, or the segment another object.
            let goes_on = |transfer: &&Transfer| {
                transfer.storage == *storage && transfer.object == segment.object
            };
            let transfer = self.transfers.get(&key).filter(goes_on);
            effects.actions.push(Action::Upload {
                storage: storage.clone(),
                segment: Box::new(segment.clone()),
                transfer: transfer.cloned().map(Box::new),
                local_file: placing::local_file_of(capture, &segment.file),
            });
            if capture.state == State::Sealed {
                self.change(&key.0, |capture| capture.state = State::Uploading);
            }
        }
    }

    pub(super) fn start_removals(&mut self, now: Now, effects: &mut Effects) {
        for key in self.removals.take_due(now.boot) {
            let capture = self.captures.get(&key.0);
            if let Some(segment) = capture.and_then(|capture| segment_of(capture, key.1)) {
                let path = segment.file.path.clone();
                effects.actions.push(Action::Remove { capture: key.0, index: key.1, path });
            }
        }
    }

    /// Keeps how far an upload has come. One that has meanwhile ended needs it no more.
    pub(super) fn transferred(&mut self, transfer: Transfer, effects: &mut Effects) {
        let key = (transfer.capture.clone(), transfer.index);
        if self.uploads.contains(&key) {
            effects.changes.push(Change::Transfer(Box::new(transfer.clone())));
            self.transfers.insert(key, transfer);
        }
    }

    pub(super) fn uploaded(
        &mut self,
        key: SegmentKey,
        result: Result<Receipt, Failure>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(capture) = self.captures.get(&key.0) else {
            self.uploads.finish(&key);
            return;
        };
        let storage = capture.plan.storage.clone();
        // Without a storage it was the local file that was written.
        if !storage.is_empty() {
            self.storages.note(&storage, result.as_ref().map(|_| ()), now.wall);
        }
        match result {
            Ok(receipt) => {
                self.finish_upload(&key, effects);
                self.change_segment(&key, |segment| {
                    segment.state = SegmentState::Stored;
                    segment.receipt = Some(receipt);
                });
                self.removals.add(key, now.boot);
            }
            Err(failure) => {
                let random = self.random.next();
                let is_over = self.uploads.is_over(&key, now.boot);
                let failures = self.uploads.retry(&key, Backoff::REMOTE, now.boot, random);
                if failures >= REFUSALS_UNTIL_GIVEN_UP && (is_over || !failure.transient) {
                    self.strand(&key, &storage, &failure, effects);
                }
            }
        }
    }

    /// Gives a segment up: it stays in the spool until somebody has put right what is wrong.
    fn strand(
        &mut self,
        key: &SegmentKey,
        storage: &str,
        failure: &Failure,
        effects: &mut Effects,
    ) {
        self.finish_upload(key, effects);
        self.change_segment(key, |segment| segment.state = SegmentState::Stranded);
        let place = match storage {
            "" => "the local file cannot be written".to_owned(),
            storage if failure.transient => {
                format!("storage '{storage}' has failed for too long")
            }
            storage => format!("storage '{storage}' refuses it"),
        };
        let why = format!("{STRANDED}{place}: {}", failure.message);
        self.change(&key.0, |capture| {
            // The first of many segments says enough.
            if !capture.error.as_ref().is_some_and(|error| error.contains(STRANDED)) {
                capture.error = joined(capture.error.take(), Some(why));
            }
        });
    }

    fn finish_upload(&mut self, key: &SegmentKey, effects: &mut Effects) {
        self.uploads.finish(key);
        if self.transfers.remove(key).is_some() {
            let (capture, index) = key.clone();
            effects.changes.push(Change::TransferGone { capture, index });
        }
    }

    pub(super) fn removed(&mut self, key: SegmentKey, result: &Result<(), Failure>, now: Now) {
        match result {
            Ok(()) => {
                self.removals.finish(&key);
                self.change_segment(&key, |segment| segment.state = SegmentState::Retired);
            }
            Err(_) => {
                let random = self.random.next();
                self.removals.retry(&key, Backoff::REMOTE, now.boot, random);
            }
        }
    }

    fn change_segment(&mut self, key: &SegmentKey, change: impl FnOnce(&mut Segment)) {
        self.change(&key.0, |capture| {
            if let Some(segment) = capture.segments.iter_mut().find(|s| s.file.index == key.1) {
                change(segment);
            }
        });
    }
}

fn segment_of(capture: &Capture, index: u32) -> Option<&Segment> {
    capture.segments.iter().find(|segment| segment.file.index == index)
}

/// What is left of an error once stranded segments are tried again.
pub(super) fn without_refusal(error: Option<String>) -> Option<String> {
    let error = error?;
    let before = error.split(STRANDED).next().unwrap_or_default();
    let before = before.strip_suffix("; ").unwrap_or(before);
    (!before.is_empty()).then(|| before.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_with_the_packets_stays_when_an_upload_is_tried_again() {
        let refused = Some(format!("{STRANDED}storage 'a' refuses it: 403"));
        assert_eq!(without_refusal(refused.clone()), None);
        assert_eq!(without_refusal(None), None);
        let cut = Some("the worker died".to_owned());
        assert_eq!(without_refusal(cut.clone()), cut);
        assert_eq!(without_refusal(joined(cut.clone(), refused)), cut);
    }
}
