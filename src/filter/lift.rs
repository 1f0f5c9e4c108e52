//! From a checked program to its decisions.
//!
//! Follows every way through the program with what the registers hold in terms of the packet, so
//! that each branch becomes a decision on a field. Where a register holds what has no such form,
//! the way ends undecided. A load that fails ends a program, whatever becomes of its value: each
//! is read by a decision on the way before the packet can be selected.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;

use super::decision::{Decision, Place, Source, Target};
use super::operation::{Arithmetic, Operand, Operation, Test, Ways, calculate, holds};

/// The most decisions of a graph. One for each branch is usual; more where a branch is reached
/// with different registers.
const MAX_DECISIONS: usize = 8_192;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    Constant(u32),
    /// A field, shifted right by so many bits, less than 32.
    Field(Source, u32),
    /// The length of the IPv4 header whose first byte stands there.
    HeaderLength(u16),
    /// What has no form here, or what nobody asks for any more.
    Unknown,
}

/// The registers before the instruction at `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    next: usize,
    a: Value,
    x: Value,
}

/// Where a way through instructions without a branch ends.
enum End {
    At(Target),
    /// At a branch: the field and its bounds, and how to go on.
    Branch {
        source: Source,
        low: u32,
        high: u32,
        yes: Next,
        no: Next,
    },
}

/// How a way goes on behind a branch.
#[derive(Clone, Copy)]
enum Next {
    Go(State),
    At(Target),
}

/// The decisions of a program, and where it begins.
pub(super) fn lift(operations: &[Operation]) -> (Target, Vec<Decision>) {
    let mut lifter = Lifter {
        operations,
        needed: needed(operations),
        found: Vec::new(),
        known: HashMap::new(),
        open: Vec::new(),
    };
    let start = lifter.target(State { next: 0, a: NOTHING, x: NOTHING });
    while let Some((id, yes, no)) = lifter.open.pop() {
        let (yes, no) = (lifter.resolve(yes), lifter.resolve(no));
        if let Some((_, decision)) = lifter.found.get_mut(id) {
            (decision.yes, decision.no) = (yes, no);
        }
    }
    in_order(start, &lifter.found)
}

struct Lifter<'o> {
    operations: &'o [Operation],
    needed: Vec<Needed>,
    /// Each with the place of its branch in the program.
    found: Vec<(usize, Decision)>,
    known: HashMap<State, Target>,
    /// Decisions whose ways have not been followed yet.
    open: Vec<(usize, Next, Next)>,
}

impl Lifter<'_> {
    fn resolve(&mut self, next: Next) -> Target {
        match next {
            Next::At(target) => target,
            Next::Go(state) => self.target(state),
        }
    }

    /// The decision that a way comes to from here, without what nobody asks for any more.
    fn target(&mut self, state: State) -> Target {
        let needed = self.needed.get(state.next).copied().unwrap_or_default();
        let kept = |value, is_needed| if is_needed { value } else { Value::Unknown };
        let state = State { a: kept(state.a, needed.a), x: kept(state.x, needed.x), ..state };
        let target = match self.known.entry(state) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(_) if self.found.len() >= MAX_DECISIONS => Target::Undecided,
            Entry::Vacant(_) => self.follow(state),
        };
        self.known.insert(state, target);
        target
    }

    fn follow(&mut self, state: State) -> Target {
        let mut way = Way { state, read: Vec::new() };
        let end = way.run(self.operations);
        let at = way.state.next;
        match end {
            End::At(Target::Select) => {
                // From the last to the first, as each needs to know what comes behind it.
                way.read
                    .iter()
                    .fold(Target::Select, |next, place| self.add(at, Decision::reach(*place, next)))
            }
            End::At(target) => target,
            End::Branch { source, low, high, yes, no } => {
                let unknown = Target::Undecided;
                let decision = Decision { source, low, high, yes: unknown, no: unknown };
                self.open.push((self.found.len(), yes, no));
                let branch = self.add(at, decision);
                way.read
                    .iter()
                    .filter(|place| !implies(source.place, **place))
                    .fold(branch, |next, place| self.add(at, Decision::reach(*place, next)))
            }
        }
    }

    fn add(&mut self, at: usize, decision: Decision) -> Target {
        self.found.push((at, decision));
        Target::Decision(self.found.len() - 1)
    }
}

