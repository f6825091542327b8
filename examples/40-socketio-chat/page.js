// The page of the chat. Names and messages are added to the page as text, never as HTML.

const MAX_MESSAGE = 4000;
const MAX_SHOWN = 500;
const MAX_PENDING = 20;
/** Times are in milliseconds. */
const RESPONSE_TIMEOUT = 10000;
const TYPING_INTERVAL = 1500;
const TYPING_TIMEOUT = 4000;
/** Consecutive messages of one person within this time have one headline. */
const GROUPING_TIME = 5 * 60 * 1000;
/** The number of bits below the time in a message's number. */
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

/** The identity of this page. With `token`, it takes its name back from its own broken connection. */
const me = { name: "", room: "", token: randomNumber().toString(36) + randomNumber().toString(36) + randomNumber().toString(36) };
let wantsToJoin = false;
let joined = false;
/** The number of the last message of this room, from which the server determines the missed ones. */
let since = null;
/** Sent messages that are not confirmed, by number. */
const pending = new Map();
let people = [];
const typists = new Map();
let lastTyping = 0;

function randomNumber() {
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
  // Before the server closes a connection on purpose, it sends `replaced` or `dismissed`.
  if (wantsToJoin && reason !== "io server disconnect") showBanner("The connection is lost. Trying again…");
});

socket.io.on("reconnect_attempt", () => wantsToJoin && showBanner("The connection is lost. Connecting…"));
socket.on("connect_error", () => wantsToJoin && inside.hidden && showError("The server cannot be reached. Trying again…"));
socket.on("replaced", () => leaveChat("You are in this room in another window."));
socket.on("dismissed", reason => leaveChat(`The server has closed the connection: ${reason}`));

/** Sends an event, and returns its acknowledgement; null if there is none, because the connection is lost. */
async function sendRequest(event, argument) {
  try {
    return await socket.timeout(RESPONSE_TIMEOUT).emitWithAck(event, argument);
  } catch {
    return null;
  }
}

async function join(room) {
  const isReconnect = room === me.room && !inside.hidden;
  const answer = await sendRequest("join", { name: me.name, room, token: me.token, since: isReconnect ? since : null });
  if (!wantsToJoin || answer === null) return;
  element("enter").disabled = false;
  if (answer.refused && joined) return showNotice(answer.refused.text);
  if (answer.refused) return leaveChat(answer.refused.text);
  enterRoom(answer.done, isReconnect);
}

function enterRoom(room, isReconnect) {
  const isOtherRoom = !isReconnect;
  joined = true;
  Object.assign(me, { name: room.name, room: room.room });
  saveSession();
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
  for (const said of room.messages) receiveMessage(said);
  showPeople(room.people);
  showRooms(room.rooms);
  for (const [ref, sent] of pending) sendMessage(ref, sent);
  if (isOtherRoom) text.focus();
}

function leaveChat(reason) {
  wantsToJoin = joined = false;
  saveSession();
  socket.disconnect();
  clearLog();
  pending.clear();
  inside.hidden = true;
  door.hidden = false;
  document.title = "Socket.IO chat";
  element("enter").disabled = false;
  showError(reason);
}

// Events of the server.

socket.on("said", (room, said) => room === me.room && receiveMessage(said));
socket.on("people", (room, names) => room === me.room && joined && showPeople(names));
socket.on("rooms", showRooms);
socket.on("typing", (room, name) => {
  if (room !== me.room) return;
  typists.set(name, Date.now() + TYPING_TIMEOUT);
  showTyping();
});

function receiveMessage(said) {
  since = Math.max(since ?? 0, said.id);
  typists.delete(said.name);
  showTyping();
  if (said.name === me.name) removePending(said.ref);
  if (document.querySelector(`#log [data-id="${Number(said.id)}"]`)) return;
  addMessage(said, log);
}

// Messages of this page. They are sent again after a reconnect; the server accepts each of them once.

async function sendMessage(ref, sent) {
  const answer = await sendRequest("say", { text: sent.text, ref });
  if (!pending.has(ref)) return;
  if (answer === null && joined) return sendMessage(ref, sent);
  if (!answer?.refused) return;
  removePending(ref);
  showNotice(answer.refused.text);
  // The user can correct a refused message.
  if (text.value === "") text.value = sent.text;
  fitTextArea();
}

function removePending(ref) {
  pending.get(ref)?.item.remove();
  pending.delete(ref);
}

// Rendering.

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
    button.onclick = () => changeRoom(room.name);
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

/** Changes the conversation, and keeps its end visible if it was. */
function change(how) {
  const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  how();
  while (log.children.length > MAX_SHOWN) log.firstElementChild.remove();
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
  const successor = said.id ? [...list.children].find(other => Number(other.dataset.id) > said.id) ?? null : null;
  change(() => {
    list.insertBefore(item, successor);
    group(item);
    if (successor) group(successor);
  });
  return item;
}

/** Hides the headline of a message that follows one of the same person. */
function group(item) {
  const before = item.previousElementSibling;
  const isSoon = before && item.dataset.time - before.dataset.time < GROUPING_TIME;
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

// User input.

element("join").onsubmit = event => {
  event.preventDefault();
  me.name = element("name").value;
  me.room = element("room").value;
  wantsToJoin = true;
  showError("");
  element("enter").disabled = true;
  if (socket.connected) join(me.room);
  else socket.connect();
};

element("leave").onclick = () => leaveChat("");

element("say").onsubmit = event => {
  event.preventDefault();
  const words = text.value;
  const length = [...words].length;
  if (words.trim() === "") return;
  if (length > MAX_MESSAGE) return showNotice(`A message has at most ${MAX_MESSAGE} characters; this one has ${length}.`);
  if (pending.size >= MAX_PENDING) return showNotice("Too many messages are waiting to be sent.");
  showNotice("");
  text.value = "";
  fitTextArea();
  const ref = randomNumber();
  scroll.scrollTop = scroll.scrollHeight;
  const sent = { text: words, item: addMessage({ name: me.name, text: words }, waiting) };
  pending.set(ref, sent);
  if (joined) sendMessage(ref, sent);
  text.focus();
};

text.onkeydown = event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("say").requestSubmit();
};

text.oninput = () => {
  fitTextArea();
  if (joined && text.value !== "" && Date.now() - lastTyping > TYPING_INTERVAL) {
    lastTyping = Date.now();
    socket.volatile.emit("typing");
  }
};

/** Makes the field as high as its text. */
function fitTextArea() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function changeRoom(room) {
  toggleSide(false);
  if (joined && room !== me.room) join(room);
}

element("go").onsubmit = event => {
  event.preventDefault();
  changeRoom(element("other").value);
  element("other").value = "";
};

function toggleSide(open) {
  side.classList.toggle("open", open);
  element("menu").setAttribute("aria-expanded", open);
}

element("menu").onclick = () => toggleSide(!side.classList.contains("open"));
document.addEventListener("keydown", event => event.key === "Escape" && toggleSide(false));

// Session storage: a reload of this tab returns to the room.

function saveSession() {
  try {
    sessionStorage.setItem("socketio-chat", JSON.stringify({ ...me, wantsToJoin }));
  } catch { /* Without session storage, the user enters the name again. */ }
}

function loadSession() {
  try {
    return JSON.parse(sessionStorage.getItem("socketio-chat")) ?? {};
  } catch {
    return {};
  }
}

const saved = loadSession();
if (saved.name) element("name").value = saved.name;
if (saved.room) element("room").value = saved.room;
if (saved.token) me.token = saved.token;
if (saved.wantsToJoin) element("join").requestSubmit();
