// The page of the chat. Names and messages are added to the page as text, never as HTML.

import { hueOf, withLinks } from "./render.js";

const MAX_MESSAGE = 4000;
const MAX_SHOWN = 500;
const MAX_PENDING = 20;
/** The initial delay before a reconnect, in milliseconds like all times here. */
const FIRST_DELAY = 500;
const MAX_DELAY = 10000;
const RESPONSE_TIMEOUT = 10000;
/** The time without a message from the server after which the page sends a ping. */
const PING_DELAY = 30000;
/** Reasons of a closed connection, by close code. */
const REASONS = { 1001: "The server has shut down.", 1008: "You sent too many messages.", 1012: "The server is restarting." };
const LOST = "The connection was lost.";
const UNREACHABLE = "The server cannot be reached.";
const TYPING_INTERVAL = 2000;
const TYPING_TIMEOUT = 4000;
/** Consecutive messages of one person within this time have one headline. */
const GROUPING_TIME = 5 * 60 * 1000;

const element = id => document.getElementById(id);
const door = element("door"), inside = element("inside"), log = element("log"), scroll = element("scroll");
const waiting = element("waiting"), text = element("text"), notice = element("notice"), side = element("side"), menu = element("menu");

/** The identity of this page. With `token`, it takes its name back from its own broken connection. */
const me = { name: "", room: "", token: randomNumber().toString(36) + randomNumber().toString(36) + randomNumber().toString(36) };
let wantsToJoin = false;
let joined = false;
/** The last message that the page has shown, from which the server determines the missed ones. */
let seen = null;
/** Set while a request for another room is pending. */
let isChangingRoom = false;
/** Messages that the server has not confirmed yet, by number. */
const pending = new Map();
/** Time of the last read message of each room, for the unread marks; null before the first list of rooms. */
let read = null;
let members = new Set();
const typists = new Map();
let lastTyping = 0;
let unread = 0;

// Session storage: the state that a reload of this tab restores.

function saveSession() {
  try {
    sessionStorage.setItem("chat", JSON.stringify({ ...me, wantsToJoin, read: read && Object.fromEntries(read) }));
  } catch { /* Without session storage, the user enters the name again. */ }
}

function loadSession() {
  try {
    return JSON.parse(sessionStorage.getItem("chat")) ?? {};
  } catch {
    return {};
  }
}

function randomNumber() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

// The connection.

let socket = null;
let receivedAt = 0;
let pingSentAt = 0;
let failures = 0;
let lostReason = "";
let retryAt = 0;
let ticker = null;

function connect() {
  clearInterval(ticker);
  ticker = null;
  if (socket) return;
  if (failures) showState(lostReason, false, "Connecting…");
  const address = new URL("chat", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  const opened = new WebSocket(address);
  socket = opened;
  opened.onopen = () => opened === socket && send("join", { name: me.name, room: me.room, token: me.token, seen });
  opened.onmessage = event => opened === socket && receive(JSON.parse(event.data));
  setTimeout(() => !joined && opened === socket && disconnect(), RESPONSE_TIMEOUT);
  opened.onclose = event => event.code === 4001 ? handleReplacement(opened) : handleDisconnect(opened, event.code);
}

/** Handles the replacement of this connection by another window with the same token, for example a duplicated tab. */
function handleReplacement(closed) {
  if (closed === socket) leaveChat("You joined this room in another window.");
}

function handleDisconnect(closed, code) {
  if (closed !== socket) return;
  socket = null;
  joined = isChangingRoom = false;
  pingSentAt = 0;
  typists.clear();
  showTyping();
  element("enter").disabled = false;
  if (!wantsToJoin) return;
  const delay = Math.min(FIRST_DELAY * 2 ** failures, MAX_DELAY) * (0.5 + Math.random() / 2);
  lostReason = failures === 0 ? REASONS[code] ?? LOST : UNREACHABLE;
  failures += 1;
  retryAt = Date.now() + delay;
  showState(lostReason, true);
  showPending();
  if (inside.hidden) element("join-error").textContent = `${lostReason} Trying again…`;
  clearInterval(ticker);
  ticker = setInterval(() => {
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    if (seconds <= 0) connect();
    else element("countdown").textContent = `Next attempt in ${seconds} s.`;
  }, 100);
}

/** Abandons the connection, without waiting for it to close. */
function disconnect() {
  const old = socket;
  old?.close();
  if (old) handleDisconnect(old, 1006);
}

function leaveChat(reason) {
  wantsToJoin = false;
  saveSession();
  disconnect();
  clearInterval(ticker);
  clearLog();
  showLogin(reason);
}

function send(type, fields = {}) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify({ type, ...fields }));
  return true;
}

