//! A timing wheel for hundreds of thousands of deadlines, most of which never expire: idle connections, stalled writes.
//!
//! It is a hierarchical timing wheel (G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels",
//! 1987) with a coarse tick. Activity does not move a deadline: the owner stores the time of the activity,
//! and arms the deadline again for the remaining time when it expires.

#[cfg(test)]
mod tests;

/// The precision of the wheel in nanoseconds: a deadline expires at most this late.
const TICK: u64 = 100_000_000;

/// Bits of a tick that select the slot within a level. Each level has 64 slots, and a slot of the next level spans a whole level: slots of
/// 0.1 s, 6.4 s, 6.8 min, 7.3 h, 19 days, 3.4 years.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 6;

/// Tick of a node that is not in use.
const VACANT: u32 = u32::MAX;
/// Tick of a node that expired in the last call of `expire`.
const EXPIRED: u32 = u32::MAX - 1;
/// Tick of deadlines that are too far away to expire.
const NEVER: u32 = u32::MAX - 2;

/// Index of no node.
const NONE: u32 = u32::MAX;

/// Number of unused nodes that may stay allocated.
const SPARE: usize = 64;

/// Armed deadlines, each with the token of its owner.
///
/// # Limits
/// 2³² - 1 deadlines of 20 bytes each. A deadline more than 13 years away never expires.
#[derive(Debug)]
pub(crate) struct Wheel {
    nodes: Vec<DeadlineNode>,
    levels: [Level; LEVELS],
    /// The last tick whose deadlines have expired. A node is on the level of the highest digit
    /// in which its tick differs from this one, in the slot with the number of that digit.
    current: u32,
    vacant: NodeList,
    expired: NodeList,
}

/// A deadline in the list of its slot. The token is stored in halves to save four bytes of padding.
#[derive(Debug)]
struct DeadlineNode {
    token: [u32; 2],
    tick: u32,
    previous: u32,
    next: u32,
}

/// A circular list of nodes: the index of the first one, or `NONE`.
#[derive(Clone, Copy, Debug)]
struct NodeList(u32);

#[derive(Clone, Copy, Debug)]
struct Level {
    /// A bit for each slot that is not empty.
    occupied: u64,
    slots: [NodeList; SLOTS],
    /// A lower bound of the ticks in each slot that is not empty.
    earliest: [u32; SLOTS],
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let level = Level {
            occupied: 0,
            slots: [NodeList(NONE); SLOTS],
            earliest: [NEVER; SLOTS],
        };
        Self {
            nodes: Vec::new(),
            levels: [level; LEVELS],
            current: 0,
            vacant: NodeList(NONE),
            expired: NodeList(NONE),
        }
    }

    /// Arms a deadline: [`expire`](Self::expire) returns the token at `deadline` or later. Returns `None` if the wheel is full.
    ///
    /// The returned number identifies the deadline for [`disarm`](Self::disarm) until it expires.
    pub(crate) fn arm(&mut self, token: u64, deadline: u64) -> Option<u32> {
        let tick = deadline.div_ceil(TICK).min(u64::from(NEVER)) as u32;
        let node = DeadlineNode {
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

    /// Removes a deadline.
    ///
    /// Disarming an expired deadline has no effect until the next [`expire`](Self::expire), so that owners of
    /// deadlines that expire together may be called in any order.
    pub(crate) fn disarm(&mut self, at: u32) {
        let Some(tick) = self.nodes.get(at as usize).map(|node| node.tick) else {
            return;
        };
        if tick == VACANT || tick == EXPIRED {
            return;
        }
        let (level, slot) = self.slot_of(tick);
        let level = &mut self.levels[level];
        level.slots[slot].unlink(&mut self.nodes, at);
        if level.slots[slot].0 == NONE {
            level.occupied &= !(1 << slot);
        }
        self.vacate(at);
        self.trim();
    }

    /// Appends the tokens of all deadlines that are due at `now`, and removes these deadlines.
    ///
    /// Tokens are ordered by tick, and within one tick by the order of arming.
    pub(crate) fn expire(&mut self, now: u64, out: &mut Vec<u64>) {
        while self.expired.0 != NONE {
            let at = self.expired.0;
            self.expired.unlink(&mut self.nodes, at);
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
            let mut list = std::mem::replace(&mut level.slots[slot], NodeList(NONE));
            while list.0 != NONE {
                let at = list.0;
                list.unlink(&mut self.nodes, at);
                let node = &mut self.nodes[at as usize];
                if node.tick > start {
                    self.link(at);
                } else {
                    node.tick = EXPIRED;
                    let [high, low] = node.token;
                    out.push(u64::from(high) << 32 | u64::from(low));
                    self.expired.append(&mut self.nodes, at);
                }
            }
        }
        self.current = self.current.max(target);
    }

    /// Returns the time at which [`expire`](Self::expire) should be called next, on the clock of the deadlines.
    ///
    /// It is the exact time of the next expiry, or earlier if deadlines were disarmed since.
    pub(crate) fn next_wakeup(&self) -> Option<u64> {
        let (level, slot) = self.first()?;
        let tick = self.levels[level].earliest[slot];
        (tick != NEVER).then(|| u64::from(tick) * TICK)
    }

    /// Returns `true` if no deadline is armed and none has expired recently.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns the level and the slot of a future tick.
    fn slot_of(&self, tick: u32) -> (usize, usize) {
        let level = (tick ^ self.current).ilog2() / DIGIT;
        (level as usize, (tick >> (level * DIGIT)) as usize % SLOTS)
    }

    /// Returns the earliest slot that is not empty.
    fn first(&self) -> Option<(usize, usize)> {
        // This runs in every iteration, and most programs have no deadline armed.
        if self.nodes.is_empty() {
            return None;
        }
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Returns the first tick of a slot.
    fn start(&self, level: usize, slot: usize) -> u32 {
        let shift = level as u32 * DIGIT;
        let above = self.current.checked_shr(shift + DIGIT).unwrap_or(0);
        (above << DIGIT | slot as u32) << shift
    }

    /// Adds a node to the slot of its tick.
    fn link(&mut self, at: u32) {
        let tick = self.nodes[at as usize].tick;
        let (level, slot) = self.slot_of(tick);
        let level = &mut self.levels[level];
        if level.slots[slot].0 == NONE {
            level.occupied |= 1 << slot;
            level.earliest[slot] = tick;
        } else {
            level.earliest[slot] = level.earliest[slot].min(tick);
        }
        level.slots[slot].append(&mut self.nodes, at);
    }

    /// Marks a node that is in no list as unused.
    fn vacate(&mut self, at: u32) {
        self.nodes[at as usize].tick = VACANT;
        self.vacant.append(&mut self.nodes, at);
        self.vacant = NodeList(at);
    }

    /// Releases the memory after the last node in use.
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

impl NodeList {
    /// Adds a node at the end.
    fn append(&mut self, nodes: &mut [DeadlineNode], at: u32) {
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

    /// Removes a node from any position.
    fn unlink(&mut self, nodes: &mut [DeadlineNode], at: u32) {
        let DeadlineNode { previous, next, .. } = nodes[at as usize];
        nodes[previous as usize].next = next;
        nodes[next as usize].previous = previous;
        if self.0 == at {
            self.0 = if next == at { NONE } else { next };
        }
    }
}
