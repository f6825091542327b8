//! Deadlines by the hundred thousand, most of which never come: idle connections, stalled writes.
//!
//! A hierarchical timing wheel (G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels",
//! 1987) with a coarse tick. Its owner does not touch it on activity: it notes the time of it,
//! and when the deadline comes, arms again for what is left.

#[cfg(test)]
mod tests;

/// The wheel's precision in nanoseconds: a deadline is handed out at most so much late.
const TICK: u64 = 100_000_000;

/// Each level has 64 slots, and each slot of the next level is as wide as this one in all: 0.1 s,
/// 6.4 s, 6.8 min, 7.3 h, 19 days, 3.4 years.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 6;

/// What a node has instead of its tick while it waits for its next use.
const VACANT: u32 = u32::MAX;
/// What a node has instead of its tick from its expiry to the next one.
const SPENT: u32 = u32::MAX - 1;
/// The tick of deadlines that lie behind all others.
const NEVER: u32 = u32::MAX - 2;

/// No node.
const NONE: u32 = u32::MAX;

/// Nodes that may stay allocated without use.
const SPARE: usize = 64;

/// Armed deadlines, each with the token of its owner.
///
/// # Limits
/// 2³² - 1 deadlines of 20 bytes each. A deadline more than 13 years away never comes.
#[derive(Debug)]
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    levels: [Level; LEVELS],
    /// All ticks up to this one have been handed out. A node is on the level of the highest digit
    /// in which its tick differs from this one, in the slot that the digit names.
    current: u32,
    vacant: List,
    spent: List,
}

/// A deadline, in the list of its slot. The token is in halves to save four bytes of padding.
#[derive(Debug)]
struct Node {
    token: [u32; 2],
    tick: u32,
    previous: u32,
    next: u32,
}

/// The first node of a ring of nodes, or `NONE`.
#[derive(Clone, Copy, Debug)]
struct List(u32);