/// Whether what is read at one place shows that the other is there as well.
fn implies(read: Place, other: Place) -> bool {
    match (read, other) {
        (Place::Fixed(read), Place::Fixed(other)) => other <= read,
        (Place::BehindHeader { header, .. }, Place::Fixed(other)) => {
            other.checked_add(BEFORE_LAST).is_some_and(|last| last <= header)
        }
        (read, other) => read == other,
    }
}

/// Sorts decisions so that each stands before its targets: by the place of its branch, and what
/// was found later, which reads ahead of it, first.
fn in_order(start: Target, found: &[(usize, Decision)]) -> (Target, Vec<Decision>) {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_key(|id| (found[*id].0, std::cmp::Reverse(*id)));
    let mut places = vec![0; found.len()];
    for (place, id) in order.iter().enumerate() {
        places[*id] = place;
    }
    let moved = |target| match target {
        Target::Decision(id) => Target::Decision(places[id]),
        target @ (Target::Select | Target::Refuse | Target::Undecided) => target,
    };
    let decisions = order.iter().map(|id| {
        let decision = found[*id].1;
        Decision { yes: moved(decision.yes), no: moved(decision.no), ..decision }
    });
    (moved(start), decisions.collect())
}

const UNDECIDED: End = End::At(Target::Undecided);

/// What a register holds at the start.
const NOTHING: Value = Value::Constant(0);

const WIRE_LENGTH: Value = Value::Field(Source { place: Place::WireLength, mask: u32::MAX }, 0);

/// The bytes of a word that stand before its last.
const BEFORE_LAST: u16 = 3;

/// A field of 1, 2 or 4 bytes at an offset, read with what stands around it.
#[derive(Clone, Copy)]
struct Window {
    /// Where the four bytes begin.
    at: u16,
    mask: u32,
    shift: u32,
}

impl Window {
    /// Ends with the field, or begins with it where there is no room before it.
    fn new(at: u32, bytes: u32) -> Option<Self> {
        let mask = u32::MAX >> (32 - 8 * bytes);
        let (at, shift) = match at.checked_add(bytes)?.checked_sub(4) {
            Some(start) => (start, 0),
            None => (at, 32 - 8 * bytes),
        };
        Some(Self { at: u16::try_from(at).ok()?, mask: mask << shift, shift })
    }
}

/// One way through instructions without a branch.
struct Way {
    state: State,
    /// What its loads have read.
    read: Vec<Place>,
}

impl Way {
    fn run(&mut self, operations: &[Operation]) -> End {
        while let Some(operation) = operations.get(self.state.next) {
            if let ControlFlow::Break(end) = self.step(operation) {
                return end;
            }
        }
        // The check lets no way pass the last return.
        UNDECIDED
    }

    /// One instruction; breaks off where the way ends.
    fn step(&mut self, operation: &Operation) -> ControlFlow<End> {
        let State { a, x, next } = self.state;
        let mut after = State { a, x, next: next + 1 };
        match *operation {
            Operation::LoadWord(at) => after.a = self.load(NOTHING, at, 4)?,
            Operation::LoadHalf(at) => after.a = self.load(NOTHING, at, 2)?,
            Operation::LoadByte(at) => after.a = self.load(NOTHING, at, 1)?,
            Operation::LoadWordAtX(at) => after.a = self.load(x, at, 4)?,
            Operation::LoadHalfAtX(at) => after.a = self.load(x, at, 2)?,
            Operation::LoadByteAtX(at) => after.a = self.load(x, at, 1)?,
            Operation::LoadConstant(k) => after.a = Value::Constant(k),
            Operation::LoadMemory(_) => after.a = Value::Unknown,
            Operation::LoadLength => after.a = WIRE_LENGTH,
            Operation::LoadXConstant(k) => after.x = Value::Constant(k),
            Operation::LoadXMemory(_) => after.x = Value::Unknown,
            Operation::LoadXLength => after.x = WIRE_LENGTH,
            Operation::LoadXHeaderLength(at) => {
                self.load(NOTHING, at, 1)?;
                after.x = u16::try_from(at).map_or(Value::Unknown, Value::HeaderLength);
            }
            Operation::Store(_) | Operation::StoreX(_) => {}
            Operation::Calculate(arithmetic, operand) => {
                let operand = if let Operand::K(k) = operand { Value::Constant(k) } else { x };
                after.a = calculated(arithmetic, a, operand)?;
            }
            Operation::Negate => after.a = calculated(Arithmetic::Subtract, NOTHING, a)?,
            Operation::Jump(by) => after.next = behind(next, by),
            Operation::IfEqual(k, ways) => after.next = self.branch(Test::Equal, k, ways)?,
            Operation::IfGreater(k, ways) => after.next = self.branch(Test::Greater, k, ways)?,
            Operation::IfAtLeast(k, ways) => after.next = self.branch(Test::AtLeast, k, ways)?,
            Operation::IfAnyBit(k, ways) => after.next = self.branch(Test::AnyBit, k, ways)?,
            Operation::IfX(test, ways) => {
                let Value::Constant(k) = x else { return ControlFlow::Break(UNDECIDED) };
                after.next = self.branch(test, k, ways)?;
            }
            Operation::Return(k) => return ControlFlow::Break(returned(k)),
            Operation::ReturnA => return ControlFlow::Break(self.return_a()),
            Operation::CopyAToX => after.x = a,
            Operation::CopyXToA => after.a = x,
        }
        self.state = after;
        ControlFlow::Continue(())
    }

