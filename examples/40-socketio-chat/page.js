// The page of the chat. What others have written is shown by textContent only, so that it stays text.

const LONGEST_MESSAGE = 4000;
const MOST_SHOWN = 500;
const MOST_PENDING = 20;
/** Times are in milliseconds. */
const PATIENCE = 10000;
const TYPING_EVERY = 1500;
const TYPING_SHOWN = 4000;
/** Messages of one person that follow each other within this time have one headline. */
const TOGETHER = 5 * 60 * 1000;
/** The bits of a message's number behind its time. */
const WORKER_BITS = 10;

const element = id => document.getElementById(id);
const door = element("door"), inside = element("inside"), log = element("log"), waiting = element("waiting");
const scroll = element("scroll"), text = element("text"), notice = element("notice"), side = element("side");

const onlyPolling = new URLSearchParams(location.search).get("transport") === "polling";
const socket = window.io({
  autoConnect: false,
  transports: onlyPolling ? ["polling"] : ["polling", "websocket"],
  reconnectionDelay: 300,
  reconnectionDelayMax: 5000,
});

/** This page; with `token` it takes its name back from a broken connection. */
const me = { name: "", room: "", token: draw().toString(36) + draw().toString(36) + draw().toString(36) };
let wantsIn = false;
let joined = false;
/** The number of the last message of this room, for the server to send what was missed. */
let since = null;
/** The messages that were sent and are not confirmed, by their numbers. */
const pending = new Map();
let people = [];
const typists = new Map();
let lastTyping = 0;

function draw() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

// The connection.

socket.on("connect", () => {
  showTransport();
  socket.io.engine.on("upgrade", showTransport);
  join(me.room);
});

socket.on("disconnect", reason => {
  joined = false;
  typists.clear();
  showTyping();
  showTransport();
  // The server closes some connections on purpose, and says so before.
  if (wantsIn && reason !== "io server disconnect") showBanner("The connection is lost. Trying again…");
});

socket.io.on("reconnect_attempt", () => wantsIn && showBanner("The connection is lost. Connecting…"));
socket.on("connect_error", () => wantsIn && inside.hidden && showError("The server cannot be reached. Trying again…"));
socket.on("replaced", () => goOut("You are in this room in another window."));
socket.on("dismissed", reason => goOut(`The server has closed the connection: ${reason}`));

/** Sends an event, and returns what the server acknowledges; null if it does not, because the connection is lost. */
async function ask(event, argument) {
  try {
    return await socket.timeout(PATIENCE).emitWithAck(event, argument);
  } catch {
    return null;
  }
}

async function join(room) {
  const returns = room === me.room && !inside.hidden;
  const answer = await ask("join", { name: me.name, room, token: me.token, since: returns ? since : null });
  if (!wantsIn || answer === null) return;
  element("enter").disabled = false;
  if (answer.refused && joined) return showNotice(answer.refused.text);
  if (answer.refused) return goOut(answer.refused.text);
  entered(answer.done, returns);
}

function entered(room, returns) {
  const isOtherRoom = !returns;
  joined = true;
  Object.assign(me, { name: room.name, room: room.room });
  remember();
  if (isOtherRoom) {
    clearLog();
    pending.clear();
    people = [];
  }
  door.hidden = true;
  inside.hidden = false;
  showBanner("");
  showNotice("");
  element("title").textContent = `# ${me.room}`;
  document.title = `# ${me.room} · Socket.IO chat`;
  if (room.gap) addNote("Some messages were missed: there were too many.");
  for (const said of room.messages) heard(said);
  showPeople(room.people);
  showRooms(room.rooms);
  for (const [ref, sent] of pending) say(ref, sent);
  if (isOtherRoom) text.focus();
}

function goOut(reason) {
  wantsIn = joined = false;
  remember();
  socket.disconnect();
  clearLog();
  pending.clear();
  inside.hidden = true;
  door.hidden = false;
  document.title = "Socket.IO chat";
  element("enter").disabled = false;
  showError(reason);
}

// What the server sends.

