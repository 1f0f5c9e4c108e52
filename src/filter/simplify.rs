//! From decisions to choices: those on the same field one behind another become one, and what an
//! earlier answer tells is not asked again.
//!
//! What is known of a decision is what holds on every way to it.

use super::decision::{Decision, Place, Source, Target};

/// How often one choice may pass a decision while it is put together; it bounds the work.
const MAX_PASSED: usize = 512;

/// How many fields are remembered on a way.
const MAX_FACTS: usize = 64;

/// A field, and where each of its values leads. A packet without the four bytes is undecided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) source: Source,
    /// By value, without a gap, from 0 to the mask; neighbours lead elsewhere.
    pub(super) pieces: Vec<Piece>,
}

/// Values from the one behind the piece before, and where they lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The last value, inclusive.
    pub(super) last: u32,
    pub(super) target: Target,
    /// The place of the decision that told: what a program asks first is the likeliest.
    pub(super) told_by: usize,
}

/// A field that has been read and the bounds of its value, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fact {
    source: Source,
    low: u32,
    high: u32,
}

/// The choices of a graph and where it begins; a choice keeps the place of its first decision,
/// and targets are such places.
pub(super) fn simplify(start: Target, decisions: &[Decision]) -> Vec<(usize, Choice)> {
    let mut facts: Vec<Option<Vec<Fact>>> = vec![None; decisions.len()];
    if let Target::Decision(start) = start {
        facts[start] = Some(Vec::new());
    }
    let mut choices = Vec::new();
    for (at, decision) in decisions.iter().enumerate() {
        // Where nothing is told, not even that nothing is known, no way leads.
        let Some(known) = facts[at].take() else { continue };
        let choice = Spread { decisions, known: &known, source: decision.source }.run(at);
        let mut low = 0;
        for piece in &choice.pieces {
            if let Target::Decision(next) = piece.target {
                let fact = Fact { source: choice.source, low, high: piece.last };
                learn(&mut facts[next], &known, fact);
            }
            low = piece.last.saturating_add(1);
        }
        choices.push((at, choice));
    }
    choices
}

/// Keeps of what is known at a decision what also holds on one more way to it.
fn learn(facts: &mut Option<Vec<Fact>>, known: &[Fact], fact: Fact) {
    let room = known.len() < MAX_FACTS;
    let news = known.iter().filter(|one| one.source != fact.source).copied();
    let news = news.chain(room.then_some(fact));
    match facts {
        None => *facts = Some(news.collect()),
        Some(facts) => {
            let news: Vec<_> = news.collect();
            facts.retain_mut(|one| {
                let Some(other) = news.iter().find(|news| news.source == one.source) else {
                    return false;
                };
                (one.low, one.high) = (one.low.min(other.low), one.high.max(other.high));
                true
            });
        }
    }
}

/// Follows where the values of one field lead.
struct Spread<'d> {
    decisions: &'d [Decision],
    known: &'d [Fact],
    source: Source,
}

impl Spread<'_> {
    fn run(&self, first: usize) -> Choice {
        let mut pieces: Vec<Piece> = Vec::new();
        // What is still to follow, the lowest values last.
        let (low, high) = self.bounds(self.source).unwrap_or((0, self.source.mask));
        let mut open = vec![(low, high, Target::Decision(first), first)];
        let mut passed = 0;
        while let Some((low, high, target, told_by)) = open.pop() {
            let place = if let Target::Decision(place) = target { Some(place) } else { None };
            let passes = place.filter(|_| passed < MAX_PASSED);
            let decision = passes.and_then(|place| Some((place, self.decisions.get(place)?)));
            let Some((place, decision)) = decision else {
                put(&mut pieces, Piece { last: high, target, told_by });
                continue;
            };
            passed += 1;
            if decision.source == self.source {
                let values = split((low, high), (decision.low, decision.high));
                let targets = [decision.no, decision.yes, decision.no];
                let parts = values.into_iter().zip(targets).rev();
                open.extend(parts.filter_map(|(values, target)| {
                    values.map(|(low, high)| (low, high, target, place))
                }));
            } else if let Some(answer) = self.answer(decision) {
                open.push((low, high, if answer { decision.yes } else { decision.no }, told_by));
            } else {
                put(&mut pieces, Piece { last: high, target, told_by });
            }
        }
        if let Some(last) = pieces.last_mut() {
            // Values that cannot come lead where their neighbours do.
            last.last = self.source.mask;
        }
        Choice { source: self.source, pieces }
    }

    fn bounds(&self, source: Source) -> Option<(u32, u32)> {
        let fact = self.known.iter().find(|fact| fact.source == source)?;
        Some((fact.low, fact.high))
    }

    /// How a decision on another field goes, if that is known.
    fn answer(&self, decision: &Decision) -> Option<bool> {
        let place = decision.source.place;
        if decision.source.mask == 0 {
            let read = self.known.iter().map(|fact| fact.source.place).chain([self.source.place]);
            return read.into_iter().any(|read| shows(read, place)).then_some(true);
        }
        let (low, high) = self.bounds(decision.source)?;
        if decision.low <= low && high <= decision.high {
            Some(true)
        } else {
            (high < decision.low || decision.high < low).then_some(false)
        }
    }
}

/// Whether what was read at one place shows that the other is there as well.
fn shows(read: Place, other: Place) -> bool {
    match (read, other) {
        (Place::Fixed(read), Place::Fixed(other)) => other <= read,
        (read, other) => read == other,
    }
}

/// The values below, within and above a range.
fn split((low, high): (u32, u32), (first, last): (u32, u32)) -> [Option<(u32, u32)>; 3] {
    let some = |low: u32, high: u32| (low <= high).then_some((low, high));
    [
        first.checked_sub(1).and_then(|below| some(low, high.min(below))),
        some(low.max(first), high.min(last)),
        last.checked_add(1).and_then(|above| some(low.max(above), high)),
    ]
}

/// Adds a piece; one that leads where the last does makes that longer.
fn put(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.target == piece.target => {
            last.last = piece.last;
            last.told_by = last.told_by.max(piece.told_by);
        }
        Some(_) | None => pieces.push(piece),
    }
}