#[derive(Clone, Copy, Debug)]
struct Level {
    /// A bit for each slot that is not empty.
    occupied: u64,
    slots: [List; SLOTS],
    /// No tick in the slot is before this one, unless the slot is empty.
    earliest: [u32; SLOTS],
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let level = Level {
            occupied: 0,
            slots: [List(NONE); SLOTS],
            earliest: [NEVER; SLOTS],
        };
        Self {
            nodes: Vec::new(),
            levels: [level; LEVELS],
            current: 0,
            vacant: List(NONE),
            spent: List(NONE),
        }
    }

    /// Has the token handed out once `deadline` has come; `None` when the wheel is full.
    ///
    /// The number names the deadline for [`disarm`](Self::disarm), until the token is handed out.
    pub(crate) fn arm(&mut self, token: u64, deadline: u64) -> Option<u32> {
        let tick = deadline.div_ceil(TICK).min(u64::from(NEVER)) as u32;
        let node = Node {
            token: [(token >> 32) as u32, token as u32],
            tick: tick.max(self.current + 1),
            previous: NONE,
            next: NONE,
        };
        let at = if self.vacant.0 == NONE {
            let at = u32::try_from(self.nodes.len())
                .ok()
                .filter(|at| *at != NONE)?;
            self.nodes.push(node);
            at
        } else {
            let at = self.vacant.0;
            self.vacant.unlink(&mut self.nodes, at);
            self.nodes[at as usize] = node;
            at
        };
        self.link(at);
        Some(at)
    }

    /// Forgets a deadline.
    ///
    /// One whose token has been handed out may be disarmed without effect until the next
    /// [`expire`](Self::expire), so that owners need not be told in any particular order.
    pub(crate) fn disarm(&mut self, at: u32) {
        let Some(tick) = self.nodes.get(at as usize).map(|node| node.tick) else {
            return;
        };
        if tick == VACANT || tick == SPENT {
            return;
        }
        let (level, slot) = self.place(tick);
        let level = &mut self.levels[level];
        level.slots[slot].unlink(&mut self.nodes, at);
        if level.slots[slot].0 == NONE {
            level.occupied &= !(1 << slot);
        }
        self.vacate(at);
        self.trim();
    }

    /// Appends the tokens of all deadlines that have come at `now`, and forgets these deadlines.
    ///
    /// Tokens come in the order of their ticks, those of one tick in the order of arming.
    pub(crate) fn expire(&mut self, now: u64, out: &mut Vec<u64>) {
        while self.spent.0 != NONE {
            let at = self.spent.0;
            self.spent.unlink(&mut self.nodes, at);
            self.vacate(at);
        }
        self.trim();
        let target = (now / TICK).min(u64::from(NEVER - 1)) as u32;
        while let Some((level, slot)) = self.first() {
            let start = self.start(level, slot);
            if start > target {
                break;
            }
            self.current = start;
            let level = &mut self.levels[level];
            level.occupied &= !(1 << slot);
            let mut list = std::mem::replace(&mut level.slots[slot], List(NONE));
            while list.0 != NONE {
                let at = list.0;
                list.unlink(&mut self.nodes, at);
                let node = &mut self.nodes[at as usize];
                if node.tick > start {
                    self.link(at);
                } else {
                    node.tick = SPENT;
                    let [high, low] = node.token;
                    out.push(u64::from(high) << 32 | u64::from(low));
                    self.spent.append(&mut self.nodes, at);
                }
            }
        }
        self.current = self.current.max(target);
    }

    /// When [`expire`](Self::expire) should be called next, on the same clock as the deadlines.
    ///
    /// It is the exact time of the next token, but may be earlier by what was disarmed since.
    pub(crate) fn next_wakeup(&self) -> Option<u64> {
        let (level, slot) = self.first()?;
        let tick = self.levels[level].earliest[slot];
        (tick != NEVER).then(|| u64::from(tick) * TICK)
    }

    /// Whether no deadline is armed, or was lately.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The level and the slot of a tick that is still to come.
    fn place(&self, tick: u32) -> (usize, usize) {
        let level = (tick ^ self.current).ilog2() / DIGIT;
        (level as usize, (tick >> (level * DIGIT)) as usize % SLOTS)
    }

    /// The occupied slot that comes first.
    fn first(&self) -> Option<(usize, usize)> {
        // Asked in every iteration, with nothing armed in most programs.
        if self.nodes.is_empty() {
            return None;
        }
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// The first tick of a slot.
    fn start(&self, level: usize, slot: usize) -> u32 {
        let shift = level as u32 * DIGIT;
        let above = self.current.checked_shr(shift + DIGIT).unwrap_or(0);
        (above << DIGIT | slot as u32) << shift
    }

    /// Puts a node into the slot of its tick.
    fn link(&mut self, at: u32) {
        let tick = self.nodes[at as usize].tick;
        let (level, slot) = self.place(tick);
        let level = &mut self.levels[level];
        if level.slots[slot].0 == NONE {
            level.occupied |= 1 << slot;
            level.earliest[slot] = tick;
        } else {
            level.earliest[slot] = level.earliest[slot].min(tick);
        }
        level.slots[slot].append(&mut self.nodes, at);
    }

    /// Makes a node that is in no list ready for its next use.
    fn vacate(&mut self, at: u32) {
        self.nodes[at as usize].tick = VACANT;
        self.vacant.append(&mut self.nodes, at);
        self.vacant = List(at);
    }

    /// Gives the memory behind the last node in use back.
    fn trim(&mut self) {
        while self.nodes.last().is_some_and(|node| node.tick == VACANT) {
            let at = self.nodes.len() as u32 - 1;
            self.vacant.unlink(&mut self.nodes, at);
            self.nodes.pop();
        }
        if self.nodes.capacity() > 4 * self.nodes.len().max(SPARE) {
            self.nodes.shrink_to(2 * self.nodes.len().max(SPARE));
        }
    }
}

impl List {
    /// Adds a node at the end.
    fn append(&mut self, nodes: &mut [Node], at: u32) {
        if self.0 == NONE {
            self.0 = at;
            nodes[at as usize].previous = at;
            nodes[at as usize].next = at;
            return;
        }
        let last = nodes[self.0 as usize].previous;
        nodes[last as usize].next = at;
        nodes[at as usize].previous = last;
        nodes[at as usize].next = self.0;
        nodes[self.0 as usize].previous = at;
    }

    /// Takes a node out, wherever it is.
    fn unlink(&mut self, nodes: &mut [Node], at: u32) {
        let Node { previous, next, .. } = nodes[at as usize];
        nodes[previous as usize].next = next;
        nodes[next as usize].previous = previous;
        if self.0 == at {
            self.0 = if next == at { NONE } else { next };
        }
    }
}