    /// The field of so many bytes at `base` + `at`.
    fn load(&mut self, base: Value, at: u32, bytes: u32) -> ControlFlow<End, Value> {
        let found = match base {
            Value::Constant(base) => base
                .checked_add(at)
                .and_then(|at| Window::new(at, bytes))
                .map(|window| (window, Place::Fixed(window.at))),
            Value::HeaderLength(header) => Window::new(at, bytes)
                .map(|window| (window, Place::BehindHeader { header, at: window.at })),
            Value::Field(..) | Value::Unknown => None,
        };
        let Some((window, place)) = found else { return ControlFlow::Break(UNDECIDED) };
        self.read.push(place);
        ControlFlow::Continue(Value::Field(Source { place, mask: window.mask }, window.shift))
    }

    /// A branch on A and a constant; where it is known which way it goes, the next instruction.
    fn branch(&self, test: Test, k: u32, ways: Ways) -> ControlFlow<End, usize> {
        let State { a, x, next } = self.state;
        let [yes, no] = [ways.yes, ways.no].map(|by| behind(next, by.into()));
        let (source, shift) = match a {
            Value::Constant(a) => {
                return ControlFlow::Continue(if holds(test, a, k) { yes } else { no });
            }
            Value::Field(source, shift) => (source, shift),
            Value::HeaderLength(_) | Value::Unknown => return ControlFlow::Break(UNDECIDED),
        };
        let [yes, no] = [yes, no].map(|next| Next::Go(State { next, a, x }));
        ControlFlow::Break(question(test, k, (source, shift), yes, no))
    }

    fn return_a(&self) -> End {
        let [yes, no] = [Target::Select, Target::Refuse].map(Next::At);
        match self.state.a {
            Value::Constant(k) => returned(k),
            Value::Field(source, shift) => question(Test::Greater, 0, (source, shift), yes, no),
            Value::HeaderLength(_) | Value::Unknown => UNDECIDED,
        }
    }
}

const fn returned(k: u32) -> End {
    End::At(if k == 0 { Target::Refuse } else { Target::Select })
}

/// Where a jump leads that skips so many instructions.
fn behind(at: usize, by: u32) -> usize {
    usize::try_from(by).map_or(usize::MAX, |by| at + 1 + by)
}

/// The branch on a field that is shifted right: from the test of its value to bounds in its place.
fn question(test: Test, k: u32, (source, shift): (Source, u32), yes: Next, no: Next) -> End {
    let most = source.mask >> shift;
    let bounds = match test {
        Test::Equal => (k & !most == 0).then_some((source.mask, k << shift, k << shift)),
        Test::Greater => (k < most).then(|| (source.mask, (k + 1) << shift, u32::MAX)),
        Test::AtLeast => (k <= most).then_some((source.mask, k << shift, u32::MAX)),
        Test::AnyBit => {
            let mask = source.mask & (k << shift);
            (mask != 0).then_some((mask, 1, u32::MAX))
        }
    };
    let place = source.place;
    match bounds {
        Some((mask, low, high)) => {
            End::Branch { source: Source { place, mask }, low, high, yes, no }
        }
        // It never holds, but the field has to be there.
        None => {
            let (source, unknown) = (Source { place, mask: 0 }, Next::At(Target::Undecided));
            End::Branch { source, low: 0, high: u32::MAX, yes: no, no: unknown }
        }
    }
}