socket.on("said", (room, said) => room === me.room && heard(said));
socket.on("people", (room, names) => room === me.room && joined && showPeople(names));
socket.on("rooms", showRooms);
socket.on("typing", (room, name) => {
  if (room !== me.room) return;
  typists.set(name, Date.now() + TYPING_SHOWN);
  showTyping();
});

function heard(said) {
  since = Math.max(since ?? 0, said.id);
  typists.delete(said.name);
  showTyping();
  if (said.name === me.name) confirmed(said.ref);
  if (document.querySelector(`#log [data-id="${Number(said.id)}"]`)) return;
  addMessage(said, log);
}

// Messages of this page: they are sent again after the connection was lost, and the server accepts each once.

async function say(ref, sent) {
  const answer = await ask("say", { text: sent.text, ref });
  if (!pending.has(ref)) return;
  if (answer === null && joined) return say(ref, sent);
  if (!answer?.refused) return;
  confirmed(ref);
  showNotice(answer.refused.text);
  // What was refused can be corrected.
  if (text.value === "") text.value = sent.text;
  fit();
}

function confirmed(ref) {
  pending.get(ref)?.item.remove();
  pending.delete(ref);
}

// What is shown.

function showBanner(words) {
  element("banner").textContent = words;
  element("banner").hidden = words === "";
}

function showError(words) {
  element("join-error").textContent = words;
}

function showNotice(words) {
  notice.textContent = words;
}

function showTransport() {
  const name = socket.connected ? socket.io.engine.transport.name : "";
  element("transport").dataset.name = name;
  element("transport").textContent = { websocket: "WebSocket", polling: "Polling" }[name] ?? "";
}

function showPeople(names) {
  const isFirst = people.length === 0;
  if (!isFirst) {
    for (const name of names) if (!people.includes(name)) addNote(`${name} has joined`);
    for (const name of people) if (!names.includes(name)) addNote(`${name} has left`);
  }
  people = names;
  for (const name of typists.keys()) if (!names.includes(name)) typists.delete(name);
  showTyping();
  element("count").textContent = names.length;
  element("menu").ariaLabel = `People and rooms: ${names.length} here`;
  element("members").replaceChildren(...names.map(name => {
    const item = document.createElement("li");
    item.append(badge(name), span(name === me.name ? `${name} (you)` : name));
    return item;
  }));
}

function showRooms(rooms) {
  const all = rooms.some(room => room.name === me.room) ? rooms : [{ name: me.room, people: people.length }, ...rooms];
  element("rooms").replaceChildren(...all.map(room => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.room = room.name;
    if (room.name === me.room) button.setAttribute("aria-current", "true");
    button.append(span(`# ${room.name}`), span(room.people));
    button.onclick = () => goTo(room.name);
    item.append(button);
    return item;
  }));
}

function showTyping() {
  const now = Date.now();
  for (const [name, end] of typists) if (end <= now) typists.delete(name);
  const names = [...typists.keys()];
  const shown = names.slice(0, 3).join(", ");
  element("typing").textContent =
    names.length === 0 ? "" : names.length === 1 ? `${shown} is typing…` : names.length < 4 ? `${shown} are typing…` : "Several people are typing…";
}
setInterval(showTyping, 500);

function clearLog() {
  log.replaceChildren();
  waiting.replaceChildren();
  since = null;
  typists.clear();
  element("empty").hidden = false;
}

/** Changes the conversation, and keeps its end in sight if it was. */
function change(how) {
  const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  how();
  while (log.children.length > MOST_SHOWN) log.firstElementChild.remove();
  element("empty").hidden = log.children.length + waiting.children.length > 0;
  if (isAtEnd) scroll.scrollTop = scroll.scrollHeight;
}

function addNote(words) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = words;
  change(() => log.append(item));
}

