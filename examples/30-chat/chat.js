// The page of the chat. What other people write is added to the page as text, never as HTML.

import { hueOf, withLinks } from "./render.js";

const LONGEST_MESSAGE = 4000;
const MOST_SHOWN = 500;
const MOST_PENDING = 20;
/** In milliseconds, as all times here. */
const FIRST_DELAY = 500;
const LONGEST_DELAY = 10000;
const PATIENCE = 10000;
/** The time without a message from the server after which the page sends a ping. */
const SILENCE = 30000;
/** Why the connection was closed, by close code. */
const REASONS = { 1001: "The server has shut down.", 1008: "You sent too many messages.", 1012: "The server is restarting." };
const LOST = "The connection was lost.";
const UNREACHABLE = "The server cannot be reached.";
const TYPING_EVERY = 2000;
const TYPING_SHOWN = 4000;
/** Messages of one person that follow each other within this time have one headline. */
const TOGETHER = 5 * 60 * 1000;

const element = id => document.getElementById(id);
const door = element("door"), inside = element("inside"), log = element("log"), scroll = element("scroll");
const waiting = element("waiting"), text = element("text"), notice = element("notice"), side = element("side"), menu = element("menu");

/** Who this page is; `token` lets it take its name back after a connection has broken. */
const me = { name: "", room: "", token: draw().toString(36) + draw().toString(36) + draw().toString(36) };
let wantsIn = false;
let joined = false;
/** The last message that was seen, for the server to say what was missed. */
let seen = null;
/** Whether another room was asked for. */
let moving = false;
/** Messages that the server has not confirmed yet, by number. */
const pending = new Map();
/** The time of the last message that was read in each room, for the marks of unread rooms; null before the first list of rooms. */
let read = null;
let members = new Set();
const typists = new Map();
let lastTyping = 0;
let unread = 0;

// What a reload of this tab needs to know.

function remember() {
  try {
    sessionStorage.setItem("chat", JSON.stringify({ ...me, wantsIn, read: read && Object.fromEntries(read) }));
  } catch { /* A browser that keeps nothing asks for the name again. */ }
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("chat")) ?? {};
  } catch {
    return {};
  }
}

function draw() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

// The connection.

let socket = null;
let heardAt = 0;
let probedAt = 0;
let failures = 0;
let why = "";
let retryAt = 0;
let ticker = null;

function connect() {
  clearInterval(ticker);
  ticker = null;
  if (socket) return;
  if (failures) showState(why, false, "Connecting…");
  const address = new URL("chat", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  const opened = new WebSocket(address);
  socket = opened;
  opened.onopen = () => opened === socket && ask("join", { name: me.name, room: me.room, token: me.token, seen });
  opened.onmessage = event => opened === socket && hear(JSON.parse(event.data));
  setTimeout(() => !joined && opened === socket && hangUp(), PATIENCE);
  opened.onclose = event => event.code === 4001 ? replaced(opened) : lost(opened, event.code);
}

/** This very page is in the room in another window, too, as when a tab is duplicated. */
function replaced(closed) {
  if (closed === socket) goOut("You joined this room in another window.");
}

function lost(closed, code) {
  if (closed !== socket) return;
  socket = null;
  joined = moving = false;
  probedAt = 0;
  typists.clear();
  showTyping();
  element("enter").disabled = false;
  if (!wantsIn) return;
  const delay = Math.min(FIRST_DELAY * 2 ** failures, LONGEST_DELAY) * (0.5 + Math.random() / 2);
  why = failures === 0 ? REASONS[code] ?? LOST : UNREACHABLE;
  failures += 1;
  retryAt = Date.now() + delay;
  showState(why, true);
  showPending();
  if (inside.hidden) element("join-error").textContent = `${why} Trying again…`;
  clearInterval(ticker);
  ticker = setInterval(() => {
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    if (seconds <= 0) connect();
    else element("countdown").textContent = `Next attempt in ${seconds} s.`;
  }, 100);
}

/** Gives the connection up, without waiting for it to close. */
function hangUp() {
  const old = socket;
  old?.close();
  if (old) lost(old, 1006);
}

function goOut(reason) {
  wantsIn = false;
  remember();
  hangUp();
  clearInterval(ticker);
  clearLog();
  showDoor(reason);
}

function ask(type, fields = {}) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify({ type, ...fields }));
  return true;
}

