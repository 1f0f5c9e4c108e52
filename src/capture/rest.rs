//! Who hears of the blocks of a log: those that read them, and those that rest.
//!
//! A reader that has read all there is and found nothing in it may rest. Then a scout (`scout`) looks
//! at each block once for all that rest, and calls those for which there may be something in it.
//!
//! ```text
//! reading --all is read, nothing was selected--> resting --a block may concern it--> called
//!    ^                                              |                                  |
//!    +------------- it gets up by itself -----------+----------------------------------+
//! ```
//!
//! Invariant: each packet before the next block of a resting reader is in its account, and was either
//! read by it or is one of the window that its filter does not select. Nobody looks for it at the
//! block that it was called for: it does so itself.

use std::sync::{Arc, Weak};

use crate::capture::bell::Bell;
use crate::clock::WallTime;
use crate::filter::Program;

/// How many readers of one log may rest: a bit of [`Seats`] for each. More have to read themselves.
pub(super) const MOST_SEATS: usize = 128;

/// A set of seats, by their bits.
pub(super) type Seats = u128;

/// The readers of whom a scout must know all: with fewer it saves nothing.
const WORTH_A_SCOUT: usize = 2;

/// Where a reader stands, and what came by while it rested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Sequence number of the next block.
    pub(super) next: u64,
    /// Packets of all blocks before it.
    pub(super) received: u64,
    /// Packets that the kernel had dropped before the last block.
    pub(super) dropped: u64,
    /// Packets that were looked at for it, none of which it selects.
    pub(super) seen: u64,
}

/// What a resting reader wants to be called for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// Packets before this instant are none of its window,
    pub(super) from: WallTime,
    /// nor those from this on.
    pub(super) until: WallTime,
    pub(super) program: Arc<Program>,
}

/// What a scout found in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Findings {
    pub(super) sequence: u64,
    pub(super) packets: u32,
    /// The bounds of their stamps.
    pub(super) earliest: WallTime,
    pub(super) latest: WallTime,
    /// The seats with a filter that selects one of them.
    pub(super) selected_by: Seats,
    /// Packets of this block and all before it.
    pub(super) received: u64,
    pub(super) dropped: u64,
}

/// Names a reader for as long as it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u64);

#[derive(Debug)]
struct Listener {
    name: Name,
    bell: Weak<Bell>,
    /// Its program is at the place of its seat; it stays when the reader gets up.
    seat: Option<usize>,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    account: Account,
    from: WallTime,
    until: WallTime,
    is_called: bool,
}

/// All readers of a log.
#[derive(Debug, Default)]
pub(super) struct Readers {
    listeners: Vec<Listener>,
    names: u64,
    seats: Vec<Option<Arc<Program>>>,
    /// Counts the changes of the programs.
    generation: u64,
    /// The scout's bell, while there is a scout.
    scout: Weak<Bell>,
}

/// Where the next look of a scout is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The oldest block that somebody rests before.
    pub(super) sequence: u64,
    /// Who does.
    pub(super) seats: Seats,
    /// How many blocks have come from there on.
    pub(super) behind: u64,
    /// Of the programs that they have.
    pub(super) generation: u64,
}

impl Readers {
    /// A reader hears its bell from now on, as long as it is kept.
    pub(super) fn join(&mut self, bell: &Arc<Bell>) -> Name {
        self.names += 1;
        let name = Name(self.names);
        self.listeners.push(Listener { name, bell: Arc::downgrade(bell), seat: None, rest: None });
        name
    }

    pub(super) fn leave(&mut self, name: Name) {
        self.listeners.retain(|listener| listener.name != name);
        self.forget_seats();
    }

    pub(super) fn count(&mut self) -> usize {
        self.listeners.retain(|listener| listener.bell.strong_count() > 0);
        self.forget_seats();
        self.listeners.len()
    }

    /// Tells all that read of new blocks, and the scout, if somebody rests.
    pub(super) fn ring(&mut self) {
        self.count();
        let mut is_somebody_resting = false;
        for listener in &self.listeners {
            if listener.rest.is_some() {
                is_somebody_resting = true;
            } else if let Some(bell) = listener.bell.upgrade() {
                bell.ring();
            }
        }
        if is_somebody_resting && let Some(scout) = self.scout.upgrade() {
            scout.ring();
        }
    }

    /// Wakes all, whatever they do.
    pub(super) fn ring_all(&self) {
        let bells = self.listeners.iter().map(|listener| &listener.bell);
        bells.chain([&self.scout]).filter_map(Weak::upgrade).for_each(|bell| bell.ring());
    }

    /// Whether a scout would save work.
    pub(super) fn is_worth_a_scout(&mut self) -> bool {
        self.count() >= WORTH_A_SCOUT
    }

    pub(super) fn has_scout(&self) -> bool {
        self.scout.strong_count() > 0
    }

