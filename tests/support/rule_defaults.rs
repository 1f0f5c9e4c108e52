//! What rules that say little else are loaded with, where no configuration file has a say.

use std::time::Duration;

use hindsight::model::{FileForm, OnResolved};
use hindsight::rules::{Defaults, OnMissing, OnRunning};

pub(crate) fn defaults() -> Defaults {
    Defaults {
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
        notify: Vec::new(),
    }
}
