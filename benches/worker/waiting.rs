//! Waiting for files to appear, told by the kernel: looking again and again would take a processor
//! from what is measured.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use hindsight::clock::{self, BootTime};
use hindsight::spawn;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Files that nobody has asked for yet.
const WAITING: usize = 4096;

/// How long a file may take at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files that appear in one folder, each with when.
#[derive(Debug)]
pub(crate) struct Appearing {
    files: Receiver<(String, BootTime)>,
}

impl Appearing {
    pub(crate) fn watch(folder: &Path) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
        inotify.add_watch(folder, AddWatchFlags::IN_CREATE).unwrap();
        let (sender, files) = sync_channel(WAITING);
        spawn::thread("appearing", move || {
            while let Ok(events) = inotify.read_events() {
                let now = clock::boot_time();
                let names = events.into_iter().filter_map(|event| event.name);
                for name in names.map(|name| name.to_string_lossy().into_owned()) {
                    if sender.send((name, now)).is_err() {
                        return;
                    }
                }
            }
        })
        .unwrap();
        Self { files }
    }

    /// When the next file with this ending appeared.
    pub(crate) fn next(&self, ending: &str) -> BootTime {
        self.next_within(ending, PATIENCE).unwrap()
    }

    /// The same, or nothing where none came in time.
    pub(crate) fn next_within(&self, ending: &str, patience: Duration) -> Option<BootTime> {
        loop {
            let (name, at) = self.files.recv_timeout(patience).ok()?;
            if name.ends_with(ending) {
                return Some(at);
            }
        }
    }
}
