// What pages cannot do without a script: times in the reader's zone, keys that press buttons, parts that refresh.
"use strict";

function localTimes(root) {
  const lang = document.documentElement.lang;
  const own = navigator.languages.find((one) => one.slice(0, 2) === lang.slice(0, 2)) || lang;
  for (const time of root.querySelectorAll("time[datetime]"))
    time.textContent = new Date(time.dateTime).toLocaleString(own, { dateStyle: "short", timeStyle: "short" });
}
localTimes(document);

// A button with <kbd data-key="s"> is pressed by that key, unless somebody is typing.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select, textarea")) return;
  const name = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (name === "Space" && event.target.closest("button, a, summary")) return; // it presses what has the focus
  const key = document.querySelector(`kbd[data-key="${CSS.escape(name)}"]`);
  if (!key) return;
  event.preventDefault();
  key.closest("button").click();
});

// One answer a text, however quickly the key is pressed again.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // back to a page whose form was sent
});

// A part of the page that asks for itself again, while somebody looks.
const live = document.getElementById("live");
if (live)
  setInterval(async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (!fresh || live.contains(document.activeElement)) return;
    localTimes(fresh);
    live.replaceChildren(...fresh.childNodes);
  }, Number(live.dataset.refresh) * 1000);