function hear(told) {
  heardAt = Date.now();
  probedAt = 0;
  // Ignore what was already on its way from the previous room.
  if (told.room && told.room !== me.room && told.type !== "welcome") return;
  switch (told.type) {
    case "welcome": return welcomed(told);
    case "message": return heard(told);
    case "joined":
      if (!members.has(told.name)) addNote(`${told.name} has joined`);
      members.add(told.name);
      return showMembers();
    case "left":
      typists.delete(told.name);
      if (members.delete(told.name)) addNote(`${told.name} has left`);
      showTyping();
      return showMembers();
    case "typing":
      typists.set(told.name, Date.now() + TYPING_SHOWN);
      return showTyping();
    case "rooms": return showRooms(told.rooms);
    case "refused": return refused(told);
  }
}

function welcomed(told) {
  const elsewhere = moving || inside.hidden || !seen;
  failures = 0;
  joined = true;
  moving = false;
  Object.assign(me, { name: told.name, room: told.room });
  remember();
  showAddress();
  showState("", false);
  members = new Set(told.members);
  typists.clear();
  showTyping();
  showMembers();
  showRooms(told.rooms);
  element("title").textContent = `# ${me.room}`;
  showInside();

  // Screen readers do not read a whole history aloud.
  element("live").setAttribute("aria-live", elsewhere ? "off" : "polite");
  setTimeout(() => element("live").setAttribute("aria-live", "polite"), 500);
  if (elsewhere) clearLog();
  else noteAbsence(told);
  seen = { epoch: told.epoch, id: told.resumed ? seen.id : 0 };
  for (const said of told.messages) heard(said);
  if (elsewhere) scroll.scrollTop = scroll.scrollHeight;
  for (const [ref, sent] of pending) say(ref, sent);
}

/** Adds a note about what happened while there was no connection. */
function noteAbsence(told) {
  // The server numbers messages from 1 again, so the numbers of earlier messages are not valid any more.
  if (!told.resumed) for (const item of log.querySelectorAll("[data-id]")) delete item.dataset.id;
  if (told.gap) addNote("Some messages are missing here: the server keeps only the last ones.", "away");
  const missed = told.messages.filter(said => !pending.has(said.ref) && !isShown(said)).length;
  const count = missed === 1 ? "1 new message" : `${missed || "no"} new messages`;
  if (!told.resumed && seen.id > 0) addNote(`The server has restarted: ${count} since then`, "away", told.epoch);
  else if (missed > 0) addNote(`${count} while you were disconnected`, "away");
}

function heard(said) {
  const sent = pending.get(said.ref);
  if (sent && said.name === me.name) {
    pending.delete(said.ref);
    sent.item.remove();
  }
  if (isShown(said)) return;
  seen.id = Math.max(seen.id, said.id);
  if (read) read.set(me.room, Math.max(read.get(me.room) ?? 0, said.time));
  typists.delete(said.name);
  showTyping();
  addMessage(said);
  if (document.hidden && said.name !== me.name) {
    unread += 1;
    showTitle();
  }
}

function isShown(said) {
  return log.querySelector(`[data-id="${said.id}"]`) !== null;
}

function refused({ code, text: told, ref }) {
  moving = false;
  const sent = pending.get(ref);
  if (sent) {
    // The text goes back into the field, to be changed and sent again.
    pending.delete(ref);
    sent.item.remove();
    text.value = text.value ? `${sent.text}\n${text.value}` : sent.text;
    fit();
  }
  if (joined) {
    notice.textContent = told;
    showAddress();
  } else if (code === "slow") {
    hangUp();
  } else {
    goOut(told);
    element(code === "room" ? "room" : "name").focus();
  }
}

