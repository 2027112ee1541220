// What every page's script uses, and the little that every page does by itself.

import "./keep.js";
import { watched } from "./connection.js";

const TEXTS = JSON.parse(document.querySelector("meta[name=texts]").content);

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

export function text(name, values = {}) {
  return TEXTS[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** Tells a screen reader, and shows nothing. */
export function say(words) {
  const place = find("#said");
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = words; });
}

/** The answer to a request of ours. Rejects with a sentence if there is none, or if it is a refusal. */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await watched(path, { ...options, headers: { "Fluxbooth-Part": "1", ...options.headers } });
  } catch {
    throw new Error(text("unreachable"));
  }
  if (answer.ok) return answer;
  if (answer.status === 401) throw new Error(text("signed_out"));
  const body = await answer.json().catch(() => ({}));
  const reasons = body.errors ?? body.base ?? [answer.statusText];
  throw Object.assign(new Error(reasons.join(" ")), { status: answer.status });
}

export const post = (path, body) => ask(path, { method: "POST", body });

/** The errors stand at the top of the page, take the focus, and stay. */
export function showErrors(lines) {
  const place = find("#errors");
  place.replaceChildren(...lines.map((line) => element("p", { textContent: line })));
  if (lines.includes(text("signed_out"))) { // what was typed is kept, so one may leave
    const next = encodeURIComponent(location.pathname + location.search);
    place.append(element("p", {}, element("a", { href: `/app/login?next=${next}`, textContent: text("sign_in") })));
  }
  place.className = lines.length ? "errors" : "";
  place.tabIndex = -1;
  if (lines.length) place.focus();
}

export function element(name, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
}

/** A part of a page that the server rendered, and escaped. */
export function parse(html) {
  return new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
}

/** "12 seconds", "3 minutes" */
export function duration(seconds) {
  return seconds < 90
    ? text("seconds", { number: Math.max(1, seconds < 20 ? Math.round(seconds) : Math.round(seconds / 10) * 10) })
    : text("minutes", { number: Math.round(seconds / 60) });
}

document.addEventListener("back", () => { if (find("#errors").textContent === text("unreachable")) showErrors([]); });
find("#errors.errors")?.focus();
for (const form of findAll("form[data-busy]")) {
  form.addEventListener("submit", () => requestAnimationFrame(() => { // after the browser has read the form
    for (const button of findAll("button", form)) button.disabled = true;
    say(form.dataset.busy);
  }));
}
addEventListener("pageshow", (event) => { if (event.persisted) for (const button of findAll("form[data-busy] button")) button.disabled = false; });
for (const button of findAll("[data-copy]")) {
  button.hidden = !navigator.clipboard; // not without encryption
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.textContent = text("copied");
  });
}
for (const form of findAll("form[data-submits-itself]")) {
  find("button", form).hidden = true;
  form.addEventListener("change", () => form.submit());
}