function receive(message) {
  receivedAt = Date.now();
  pingSentAt = 0;
  // Ignore late messages of the previous room.
  if (message.room && message.room !== me.room && message.type !== "welcome") return;
  switch (message.type) {
    case "welcome": return enterRoom(message);
    case "message": return receiveMessage(message);
    case "joined":
      if (!members.has(message.name)) addNote(`${message.name} has joined`);
      members.add(message.name);
      return showMembers();
    case "left":
      typists.delete(message.name);
      if (members.delete(message.name)) addNote(`${message.name} has left`);
      showTyping();
      return showMembers();
    case "typing":
      typists.set(message.name, Date.now() + TYPING_TIMEOUT);
      return showTyping();
    case "rooms": return showRooms(message.rooms);
    case "refused": return handleRefusal(message);
  }
}

function enterRoom(message) {
  const elsewhere = isChangingRoom || inside.hidden || !seen;
  failures = 0;
  joined = true;
  isChangingRoom = false;
  Object.assign(me, { name: message.name, room: message.room });
  saveSession();
  showAddress();
  showState("", false);
  members = new Set(message.members);
  typists.clear();
  showTyping();
  showMembers();
  showRooms(message.rooms);
  element("title").textContent = `# ${me.room}`;
  showChat();

  // Screen readers must not read a whole history aloud.
  element("live").setAttribute("aria-live", elsewhere ? "off" : "polite");
  setTimeout(() => element("live").setAttribute("aria-live", "polite"), 500);
  if (elsewhere) clearLog();
  else addAbsenceNote(message);
  seen = { epoch: message.epoch, id: message.resumed ? seen.id : 0 };
  for (const said of message.messages) receiveMessage(said);
  if (elsewhere) scroll.scrollTop = scroll.scrollHeight;
  for (const [ref, sent] of pending) sendMessage(ref, sent);
}

/** Adds a note about the messages that were missed while the page was disconnected. */
function addAbsenceNote(message) {
  // After a restart, the server numbers messages from 1 again, so earlier numbers are no longer valid.
  if (!message.resumed) for (const item of log.querySelectorAll("[data-id]")) delete item.dataset.id;
  if (message.gap) addNote("Some messages are missing here: the server keeps only the last ones.", "away");
  const missed = message.messages.filter(said => !pending.has(said.ref) && !isShown(said)).length;
  const count = missed === 1 ? "1 new message" : `${missed || "no"} new messages`;
  if (!message.resumed && seen.id > 0) addNote(`The server has restarted: ${count} since then`, "away", message.epoch);
  else if (missed > 0) addNote(`${count} while you were disconnected`, "away");
}

