// The page of the chat. Whatever comes from others is shown with textContent, and so stays text.

const LONGEST_MESSAGE = 4000;
const MOST_SHOWN = 500;
const MOST_PENDING = 20;
/** In milliseconds, as all times here. */
const FIRST_DELAY = 500;
const LONGEST_DELAY = 10000;
const PATIENCE = 10000;
/** How long nothing has to be heard before the server is asked whether it is there. */
const SILENCE = 30000;
const REASONS = { 1001: "The server is going away.", 1008: "The server was sent too much.", 1012: "The server restarts." };
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
/** What was sent and has not come back yet, by its number. */
const pending = new Map();
let members = new Set();
const typists = new Map();
let lastTyping = 0;
let unread = 0;

// What a reload of this tab needs to know.

function remember() {
  try {
    sessionStorage.setItem("chat", JSON.stringify({ ...me, wantsIn }));
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
  if (closed === socket) goOut("You are in this room in another window.");
}

function lost(closed, code) {
  if (closed !== socket) return;
  socket = null;
  joined = moving = false;
  probedAt = 0;
  element("enter").disabled = false;
  if (!wantsIn) return;
  const delay = Math.min(FIRST_DELAY * 2 ** failures, LONGEST_DELAY) * (0.5 + Math.random() / 2);
  // Why it was lost is of more interest than why it cannot be had again.
  if (failures === 0) why = REASONS[code] ?? "The connection is lost.";
  failures += 1;
  retryAt = Date.now() + delay;
  showState(why, true);
  if (inside.hidden) element("join-error").textContent = `${why} Trying again…`;
  clearInterval(ticker);
  ticker = setInterval(() => {
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    if (seconds <= 0) connect();
    else element("countdown").textContent = `Trying again in ${seconds} s.`;
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
  // What was on its way from the room before means nothing here.
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

/** Says what happened while there was no connection. */
function noteAbsence(told) {
  // Message numbers start anew, so those of earlier messages mean nothing.
  if (!told.resumed) for (const item of log.querySelectorAll("[data-id]")) delete item.dataset.id;
  if (told.gap) addNote("More was said than the server remembers.", "away");
  const missed = told.messages.filter(said => !pending.has(said.ref) && !isShown(said)).length;
  const count = missed === 1 ? "1 message" : `${missed || "no"} messages`;
  if (!told.resumed && seen.id > 0) addNote(`The server has started anew: ${count} since then.`, "away");
  else if (missed > 0) addNote(`${count} while you were away`, "away");
}

function heard(said) {
  const sent = pending.get(said.ref);
  if (sent && said.name === me.name) {
    pending.delete(said.ref);
    sent.item.remove();
  }
  if (isShown(said)) return;
  seen.id = Math.max(seen.id, said.id);
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
    // What was not taken stays, to be said again.
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
}

// Who is not answered has lost the connection, even if nobody has said so, as after the computer slept.
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
  showTitle();
  if (door.hidden) return;
  door.hidden = true;
  inside.hidden = false;
  text.focus();
}

function showTitle() {
  const name = inside.hidden ? "Chat" : `${me.room} · Chat`;
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
    item.style.setProperty("--hue", hueOf(name));
    item.append(span(name === me.name ? `${name} (you)` : name));
    return item;
  }));
  element("count").textContent = `${names.length} here`;
}

function showRooms(rooms) {
  const focused = document.activeElement?.dataset?.room;
  element("rooms").replaceChildren(...rooms.map(room => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.room = room.name;
    button.append(span(`# ${room.name}`), span(room.members));
    button.lastChild.setAttribute("aria-label", room.members === 1 ? "1 person" : `${room.members} people`);
    if (room.name === me.room) button.setAttribute("aria-current", "true");
    button.onclick = () => goTo(room.name);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  if (focused) [...element("rooms").querySelectorAll("button")].find(button => button.dataset.room === focused)?.focus();
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

function addNote(words, kind) {
  const item = document.createElement("li");
  item.className = kind ? `note ${kind}` : "note";
  item.textContent = words;
  return add(item);
}

/** Returns the message before which one belongs that arrives late, such as from another worker of the server. */
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
  const again = before?.dataset.name === item.dataset.name && item.dataset.time - before.dataset.time < TOGETHER;
  item.classList.toggle("again", again);
}

function addMessage(said, list = log) {
  const item = document.createElement("li");
  const mine = said.name === me.name;
  item.className = mine ? "said mine" : "said";
  Object.assign(item.dataset, { name: said.name, time: said.time });
  if (said.id) item.dataset.id = said.id;
  item.style.setProperty("--hue", hueOf(said.name));

  const name = document.createElement("b");
  name.textContent = mine ? "You" : said.name;
  const when = new Date(said.time);
  const time = document.createElement("time");
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  time.textContent = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const who = document.createElement("span");
  who.className = "who";
  who.append(name, time);

  const words = document.createElement("p");
  words.className = "text";
  words.dir = "auto";
  words.textContent = said.text;
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

function span(words) {
  const made = document.createElement("span");
  made.textContent = words;
  return made;
}

/** Everybody has a colour of their own, on all pages the same. */
function hueOf(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  return hash;
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
    notice.textContent = "Too much is waiting to be sent already.";
  } else {
    notice.textContent = "";
    text.value = "";
    fit();
    const ref = draw();
    scroll.scrollTop = scroll.scrollHeight;
    const sent = { text: words, item: addMessage({ name: me.name, text: words, time: Date.now() }, waiting) };
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
  notice.textContent = tooLong ? `${length} of ${LONGEST_MESSAGE} characters: this is too long for one message.` : "";
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

scroll.onscroll = () => {
  if (isAtEnd()) element("down").hidden = true;
};
element("down").onclick = () => {
  scroll.scrollTop = scroll.scrollHeight;
  text.focus();
};
// The keyboard of a phone takes room; the last message stays in sight.
let height = scroll.clientHeight;
new ResizeObserver(() => {
  const wasAtEnd = scroll.scrollHeight - scroll.scrollTop - height < 40;
  height = scroll.clientHeight;
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
element("room").value = roomInAddress() || recalled.room || "lobby";
if (recalled.wantsIn) element("join").requestSubmit();
