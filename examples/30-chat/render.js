// Rendering of names and messages.

/** The number of colours, spread evenly over the colour wheel. */
const COLOURS = 12;
/** The number of names whose colours are kept. */
const MAX_NAMES = 500;
const LINK = /\bhttps?:\/\/[^\s<>"]+/gi;
const PUNCTUATION = /[.,;:!?'*_…]/;
const CLOSING = { ")": "(", "]": "[", "}": "{" };

/** The colours of names, as positions on the wheel. */
const colours = new Map();

/**
 * Returns the hue of a name in degrees. As far as possible, no two members have the same or a similar one. A name keeps its colour while
 * it is shown.
 */
export function hueOf(name, members) {
  if (!colours.has(name)) {
    if (colours.size >= MAX_NAMES) for (const known of [...colours.keys()]) if (!members.has(known)) colours.delete(known);
    const uses = Array(COLOURS).fill(0);
    for (const member of members) if (colours.has(member)) uses[colours.get(member)] += 1;
    colours.set(name, chooseColour(uses, hash(name)));
  }
  return colours.get(name) * 360 / COLOURS;
}

/** Returns the least used position and, among equals, the one farthest from the used positions. The search starts at `first`. */
function chooseColour(uses, first) {
  const used = uses.flatMap((count, position) => count ? [position] : []);
  const distance = position => Math.min(COLOURS, ...used.map(other => {
    const apart = Math.abs(position - other);
    return Math.min(apart, COLOURS - apart);
  }));
  const positions = uses.map((_, position) => (first + position) % COLOURS);
  return positions.reduce((best, position) =>
    uses[position] < uses[best] || uses[position] === uses[best] && distance(position) > distance(best) ? position : best);
}

function hash(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 0x10000;
  return hash;
}

/** Returns the text of a message as strings and links. Only addresses that begin with http:// or https:// become links. */
export function withLinks(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const address = withoutPunctuation(match[0]);
    const url = parse(address);
    if (!url) continue;
    const link = document.createElement("a");
    link.href = url.href;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.textContent = address;
    parts.push(text.slice(end, match.index), link);
    end = match.index + address.length;
  }
  parts.push(text.slice(end));
  return parts;
}

function parse(address) {
  try {
    const url = new URL(address);
    // An address with a user name before the host looks like one of another host.
    const isSafe = ["http:", "https:"].includes(url.protocol) && !url.username && !url.password;
    return isSafe ? url : null;
  } catch {
    return null;
  }
}

/** Removes punctuation after an address that belongs to the sentence around it, such as a full stop, or a bracket that was opened before it. */
function withoutPunctuation(address) {
  const counts = {};
  for (const character of address) counts[character] = (counts[character] ?? 0) + 1;
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    const opening = CLOSING[last];
    const isExtra = opening ? counts[last] > (counts[opening] ?? 0) : PUNCTUATION.test(last);
    if (!isExtra) break;
    counts[last] -= 1;
  }
  return address.slice(0, end);
}