function addMessage(said, list) {
  const item = document.createElement("li");
  const isMine = said.name === me.name;
  item.className = isMine ? "said mine" : "said";
  const time = said.id ? Math.floor(said.id / 2 ** WORKER_BITS) : Date.now();
  Object.assign(item.dataset, { name: said.name, time });
  if (said.id) item.dataset.id = said.id;

  const name = document.createElement("b");
  name.textContent = isMine ? "You" : said.name;
  const when = document.createElement("time");
  when.dateTime = new Date(time).toISOString();
  when.textContent = new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const who = document.createElement("span");
  who.className = "who";
  who.style.setProperty("--hue", hueOf(said.name));
  who.append(name, when);
  const words = document.createElement("p");
  words.className = "text";
  words.dir = "auto";
  words.textContent = said.text;
  item.append(badge(said.name), who, words);

  // Messages of different workers may arrive out of order.
  const follower = said.id ? [...list.children].find(other => Number(other.dataset.id) > said.id) ?? null : null;
  change(() => {
    list.insertBefore(item, follower);
    group(item);
    if (follower) group(follower);
  });
  return item;
}

/** Hides the headline of a message that follows one of the same person. */
function group(item) {
  const before = item.previousElementSibling;
  const isSoon = before && item.dataset.time - before.dataset.time < TOGETHER;
  item.classList.toggle("again", Boolean(isSoon && item.dataset.name && before.dataset.name === item.dataset.name));
}

function badge(name) {
  const made = span("");
  made.className = "badge";
  made.dataset.letter = [...name][0].toUpperCase();
  made.style.setProperty("--hue", hueOf(name));
  made.setAttribute("aria-hidden", "true");
  return made;
}

function span(words) {
  const made = document.createElement("span");
  made.textContent = words;
  return made;
}

/** The colour of a person is the same on all pages. */
function hueOf(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 1009;
  // Similar names get colours that are far from each other.
  return (hash * 137) % 360;
}

// What the user does.

element("join").onsubmit = event => {
  event.preventDefault();
  me.name = element("name").value;
  me.room = element("room").value;
  wantsIn = true;
  showError("");
  element("enter").disabled = true;
  if (socket.connected) join(me.room);
  else socket.connect();
};

element("leave").onclick = () => goOut("");

element("say").onsubmit = event => {
  event.preventDefault();
  const words = text.value;
  const length = [...words].length;
  if (words.trim() === "") return;
  if (length > LONGEST_MESSAGE) return showNotice(`A message has at most ${LONGEST_MESSAGE} characters; this one has ${length}.`);
  if (pending.size >= MOST_PENDING) return showNotice("Too many messages are waiting to be sent.");
  showNotice("");
  text.value = "";
  fit();
  const ref = draw();
  scroll.scrollTop = scroll.scrollHeight;
  const sent = { text: words, item: addMessage({ name: me.name, text: words }, waiting) };
  pending.set(ref, sent);
  if (joined) say(ref, sent);
  text.focus();
};

text.onkeydown = event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("say").requestSubmit();
};

text.oninput = () => {
  fit();
  if (joined && text.value !== "" && Date.now() - lastTyping > TYPING_EVERY) {
    lastTyping = Date.now();
    socket.volatile.emit("typing");
  }
};

/** Makes the field as high as its text. */
function fit() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function goTo(room) {
  toggleSide(false);
  if (joined && room !== me.room) join(room);
}

element("go").onsubmit = event => {
  event.preventDefault();
  goTo(element("other").value);
  element("other").value = "";
};

function toggleSide(open) {
  side.classList.toggle("open", open);
  element("menu").setAttribute("aria-expanded", open);
}

element("menu").onclick = () => toggleSide(!side.classList.contains("open"));
document.addEventListener("keydown", event => event.key === "Escape" && toggleSide(false));

// A reload of this tab comes back into the room.

function remember() {
  try {
    sessionStorage.setItem("socketio-chat", JSON.stringify({ ...me, wantsIn }));
  } catch { /* A browser that keeps nothing asks for the name again. */ }
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("socketio-chat")) ?? {};
  } catch {
    return {};
  }
}

const recalled = recall();
if (recalled.name) element("name").value = recalled.name;
if (recalled.room) element("room").value = recalled.room;
if (recalled.token) me.token = recalled.token;
if (recalled.wantsIn) element("join").requestSubmit();