    /// A scout hears this bell from now on, until it drops it. False if there is one already.
    pub(super) fn appoint(&mut self, bell: &Arc<Bell>) -> bool {
        let is_free = !self.has_scout();
        if is_free {
            self.scout = Arc::downgrade(bell);
        }
        is_free
    }

    /// Lets the scout go. False while somebody rests.
    pub(super) fn dismiss(&mut self) -> bool {
        let is_free = !self.is_anybody_resting();
        if is_free {
            self.scout = Weak::new();
        }
        is_free
    }

    /// Lets a reader rest. False where there is no seat for it.
    pub(super) fn rest(&mut self, name: Name, account: Account, wish: &Wish) -> bool {
        let place = self.listeners.iter().position(|listener| listener.name == name);
        let Some(place) = place else { return false };
        let seat = self.listeners[place].seat.or_else(|| self.take_seat(&wish.program));
        let listener = &mut self.listeners[place];
        listener.seat = seat;
        if seat.is_none() {
            return false;
        }
        let Wish { from, until, .. } = *wish;
        listener.rest = Some(Rest { account, from, until, is_called: false });
        true
    }

    /// What came by for a resting reader since it last asked, and whether it was called, or nobody
    /// is there to call it.
    pub(super) fn ask(&mut self, name: Name) -> Option<(Account, bool)> {
        let has_scout = self.has_scout();
        let rest = self.listener(name)?.rest.as_mut()?;
        let account = rest.account;
        rest.account.seen = 0;
        Some((account, rest.is_called || !has_scout))
    }

    /// The reader reads again, from where its account stands.
    pub(super) fn get_up(&mut self, name: Name) -> Option<Account> {
        self.listener(name)?.rest.take().map(|rest| rest.account)
    }

    /// The next block for the scout, of those before `end`.
    pub(super) fn due(&self, end: u64) -> Option<Due> {
        let waiting = |listener: &Listener| {
            let rest = listener.rest.as_ref().filter(|rest| !rest.is_called)?;
            Some((rest.account.next, listener.seat?))
        };
        let all = || self.listeners.iter().filter_map(waiting);
        let sequence = all().map(|(next, _)| next).min().filter(|next| *next < end)?;
        let here = all().filter(|(next, _)| *next == sequence);
        let seats = here.fold(0, |seats, (_, seat)| seats | bit(seat));
        let behind = end - sequence;
        Some(Due { sequence, seats, behind, generation: self.generation })
    }

    /// Whether anybody rests.
    pub(super) fn is_anybody_resting(&self) -> bool {
        self.listeners.iter().any(|listener| listener.rest.is_some())
    }

    /// The programs by seats, and how often they have changed.
    pub(super) fn programs(&self) -> (u64, Vec<Option<Arc<Program>>>) {
        (self.generation, self.seats.clone())
    }

    /// Brings all that rest before this block behind it, but those that it may concern: these it
    /// calls.
    pub(super) fn settle(&mut self, findings: &Findings) {
        for listener in &mut self.listeners {
            let (Some(rest), Some(seat)) = (&mut listener.rest, listener.seat) else { continue };
            if rest.is_called || rest.account.next != findings.sequence {
                continue;
            }
            let is_in_window = findings.packets == 0
                || (findings.earliest >= rest.from && findings.latest < rest.until);
            if is_in_window && findings.selected_by & bit(seat) == 0 {
                rest.account.next += 1;
                rest.account.seen += u64::from(findings.packets);
                (rest.account.received, rest.account.dropped) =
                    (findings.received, findings.dropped);
            } else {
                call(rest, &listener.bell);
            }
        }
    }

    /// Calls all that rest before this block or an older one.
    pub(super) fn call_up_to(&mut self, sequence: u64) {
        for listener in &mut self.listeners {
            if let Some(rest) = &mut listener.rest
                && !rest.is_called
                && rest.account.next <= sequence
            {
                call(rest, &listener.bell);
            }
        }
    }

    fn listener(&mut self, name: Name) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.name == name)
    }

    fn take_seat(&mut self, program: &Arc<Program>) -> Option<usize> {
        let free = self.seats.iter().position(Option::is_none);
        let seat = free.or_else(|| (self.seats.len() < MOST_SEATS).then_some(self.seats.len()))?;
        if seat == self.seats.len() {
            self.seats.push(None);
        }
        self.seats[seat] = Some(Arc::clone(program));
        self.generation += 1;
        Some(seat)
    }

    /// Frees the seats of those that are gone.
    fn forget_seats(&mut self) {
        let taken = self.listeners.iter().filter_map(|listener| listener.seat);
        let taken = taken.fold(0, |seats, seat| seats | bit(seat));
        for (seat, program) in self.seats.iter_mut().enumerate() {
            if taken & bit(seat) == 0 && program.take().is_some() {
                self.generation += 1;
            }
        }
    }
}

fn call(rest: &mut Rest, bell: &Weak<Bell>) {
    rest.is_called = true;
    if let Some(bell) = bell.upgrade() {
        bell.ring();
    }
}

