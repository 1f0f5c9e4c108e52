//! What the person in front of the program wants: signals, and Enter while it is armed.

use std::fs;
use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::error::Error;
use crate::spawn;

/// A wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGINT, SIGTERM or SIGHUP.
    Stop,
    /// SIGUSR1 or Enter: begin to write, and how far is it?
    Now,
}

/// Where wishes come from.
#[derive(Debug)]
pub(super) struct Wishes {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where it is ignored, as nohup(1) has it.
    hangup: Option<Signal>,
    user: Signal,
    enter: mpsc::Receiver<()>,
}

impl Wishes {
    /// Listens for signals, and for Enter if `armed` and somebody can type it. Needs the runtime.
    pub(super) fn listen(armed: bool) -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        let hangup = !ignores_hangup(&read("/proc/self/status"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: hangup.then(|| listen(SignalKind::hangup())).transpose()?,
            user: listen(SignalKind::user_defined1())?,
            enter: enter(armed && can_type())?,
        })
    }

    /// Waits for the next one. It may be given up at any time.
    pub(super) async fn next(&mut self) -> Wish {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            _ = hangup => Wish::Stop,
            _ = self.user.recv() => Wish::Now,
            Some(()) = self.enter.recv() => Wish::Now,
        }
    }
}

/// Tells of the first line that is typed. The thread is left behind at the end of the process:
/// nothing else ends a read from a terminal.
fn enter(can_type: bool) -> Result<mpsc::Receiver<()>, Error> {
    let (typed, enter) = mpsc::channel(1);
    if can_type {
        let body = move || {
            let mut line = String::new();
            let is_line = io::stdin().read_line(&mut line).is_ok_and(|length| length > 0);
            if is_line && typed.try_send(()).is_err() {
                tracing::debug!("the capture had ended before Enter");
            }
        };
        spawn::thread("enter", body).map_err(Error::Signals)?;
    }
    Ok(enter)
}

/// Whether there is a terminal that this process may read: one in the background would be stopped by
/// its first try. Another standard input is left alone, it may be a script's own.
pub(super) fn can_type() -> bool {
    io::stdin().is_terminal() && is_foreground(&read("/proc/self/stat"))
}

fn read(file: &str) -> String {
    // Without /proc, the usual case is taken to be so.
    fs::read_to_string(file).unwrap_or_default()
}

/// `pid (name) state ppid pgrp session tty_nr tpgid ...`. Source: proc(5).
fn is_foreground(stat: &str) -> bool {
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let fields: Vec<_> = fields.split(' ').collect();
    matches!(fields[..], [_, _, group, _, _, foreground, ..] if group == foreground)
}

/// `SigIgn:` and a mask in hexadecimal, whose lowest bit is signal 1, SIGHUP. Source: proc(5).
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_group_than_the_terminal_s_is_in_the_background() {
        assert!(is_foreground("42 (a) b) S 1 42 42 34816 42 0"));
        assert!(!is_foreground("42 (a) b) S 1 42 42 34816 41 0"));
        assert!(!is_foreground(""));
    }

    #[test]
    fn nohup_is_seen() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t1\n"));
        assert!(!ignores_hangup(""));
    }
}
