//! Whether this user may capture.

use crate::capture;
use crate::cli::output::chain;

/// What is missing to capture, with its remedy; nothing where nothing is.
pub(super) fn missing() -> Option<String> {
    let error = capture::check_privilege().err()?;
    Some(format!("this user may not capture: {}", chain(&error).join(": ")))
}
