//! What is said while it runs, on standard error: one line that is refreshed on a terminal, a line
//! now and then elsewhere, or nothing.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use crate::clock::BootTime;
use crate::telemetry::escape;

/// How often a log file hears how far it is.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// To the beginning of the line, and wipe it (ECMA-48: CR, EL).
const AFRESH: &str = "\r\x1b[K";

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Nothing,
    Refreshed,
    NowAndThen,
}

/// What is said, to whom, and when it was said last.
#[derive(Debug)]
pub(super) struct Screen<W> {
    to: W,
    manner: Manner,
    /// A refreshed line stands there without its end.
    open: bool,
    said_at: BootTime,
}

impl Screen<io::Stderr> {
    pub(super) fn new(quiet: bool, now: BootTime) -> Self {
        let manner = match io::stderr().is_terminal() {
            _ if quiet => Manner::Nothing,
            true => Manner::Refreshed,
            false => Manner::NowAndThen,
        };
        Self::of(io::stderr(), manner, now)
    }
}

impl<W: io::Write> Screen<W> {
    const fn of(to: W, manner: Manner, now: BootTime) -> Self {
        Self { to, manner, open: false, said_at: now }
    }

    /// Says something once.
    pub(super) fn note(&mut self, text: &str) {
        if self.manner != Manner::Nothing {
            self.last(text);
        }
    }

    /// Says how far it is, if it is time to.
    pub(super) fn progress(&mut self, text: &str, now: BootTime) {
        match self.manner {
            Manner::Nothing => {}
            Manner::Refreshed => {
                self.write(&format!("{AFRESH}{}", escape(text)));
                self.open = true;
            }
            Manner::NowAndThen if now.since(self.said_at) >= LINE_PERIOD => {
                self.said_at = now;
                self.last(text);
            }
            Manner::NowAndThen => {}
        }
    }

    /// Says something whatever the manner is, in the place of what is refreshed.
    pub(super) fn last(&mut self, text: &str) {
        self.clear();
        self.write(&format!("{}\n", escape(text)));
    }

    /// Takes the refreshed line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.open) {
            self.write(AFRESH);
        }
    }

    fn write(&mut self, text: &str) {
        // Where standard error is closed, nobody is left to tell.
        drop(self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootTime = BootTime::from_duration(Duration::from_secs(100));

    fn said(manner: Manner, say: impl FnOnce(&mut Screen<Vec<u8>>)) -> String {
        let mut screen = Screen::of(Vec::new(), manner, START);
        say(&mut screen);
        String::from_utf8(screen.to).unwrap()
    }

    fn three_times(screen: &mut Screen<Vec<u8>>) {
        screen.note("begins");
        screen.progress("one", START + Duration::from_secs(1));
        screen.progress("two", START + LINE_PERIOD);
        screen.progress("three", START + LINE_PERIOD + Duration::from_secs(1));
        screen.last("ended");
    }

    #[test]
    fn a_terminal_has_one_line_that_the_last_word_replaces() {
        let expected = "begins\n\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kthree\r\x1b[Kended\n";
        assert_eq!(said(Manner::Refreshed, three_times), expected);
    }

    #[test]
    fn a_log_file_hears_of_it_now_and_then() {
        assert_eq!(said(Manner::NowAndThen, three_times), "begins\ntwo\nended\n");
    }

    #[test]
    fn who_is_quiet_says_the_last_line_only() {
        assert_eq!(said(Manner::Nothing, three_times), "ended\n");
    }

    #[test]
    fn no_name_steers_the_terminal() {
        let text = said(Manner::Refreshed, |screen| screen.note("a\x1b[2J"));
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}