function say(ref, sent) {
  sent.since = Date.now();
  if (joined) ask("say", { text: sent.text, ref });
  showPending();
}

// A server that does not answer is gone, even if the connection was not closed, such as after the computer slept.
setInterval(() => {
  if (joined && !probedAt && Date.now() - heardAt > SILENCE) {
    probedAt = Date.now();
    ask("ping");
  }
  const oldest = Math.min(...[...pending.values()].map(sent => sent.since));
  if (joined && Date.now() - Math.min(oldest, probedAt || Infinity) > PATIENCE) hangUp();
  showTyping();
}, 1000);

// What is shown.

function showDoor(reason) {
  inside.hidden = true;
  door.hidden = false;
  element("enter").disabled = false;
  element("join-error").textContent = reason;
  element("name").value = me.name;
  element("room").value = me.room || "lobby";
  element("name").focus();
  showTitle();
}

function showInside() {
  const wasOutside = inside.hidden;
  door.hidden = true;
  inside.hidden = false;
  showTitle();
  if (wasOutside) text.focus();
}

/** Shows the room in the title of the tab, and the number of messages since the tab was last visible. */
function showTitle() {
  const name = inside.hidden ? "Chat" : `# ${me.room} · Chat`;
  document.title = unread ? `(${unread}) ${name}` : name;
}

function showState(state, retry, more = "") {
  // What does not change is not read aloud again.
  if (element("state").textContent !== state) element("state").textContent = state;
  element("countdown").textContent = more;
  element("retry").hidden = !retry;
  element("banner").classList.toggle("shown", state !== "");
  for (const button of document.querySelectorAll("#rooms button, #go button")) button.disabled = !joined;
}

function showMembers() {
  const names = [...members].sort((a, b) => a.localeCompare(b));
  element("members").replaceChildren(...names.map(name => {
    const item = document.createElement("li");
    item.style.setProperty("--hue", hueOf(name, members));
    item.append(span(name === me.name ? `${name} (you)` : name));
    return item;
  }));
  element("count").textContent = people(names.length);
  const current = element("rooms").querySelector("[aria-current] .people");
  if (current) current.textContent = people(names.length);
}

function people(count) {
  if (count === 0) return "empty";
  return count === 1 ? "1 person" : `${count} people`;
}

function showRooms(rooms) {
  const before = read ?? new Map(rooms.map(room => [room.name, room.last]));
  read = new Map(rooms.map(room => [room.name, room.name === me.room ? room.last : before.get(room.name) ?? 0]));
  remember();
  const list = element("rooms");
  const items = new Map([...list.children].map(item => [item.firstChild.dataset.room, item]));
  const shown = rooms.map(room => showRoom(room, items.get(room.name) ?? makeRoom(room.name)));
  // The items stay where they are if they can, so that one can be clicked while the list is updated.
  if (shown.length !== list.childElementCount || shown.some((item, place) => item !== list.children[place])) {
    const focused = document.activeElement;
    list.replaceChildren(...shown);
    if (list.contains(focused)) focused.focus();
  }
  menu.classList.toggle("unread", list.querySelector(".unread") !== null);
}