/// The set of one seat.
pub(super) const fn bit(seat: usize) -> Seats {
    1 << (seat % MOST_SEATS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::filter::{Filter, LinkType, compile};

    const fn at(nanos: i64) -> WallTime {
        WallTime::from_nanos(nanos)
    }

    fn wish() -> Wish {
        let program = compile(&Filter::default(), &[], LinkType::Ethernet).unwrap();
        Wish { from: at(100), until: at(200), program: Arc::new(program) }
    }

    const START: Account = Account { next: 7, received: 60, dropped: 1, seen: 0 };

    fn findings(sequence: u64, selected_by: Seats) -> Findings {
        let received = 60 + (sequence - 6) * 10;
        let (earliest, latest) = (at(100), at(199));
        Findings { sequence, packets: 10, earliest, latest, selected_by, received, dropped: 3 }
    }

    fn is_rung(bell: &Bell) -> bool {
        let waited = clock::boot_time();
        bell.wait(Duration::from_secs(5));
        clock::boot_time().since(waited) < Duration::from_secs(1)
    }

    /// Two readers that rest before block 7, and the scout's bell.
    fn resting() -> (Readers, [(Name, Arc<Bell>); 2], Arc<Bell>) {
        let (mut readers, scout) = (Readers::default(), Arc::<Bell>::default());
        assert!(readers.appoint(&scout));
        let two = [(), ()].map(|()| {
            let bell = Arc::default();
            let name = readers.join(&bell);
            assert!(readers.rest(name, START, &wish()));
            (name, bell)
        });
        (readers, two, scout)
    }

    #[test]
    fn blocks_without_anything_for_a_reader_go_by_and_are_in_its_account() {
        let (mut readers, [(one, _), _], _scout) = resting();
        assert_eq!(readers.due(7), None);
        assert_eq!(readers.due(9).map(|due| (due.sequence, due.seats)), Some((7, 3)));
        readers.settle(&findings(7, 0));
        readers.settle(&findings(8, 0));
        let account = Account { next: 9, received: 80, dropped: 3, seen: 20 };
        assert_eq!(readers.ask(one), Some((account, false)));
        let account = Account { seen: 0, ..account };
        assert_eq!(readers.get_up(one), Some(account), "what was told is not told again");
        assert_eq!(readers.ask(one), None);
    }

    #[test]
    fn who_is_called_stays_before_the_block_that_it_is_called_for() {
        let (mut readers, [(one, bell), (other, _)], _scout) = resting();
        readers.settle(&findings(7, bit(0)));
        readers.settle(&findings(8, 0));
        assert!(is_rung(&bell));
        assert_eq!(readers.ask(one), Some((START, true)));
        assert_eq!(
            readers.ask(other).map(|(account, is_called)| (account.next, is_called)),
            Some((9, false))
        );
        assert_eq!(readers.due(9), None, "it is nobody's but its own");
    }

    #[test]
    fn a_stamp_outside_the_window_is_a_reason_to_call() {
        for (earliest, latest) in [(at(99), at(150)), (at(150), at(200))] {
            let (mut readers, [(one, _), _], _scout) = resting();
            readers.settle(&Findings { earliest, latest, ..findings(7, 0) });
            assert_eq!(readers.ask(one), Some((START, true)));
        }
    }

    #[test]
    fn nobody_rests_on_without_a_scout() {
        let (mut readers, [(one, _), _], scout) = resting();
        assert!(!readers.appoint(&Arc::default()) && !readers.dismiss());
        drop(scout);
        assert_eq!(readers.ask(one), Some((START, true)));
    }

    #[test]
    fn new_blocks_wake_the_scout_and_who_reads() {
        let (mut readers, [(one, awake), (_, resting)], scout) = resting();
        readers.get_up(one);
        readers.ring();
        assert!(is_rung(&scout) && is_rung(&awake));
        let waited = clock::boot_time();
        resting.wait(Duration::from_millis(20));
        assert!(clock::boot_time().since(waited) >= Duration::from_millis(20));
    }

    #[test]
    fn seats_are_limited_and_pass_on_from_those_that_are_gone() {
        let mut readers = Readers::default();
        let bells: Vec<Arc<Bell>> = (0..=MOST_SEATS).map(|_| Arc::default()).collect();
        let names: Vec<_> = bells.iter().map(|bell| readers.join(bell)).collect();
        let wish = wish();
        let rested: Vec<_> = names.iter().map(|name| readers.rest(*name, START, &wish)).collect();
        assert_eq!(rested.iter().filter(|rests| **rests).count(), MOST_SEATS);
        let (before, _) = readers.programs();
        readers.leave(names[3]);
        assert!(readers.rest(names[MOST_SEATS], START, &wish));
        let (after, programs) = readers.programs();
        assert!(after > before && programs.iter().all(Option::is_some));
    }
}
