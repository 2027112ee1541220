// What is typed into a form and not sent yet stays in this browser, for this account and this address: over reloads, a lost session, a server that
// stopped. Signing out forgets all of it.

const PREFIX = "fluxbooth:", DAYS = 7, DAY = 86_400_000;
const owner = document.body.dataset.account, NEVER = ["file", "hidden", "password", "submit"];

export const key = (address = location) => `${PREFIX}${owner}:${address.pathname}${address.search}`;

/** A browser may hold nothing, as in a private window: then typing is kept by the page alone. */
function attempt(act) {
  try {
    return act();
  } catch {
    return null;
  }
}

export const kept = (name = key()) => attempt(() => JSON.parse(localStorage.getItem(name)))?.values ?? null;
export const keep = (values, name = key()) => attempt(() => localStorage.setItem(name, JSON.stringify({ at: Date.now(), values })));

export const forget = (name) => attempt(() => localStorage.removeItem(name));

/** Keys and values of all that is kept of this account, newest first. */
export function all() {
  const names = attempt(() => Object.keys(localStorage)) ?? [];
  return names
    .filter((name) => name.startsWith(`${PREFIX}${owner}:`))
    .map((name) => ({ name, ...attempt(() => JSON.parse(localStorage.getItem(name))) }))
    .sort((a, b) => b.at - a.at);
}

/** What the fields of a form hold, by name; secrets, files and agreements are not taken along. */
export function fieldsOf(form) {
  const values = {};
  for (const field of fields(form)) {
    if (field.type !== "radio") values[field.name] = field.type === "checkbox" ? field.checked : field.value;
    else if (field.checked) values[field.name] = field.value;
  }
  return values;
}

export function fill(form, values) {
  for (const field of fields(form)) {
    if (!(field.name in values)) continue;
    if (field.type === "radio") field.checked = field.value === values[field.name];
    else if (field.type === "checkbox") field.checked = values[field.name];
    else field.value = values[field.name];
  }
}

/** What early.js noted of a form; from now on the page's own script keeps what is typed. */
export function takeEarly(form, address = location) {
  const place = `early:${owner}:${address.pathname}${address.search}`, noted = attempt(() => JSON.parse(sessionStorage.getItem(place))) ?? {};
  attempt(() => sessionStorage.removeItem(place));
  form.dataset.started = "yes";
  return noted;
}

const fields = (form) => [...form.elements].filter((field) => field.name && !NEVER.includes(field.type) && !("agreement" in field.dataset));

/** A file, which no form may fill in again; null where there is none. */
export const keptFile = () => files((store) => store.get(key()));
export const keepFile = (file) => files((store) => (file ? store.put(file, key()) : store.delete(key())));

function files(act) {
  return new Promise((resolve) => {
    const failed = () => resolve(null);
    const opening = attempt(() => indexedDB.open("fluxbooth", 1));
    if (!opening) return failed();
    opening.onupgradeneeded = () => opening.result.createObjectStore("files");
    opening.onerror = failed;
    opening.onsuccess = () => {
      const asked = act(opening.result.transaction("files", "readwrite").objectStore("files"));
      asked.onsuccess = () => { resolve(asked.result ?? null); opening.result.close(); };
      asked.onerror = failed;
    };
  });
}

for (const { name, at } of all()) if (!(Date.now() - at < DAYS * DAY)) forget(name);
for (const form of document.querySelectorAll("form[action^='/app/logout']")) {
  form.addEventListener("submit", () => {
    for (const { name } of all()) forget(name);
    attempt(() => indexedDB.deleteDatabase("fluxbooth"));
  });
}
