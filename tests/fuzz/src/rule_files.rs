//! Rule files that stand in memory, and what they may refer to.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::model::{FileForm, OnResolved};
use crate::rules::{Defaults, Host, Known, OnMissing, OnRunning, RuleSet, Settings, load};
use crate::yaml::Problem;

thread_local! {
    static FILE: RefCell<File> =
        RefCell::new(memfd_create(c"rules", MFdFlags::MFD_CLOEXEC).expect("memory for a file").into());
}

/// Loads a text as a rule file.
pub fn load_text(text: &[u8]) -> Result<RuleSet, Vec<Problem>> {
    FILE.with_borrow_mut(|file| {
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(text).unwrap();
        load(&settings(format!("/proc/self/fd/{}", file.as_raw_fd())), &known())
    })
}

fn settings(path: String) -> Settings {
    Settings {
        paths: vec![path.into()],
        defaults: Defaults {
            look_back: Duration::from_secs(10),
            duration: Duration::from_secs(60),
            bytes: 200 << 20,
            segments: None,
            file: FileForm::default(),
            on_resolved: OnResolved::Keep,
            while_running: OnRunning::Ignore,
            max_duration: None,
            on_missing: OnMissing::Refuse,
            storage: "local".to_owned(),
            notify: vec!["bus".to_owned()],
        },
        dry_run: false,
    }
}

fn known() -> Known {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Known {
        complete: true,
        sources: set(&["plant", "alertmanager"]),
        storages: set(&["local", "archive"]),
        notifiers: set(&["bus", "net-oncall"]),
        interfaces: vec!["eth0".to_owned()],
        duration: Duration::from_secs(5 * 3_600),
        bytes: 1 << 30,
        host: Host::new("edge-7", [("role".into(), "edge".into())].into(), ["10.0.0.7"]),
    }
}