function makeRoom(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.room = name;
  button.append(span(`# ${name}`, "room"), span("", "people"), span("", "unseen"));
  button.onclick = () => goTo(name);
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function showRoom(room, item) {
  const button = item.firstChild;
  const isCurrent = room.name === me.room;
  const isUnread = room.last > read.get(room.name);
  button.disabled = !joined;
  button.classList.toggle("vacant", room.members === 0 && !isCurrent);
  button.classList.toggle("unread", isUnread);
  if (isCurrent) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
  button.querySelector(".people").textContent = people(isCurrent ? members.size : room.members);
  button.querySelector(".unseen").textContent = isUnread ? "unread messages" : "";
  return item;
}

function showTyping() {
  const now = Date.now();
  for (const [name, until] of typists) if (until < now) typists.delete(name);
  const names = [...typists.keys()];
  const all = names.length > 3 ? "Several people" : names.join(", ");
  element("typing").textContent = names.length ? `${all} ${names.length > 1 ? "are" : "is"} typing…` : "";
}

/** The address of the page leads to its room. */
function showAddress() {
  history.replaceState(null, "", `#${encodeURIComponent(me.room)}`);
}

/** Adds an item at the end or before another one, and scrolls to the end if the end was visible. */
function add(item, list = log, follower = null) {
  const atEnd = isAtEnd();
  list.insertBefore(item, follower);
  group(item);
  group(follower);
  while (log.childElementCount > MOST_SHOWN) log.firstElementChild.remove();
  element("empty").hidden = true;
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  else if (item.classList.contains("said")) element("down").hidden = false;
  return item;
}

/** Adds a note at the end, or before the messages that are newer than `time`, by the server's clock. */
function addNote(words, kind, time) {
  const item = document.createElement("li");
  item.className = kind ? `note ${kind}` : "note";
  item.append(words);
  if (time) item.append(timeOf(time));
  return add(item, log, time ? followerAt(time) : null);
}

/** Returns the first of the messages that are newer than a time. */
function followerAt(time) {
  let follower = null;
  for (let item = log.lastElementChild; item; item = item.previousElementSibling) {
    if (item.dataset.at > time) follower = item;
    else if (item.dataset.at) break;
  }
  return follower;
}

/** Returns the message before which a late one belongs, such as one from another worker of the server. */
function followerOf(id) {
  let follower = null;
  for (let item = log.lastElementChild; item; item = item.previousElementSibling) {
    const other = Number(item.dataset.id);
    if (other < id) break;
    if (other > id) follower = item;
  }
  return follower;
}

/** Hides the headline of a message that follows one of the same person. */
function group(item) {
  if (!item?.dataset.name) return;
  const before = item.previousElementSibling ?? (item.parentElement === waiting ? log.lastElementChild : null);
  const again = before?.dataset.name === item.dataset.name && item.dataset.at - before.dataset.at < TOGETHER;
  item.classList.toggle("again", again);
}

function addMessage(said, list = log) {
  const item = document.createElement("li");
  const mine = said.name === me.name;
  item.className = mine ? "said mine" : "said";
  Object.assign(item.dataset, { name: said.name, at: said.time });
  if (said.id) item.dataset.id = said.id;
  item.style.setProperty("--hue", hueOf(said.name, members));

  const name = document.createElement("b");
  name.textContent = mine ? "You" : said.name;
  const who = document.createElement("span");
  who.className = "who";
  who.append(name, timeOf(said.time));

  const words = document.createElement("p");
  words.className = "text";
  words.dir = "auto";
  words.append(...withLinks(said.text));
  item.append(who, words);
  if (said.text.length > 1000 || said.text.split("\n").length > 12) {
    item.classList.add("long");
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more";
    more.textContent = "Show all";
    more.onclick = () => {
      more.textContent = item.classList.toggle("all") ? "Show less" : "Show all";
    };
    item.append(more);
  }
  return add(item, list, list === log ? followerOf(said.id) : null);
}

function timeOf(milliseconds) {
  const when = new Date(milliseconds);
  const time = document.createElement("time");
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  time.textContent = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return time;
}

/** Shows what happens with the messages that the server has not confirmed. */
function showPending() {
  const state = joined ? "Sending…" : "Not sent yet. It is sent when the connection is back.";
  for (const { item } of pending.values()) {
    const shown = item.querySelector(".pending");
    if (shown.textContent !== state) shown.textContent = state;
    item.classList.toggle("held", !joined);
  }
}

function clearLog() {
  log.replaceChildren();
  waiting.replaceChildren();
  pending.clear();
  element("empty").hidden = false;
  element("down").hidden = true;
}

function isAtEnd() {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
}

function span(words, kind) {
  const made = document.createElement("span");
  made.textContent = words;
  if (kind) made.className = kind;
  return made;
}

// What the user does.

element("join").onsubmit = event => {
  event.preventDefault();
  me.name = element("name").value;
  me.room = element("room").value;
  wantsIn = true;
  seen = null;
  element("join-error").textContent = "";
  element("enter").disabled = true;
  connect();
};

element("leave").onclick = () => {
  ask("leave");
  goOut("");
};

element("say").onsubmit = event => {
  event.preventDefault();
  const words = text.value;
  const length = [...words].length;
  if (words.trim() === "") return;
  if (length > LONGEST_MESSAGE) {
    notice.textContent = `A message has at most ${LONGEST_MESSAGE} characters; this one has ${length}.`;
  } else if (pending.size >= MOST_PENDING) {
    notice.textContent = "Too many messages are waiting to be sent. Wait until the connection is back.";
  } else {
    notice.textContent = "";
    text.value = "";
    fit();
    const ref = draw();
    scroll.scrollTop = scroll.scrollHeight;
    const item = addMessage({ name: me.name, text: words, time: Date.now() }, waiting);
    item.append(span("", "pending"));
    const sent = { text: words, item };
    pending.set(ref, sent);
    say(ref, sent);
  }
  text.focus();
};

text.onkeydown = event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("say").requestSubmit();
};

