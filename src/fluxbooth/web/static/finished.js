// What took long is done: the title of a page in the background says so, and the browser, if it may.

import { find, text } from "./app.js";

const asking = find("#notify");

export function finished(words) {
  if (!document.hidden) return;
  const title = document.title;
  document.title = `\u25cf ${words} ${title}`;
  document.addEventListener("visibilitychange", () => { document.title = title; }, { once: true });
  if ("Notification" in window && Notification.permission === "granted") new Notification(words, { body: title, tag: location.pathname });
}

// a browser asks its person only when the person did something
if (asking && "Notification" in window && isSecureContext && Notification.permission === "default") {
  asking.hidden = false;
  asking.addEventListener("click", async () => {
    await Notification.requestPermission();
    asking.hidden = true;
    find("#said").textContent = text(Notification.permission === "granted" ? "will_tell" : "will_not_tell");
  });
}
