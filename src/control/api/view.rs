//! A capture as the API shows it: the record itself, and what Azure's clients and people look for in it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{Capture, SegmentState, State, StopReason};

/// How many bytes of the digest an etag has.
const ETAG_BYTES: usize = 12;

/// One capture with what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptureView {
    #[serde(flatten)]
    pub capture: Capture,
    /// Another one as soon as anything of the capture is another.
    pub etag: String,
    pub provisioning_state: ProvisioningState,
    pub status: PacketCaptureStatus,
    /// What went wrong, each with Azure's word for it.
    pub errors: Vec<CaptureError>,
    pub links: Links,
}

/// Azure's words for what became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisioningState {
    Creating,
    Succeeded,
    Failed,
}

/// Azure's words for the state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketCaptureStatus {
    NotStarted,
    Running,
    Stopped,
    Error,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureError {
    pub code: ErrorCode,
    pub message: String,
}

/// Azure's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    AgentStopped,
    CaptureFailed,
    LocalFileFailed,
    StorageFailed,
}

/// Paths of this API that lead on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    #[serde(rename = "self")]
    pub itself: String,
    pub stop: String,
    /// One for each file that is whole.
    pub files: Vec<String>,
}

impl ErrorCode {
    pub const fn word(self) -> &'static str {
        match self {
            Self::AgentStopped => "AgentStopped",
            Self::CaptureFailed => "CaptureFailed",
            Self::LocalFileFailed => "LocalFileFailed",
            Self::StorageFailed => "StorageFailed",
        }
    }
}

impl ProvisioningState {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

impl PacketCaptureStatus {
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Error => "Error",
        }
    }
}

impl From<Capture> for CaptureView {
    fn from(capture: Capture) -> Self {
        Self {
            etag: etag(&capture),
            provisioning_state: provisioning(&capture),
            status: status(&capture),
            errors: errors(&capture),
            links: links(&capture),
            capture,
        }
    }
}

fn etag(capture: &Capture) -> String {
    let text = serde_json::to_vec(capture).expect("a capture has text keys only");
    Sha256::digest(text).iter().take(ETAG_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

const fn never_began(capture: &Capture) -> bool {
    capture.held_from.is_none()
}

const fn provisioning(capture: &Capture) -> ProvisioningState {
    match capture.state {
        State::Pending => ProvisioningState::Creating,
        State::Failed if never_began(capture) => ProvisioningState::Failed,
        State::Capturing
        | State::Sealed
        | State::Uploading
        | State::Done
        | State::Partial
        | State::Failed => ProvisioningState::Succeeded,
    }
}

const fn status(capture: &Capture) -> PacketCaptureStatus {
    match capture.state {
        State::Pending => PacketCaptureStatus::NotStarted,
        State::Capturing => PacketCaptureStatus::Running,
        State::Sealed | State::Uploading | State::Done | State::Partial => {
            PacketCaptureStatus::Stopped
        }
        State::Failed => PacketCaptureStatus::Error,
    }
}

fn errors(capture: &Capture) -> Vec<CaptureError> {
    let mut errors = Vec::new();
    let code = match capture.stop_reason {
        Some(StopReason::AgentStopped | StopReason::Interrupted) => Some(ErrorCode::AgentStopped),
        Some(StopReason::NoSpace) => Some(ErrorCode::LocalFileFailed),
        Some(StopReason::InterfaceLost | StopReason::Error) => Some(ErrorCode::CaptureFailed),
        Some(
            StopReason::TimeExceeded
            | StopReason::BytesExceeded
            | StopReason::PacketsExceeded
            | StopReason::Manual
            | StopReason::AlertResolved
            | StopReason::EndOfFile,
        )
        | None => None,
    };
    let told = capture.error.clone();
    if let Some(code) = code {
        let reason = || capture.stop_reason.map(|reason| reason.to_string()).unwrap_or_default();
        errors.push(CaptureError { code, message: told.clone().unwrap_or_else(reason) });
    }
    let stranded =
        capture.segments.iter().filter(|segment| segment.state == SegmentState::Stranded).count();
    if stranded > 0 {
        let files = if stranded == 1 { "1 file was" } else { &format!("{stranded} files were") };
        let why = told.filter(|_| code.is_none()).map(|why| format!(": {why}"));
        let message = format!(
            "{files} not stored and stay in the spool{}; 'hindsight capture upload {}' tries again",
            why.unwrap_or_default(),
            capture.name
        );
        errors.push(CaptureError { code: ErrorCode::StorageFailed, message });
    } else if let (Some(message), None) = (told, code) {
        errors.push(CaptureError { code: ErrorCode::CaptureFailed, message });
    }
    errors
}

fn links(capture: &Capture) -> Links {
    // Names are of letters, digits, `.`, `_`, `-` and `~`, so they stand in a path as they are.
    let itself = format!("/v1/captures/{}", capture.name);
    let file = |index: u32| format!("{itself}/files/{index}");
    Links {
        stop: format!("{itself}/stop"),
        files: capture.segments.iter().map(|segment| file(segment.file.index)).collect(),
        itself,
    }
}