/// What arithmetic makes of A.
fn calculated(arithmetic: Arithmetic, a: Value, operand: Value) -> ControlFlow<End, Value> {
    let divides = matches!(arithmetic, Arithmetic::Divide | Arithmetic::Modulo);
    let value = match (a, operand) {
        (_, Value::Constant(0)) if divides => return ControlFlow::Break(returned(0)),
        (Value::Constant(a), Value::Constant(b)) => {
            calculate(arithmetic, a, b).map_or(Value::Unknown, Value::Constant)
        }
        (Value::Field(source, shift), Value::Constant(k)) if arithmetic == Arithmetic::And => {
            Value::Field(Source { mask: source.mask & (k << shift), ..source }, shift)
        }
        (Value::Field(source, shift), Value::Constant(k))
            if arithmetic == Arithmetic::ShiftRight =>
        {
            match shift.checked_add(k).and_then(|shift| Some((shift, u32::MAX.checked_shl(shift)?)))
            {
                Some((shift, kept)) => {
                    Value::Field(Source { mask: source.mask & kept, ..source }, shift)
                }
                None => Value::Constant(0),
            }
        }
        (_, Value::Constant(_)) => Value::Unknown,
        // It may be zero, which ends a program.
        (_, Value::Field(..) | Value::HeaderLength(_) | Value::Unknown) if divides => {
            return ControlFlow::Break(UNDECIDED);
        }
        (_, Value::Field(..) | Value::HeaderLength(_) | Value::Unknown) => Value::Unknown,
    };
    ControlFlow::Continue(value)
}

/// Which registers somebody asks for before they are written again.
#[derive(Clone, Copy, Debug, Default)]
struct Needed {
    a: bool,
    x: bool,
}

/// What is needed before each instruction.
fn needed(operations: &[Operation]) -> Vec<Needed> {
    let mut before = vec![Needed::default(); operations.len()];
    for (at, operation) in operations.iter().enumerate().rev() {
        let jumps = operation.jumps();
        let targets = jumps.into_iter().flatten().map(|by| behind(at, by));
        let next = (jumps == [None, None]).then_some(at + 1);
        let after = targets
            .chain(next)
            .filter_map(|at| before.get(at))
            .fold(Needed::default(), |all, one| Needed { a: all.a || one.a, x: all.x || one.x });
        before[at] = before_one(operation, after);
    }
    before
}

fn before_one(operation: &Operation, after: Needed) -> Needed {
    match operation {
        Operation::LoadWord(_)
        | Operation::LoadHalf(_)
        | Operation::LoadByte(_)
        | Operation::LoadConstant(_)
        | Operation::LoadMemory(_)
        | Operation::LoadLength => Needed { a: false, ..after },
        Operation::LoadWordAtX(_)
        | Operation::LoadHalfAtX(_)
        | Operation::LoadByteAtX(_)
        | Operation::CopyXToA => Needed { a: false, x: true },
        Operation::LoadXConstant(_)
        | Operation::LoadXMemory(_)
        | Operation::LoadXLength
        | Operation::LoadXHeaderLength(_) => Needed { x: false, ..after },
        Operation::StoreX(_) => Needed { x: true, ..after },
        Operation::Calculate(_, Operand::X) | Operation::IfX(..) => Needed { a: true, x: true },
        Operation::Store(_)
        | Operation::Calculate(_, Operand::K(_))
        | Operation::Negate
        | Operation::IfEqual(..)
        | Operation::IfGreater(..)
        | Operation::IfAtLeast(..)
        | Operation::IfAnyBit(..) => Needed { a: true, ..after },
        Operation::Jump(_) => after,
        Operation::Return(_) => Needed::default(),
        Operation::ReturnA => Needed { a: true, x: false },
        Operation::CopyAToX => Needed { a: true, x: false },
    }
}