text.oninput = () => {
  fit();
  const length = [...text.value].length;
  const tooLong = length > LONGEST_MESSAGE;
  notice.textContent = tooLong ? `${length} of ${LONGEST_MESSAGE} characters: this message is too long.` : "";
  text.setAttribute("aria-invalid", tooLong);
  if (joined && text.value !== "" && Date.now() - lastTyping > TYPING_EVERY) {
    lastTyping = Date.now();
    ask("typing");
  }
};

/** As high as what is written in it. */
function fit() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function goTo(room) {
  toggleSide(false);
  if (!joined || room === me.room) return;
  moving = true;
  notice.textContent = "";
  ask("join", { name: me.name, room, token: me.token });
  text.focus();
}

element("go").onsubmit = event => {
  event.preventDefault();
  goTo(element("other").value);
  element("other").value = "";
};

function toggleSide(open) {
  side.classList.toggle("open", open);
  menu.setAttribute("aria-expanded", open);
}

menu.onclick = () => toggleSide(!side.classList.contains("open"));
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && side.classList.contains("open")) {
    toggleSide(false);
    menu.focus();
  }
});

element("retry").onclick = connect;
window.addEventListener("online", () => wantsIn && connect());
window.addEventListener("hashchange", () => {
  const room = roomInAddress();
  if (joined && room) goTo(room);
  else if (room) element("room").value = room;
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unread = 0;
  showTitle();
});

/** Whether the last message was in sight before the size of the page changed. */
let wasAtEnd = true;
scroll.onscroll = () => {
  wasAtEnd = isAtEnd();
  if (wasAtEnd) element("down").hidden = true;
};
element("down").onclick = () => {
  scroll.scrollTop = scroll.scrollHeight;
  text.focus();
};
// The last message stays in sight, such as when the keyboard of a phone takes room, or when a phone is turned.
new ResizeObserver(() => {
  if (wasAtEnd) scroll.scrollTop = scroll.scrollHeight;
}).observe(scroll);

function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

const recalled = recall();
if (recalled.name) element("name").value = me.name = recalled.name;
if (recalled.token) me.token = recalled.token;
if (recalled.read) read = new Map(Object.entries(recalled.read));
element("room").value = roomInAddress() || recalled.room || "lobby";
if (recalled.wantsIn) element("join").requestSubmit();
