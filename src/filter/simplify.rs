//! From decisions to choices: those on the same field one behind another become one, and what an
//! earlier answer tells is not asked again.
//!
//! What is known of a decision is what holds on every way to it.

use super::decision::{Decision, Fact, Place, Source, Target};
use super::front::Front;

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

/// A graph of choices. A choice is known by the place of its first decision, and targets are such
/// places; each stands before what it leads to.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    pub(super) start: Target,
    /// Where the usual kinds of packets begin; absent where that is of no use.
    pub(super) front: Option<Box<Front<Target>>>,
    pub(super) choices: Vec<(usize, Choice)>,
}

/// The choices of a graph that begins with the first of its decisions.
pub(super) fn simplify(start: Target, decisions: &[Decision]) -> Choices {
    let mut facts: Vec<Option<Vec<Fact>>> = vec![None; decisions.len()];
    let front = Front::new(|known| {
        let target = skip(decisions, known, start);
        if let Target::Decision(first) = target {
            learn(&mut facts[first], known);
        }
        target
    });
    let is_useful = front != Front::new(|_known| start);
    if let Target::Decision(start) = start {
        learn(&mut facts[start], &[]);
    }
    let mut choices = Vec::new();
    for (at, decision) in decisions.iter().enumerate() {
        // Where nothing is told, not even that nothing is known, no way leads.
        let Some(known) = facts[at].take() else { continue };
        let source = decision.source;
        let (low, high) = bounds(&known, source).unwrap_or((0, source.mask));
        let known = with(&known, Fact { source, low, high });
        let choice = Spread { decisions, known: &known, source }.run(at);
        let mut low = 0;
        for piece in &choice.pieces {
            if let Target::Decision(next) = piece.target {
                let fact = Fact { source: choice.source, low, high: piece.last };
                learn(&mut facts[next], &with(&known, fact));
            }
            low = piece.last.saturating_add(1);
        }
        choices.push((at, choice));
    }
    Choices { start, front: is_useful.then(|| Box::new(front)), choices }
}

/// The first decision of which the answer is not known.
fn skip(decisions: &[Decision], known: &[Fact], mut target: Target) -> Target {
    while let Target::Decision(place) = target
        && let Some(decision) = decisions.get(place)
        && let Some(answer) = answer(known, decision)
    {
        target = if answer { decision.yes } else { decision.no };
    }
    target
}

/// What is known behind an answer.
fn with(known: &[Fact], fact: Fact) -> Vec<Fact> {
    let mut facts: Vec<_> = known.iter().filter(|one| one.source != fact.source).copied().collect();
    if facts.len() < MAX_FACTS {
        facts.push(fact);
    }
    facts
}

/// Keeps of what is known at a decision what also holds on one more way to it.
fn learn(facts: &mut Option<Vec<Fact>>, news: &[Fact]) {
    let Some(facts) = facts else {
        *facts = Some(news.to_vec());
        return;
    };
    facts.retain_mut(|one| {
        let Some(other) = news.iter().find(|news| news.source == one.source) else {
            return false;
        };
        (one.low, one.high) = (one.low.min(other.low), one.high.max(other.high));
        true
    });
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
        let (low, high) = bounds(self.known, self.source).unwrap_or((0, self.source.mask));
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
            } else if let Some(answer) = answer(self.known, decision) {
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
}

fn bounds(known: &[Fact], source: Source) -> Option<(u32, u32)> {
    let fact = known.iter().find(|fact| fact.source == source)?;
    Some((fact.low, fact.high))
}

/// How a decision goes, if that is known.
fn answer(known: &[Fact], decision: &Decision) -> Option<bool> {
    if decision.source.mask == 0 {
        let place = decision.source.place;
        return known.iter().any(|fact| shows(fact.source.place, place)).then_some(true);
    }
    let (low, high) = bounds(known, decision.source)?;
    if decision.low <= low && high <= decision.high {
        Some(true)
    } else {
        (high < decision.low || decision.high < low).then_some(false)
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