function receiveMessage(said) {
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

function handleRefusal({ code, text: reason, ref }) {
  isChangingRoom = false;
  const sent = pending.get(ref);
  if (sent) {
    // The text returns to the field, so that the user can change it.
    pending.delete(ref);
    sent.item.remove();
    text.value = text.value ? `${sent.text}\n${text.value}` : sent.text;
    fitTextArea();
  }
  if (joined) {
    notice.textContent = reason;
    showAddress();
  } else if (code === "slow") {
    disconnect();
  } else {
    leaveChat(reason);
    element(code === "room" ? "room" : "name").focus();
  }
}

function sendMessage(ref, sent) {
  sent.since = Date.now();
  if (joined) send("say", { text: sent.text, ref });
  showPending();
}

// A server that does not respond counts as disconnected, even if the connection is not closed, for example after the computer slept.
setInterval(() => {
  if (joined && !pingSentAt && Date.now() - receivedAt > PING_DELAY) {
    pingSentAt = Date.now();
    send("ping");
  }
  const oldest = Math.min(...[...pending.values()].map(sent => sent.since));
  if (joined && Date.now() - Math.min(oldest, pingSentAt || Infinity) > RESPONSE_TIMEOUT) disconnect();
  showTyping();
}, 1000);

// Rendering.

function showLogin(reason) {
  inside.hidden = true;
  door.hidden = false;
  element("enter").disabled = false;
  element("join-error").textContent = reason;
  element("name").value = me.name;
  element("room").value = me.room || "lobby";
  element("name").focus();
  showTitle();
}

function showChat() {
  const wasHidden = inside.hidden;
  door.hidden = true;
  inside.hidden = false;
  showTitle();
  if (wasHidden) text.focus();
}

/** Shows the room in the title of the tab, and the number of messages since the tab was last visible. */
function showTitle() {
  const name = inside.hidden ? "Chat" : `# ${me.room} · Chat`;
  document.title = unread ? `(${unread}) ${name}` : name;
}

function showState(state, retry, more = "") {
  // Unchanged text is not set, because screen readers would read it again.
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
  element("count").textContent = peopleText(names.length);
  const current = element("rooms").querySelector("[aria-current] .people");
  if (current) current.textContent = peopleText(names.length);
}

function peopleText(count) {
  if (count === 0) return "empty";
  return count === 1 ? "1 person" : `${count} people`;
}

function showRooms(rooms) {
  const before = read ?? new Map(rooms.map(room => [room.name, room.last]));
  read = new Map(rooms.map(room => [room.name, room.name === me.room ? room.last : before.get(room.name) ?? 0]));
  saveSession();
  const list = element("rooms");
  const items = new Map([...list.children].map(item => [item.firstChild.dataset.room, item]));
  const shown = rooms.map(room => showRoom(room, items.get(room.name) ?? makeRoom(room.name)));
  // Items stay in place if possible, so that a click during an update works.
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
  button.onclick = () => changeRoom(name);
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
  button.querySelector(".people").textContent = peopleText(isCurrent ? members.size : room.members);
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

/** Stores the room in the address of the page. */
function showAddress() {
  history.replaceState(null, "", `#${encodeURIComponent(me.room)}`);
}

/** Adds an item at the end or before another one, and scrolls to the end if the end was visible. */
function add(item, list = log, successor = null) {
  const atEnd = isAtEnd();
  list.insertBefore(item, successor);
  group(item);
  group(successor);
  while (log.childElementCount > MAX_SHOWN) log.firstElementChild.remove();
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
  return add(item, log, time ? firstNewerThan(time) : null);
}

/** Returns the first message that is newer than `time`. */
function firstNewerThan(time) {
  let successor = null;
  for (let item = log.lastElementChild; item; item = item.previousElementSibling) {
    if (item.dataset.at > time) successor = item;
    else if (item.dataset.at) break;
  }
  return successor;
}

/** Returns the message that follows a late one, for example one from another worker of the server. */
function successorOf(id) {
  let successor = null;
  for (let item = log.lastElementChild; item; item = item.previousElementSibling) {
    const other = Number(item.dataset.id);
    if (other < id) break;
    if (other > id) successor = item;
  }
  return successor;
}

/** Hides the headline of a message that follows one of the same person. */
function group(item) {
  if (!item?.dataset.name) return;
  const before = item.previousElementSibling ?? (item.parentElement === waiting ? log.lastElementChild : null);
  const again = before?.dataset.name === item.dataset.name && item.dataset.at - before.dataset.at < GROUPING_TIME;
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
  return add(item, list, list === log ? successorOf(said.id) : null);
}

function timeOf(milliseconds) {
  const when = new Date(milliseconds);
  const time = document.createElement("time");
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  time.textContent = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return time;
}

/** Shows the state of the messages that the server has not confirmed. */
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

// User input.

element("join").onsubmit = event => {
  event.preventDefault();
  me.name = element("name").value;
  me.room = element("room").value;
  wantsToJoin = true;
  seen = null;
  element("join-error").textContent = "";
  element("enter").disabled = true;
  connect();
};

element("leave").onclick = () => {
  send("leave");
  leaveChat("");
};

element("say").onsubmit = event => {
  event.preventDefault();
  const words = text.value;
  const length = [...words].length;
  if (words.trim() === "") return;
  if (length > MAX_MESSAGE) {
    notice.textContent = `A message has at most ${MAX_MESSAGE} characters; this one has ${length}.`;
  } else if (pending.size >= MAX_PENDING) {
    notice.textContent = "Too many messages are waiting to be sent. Wait until the connection is back.";
  } else {
    notice.textContent = "";
    text.value = "";
    fitTextArea();
    const ref = randomNumber();
    scroll.scrollTop = scroll.scrollHeight;
    const item = addMessage({ name: me.name, text: words, time: Date.now() }, waiting);
    item.append(span("", "pending"));
    const sent = { text: words, item };
    pending.set(ref, sent);
    sendMessage(ref, sent);
  }
  text.focus();
};

text.onkeydown = event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("say").requestSubmit();
};

text.oninput = () => {
  fitTextArea();
  const length = [...text.value].length;
  const tooLong = length > MAX_MESSAGE;
  notice.textContent = tooLong ? `${length} of ${MAX_MESSAGE} characters: this message is too long.` : "";
  text.setAttribute("aria-invalid", tooLong);
  if (joined && text.value !== "" && Date.now() - lastTyping > TYPING_INTERVAL) {
    lastTyping = Date.now();
    send("typing");
  }
};

/** Makes the field as high as its text. */
function fitTextArea() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function changeRoom(room) {
  toggleSide(false);
  if (!joined || room === me.room) return;
  isChangingRoom = true;
  notice.textContent = "";
  send("join", { name: me.name, room, token: me.token });
  text.focus();
}

element("go").onsubmit = event => {
  event.preventDefault();
  changeRoom(element("other").value);
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
window.addEventListener("online", () => wantsToJoin && connect());
window.addEventListener("hashchange", () => {
  const room = roomInAddress();
  if (joined && room) changeRoom(room);
  else if (room) element("room").value = room;
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unread = 0;
  showTitle();
});

/** Whether the last message was visible before the size of the page changed. */
let wasAtEnd = true;
scroll.onscroll = () => {
  wasAtEnd = isAtEnd();
  if (wasAtEnd) element("down").hidden = true;
};
element("down").onclick = () => {
  scroll.scrollTop = scroll.scrollHeight;
  text.focus();
};
// Keeps the last message visible, for example when the keyboard of a phone opens, or when a phone is rotated.
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

const saved = loadSession();
if (saved.name) element("name").value = me.name = saved.name;
if (saved.token) me.token = saved.token;
if (saved.read) read = new Map(Object.entries(saved.read));
element("room").value = roomInAddress() || saved.room || "lobby";
if (saved.wantsToJoin) element("join").requestSubmit();
