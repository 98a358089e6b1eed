// Keyboard shortcuts, comments and automatic refresh.
"use strict";

// The key of <kbd data-key="s"> presses its button, unless the user is typing.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select, textarea")) return;
  const name = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (name === "Space" && event.target.closest("button, a, summary")) return; // space activates the focused element
  const key = document.querySelector(`kbd[data-key="${CSS.escape(name)}"]`);
  if (!key) return;
  event.preventDefault();
  key.closest("button, summary").click();
});

// What is typed after a part with a text field was opened belongs into the field: letters are shortcuts elsewhere.
document.addEventListener("click", (event) => {
  const part = event.target.closest("summary")?.parentElement;
  const field = part && !part.open && part.querySelector("input:not([type=hidden])");
  if (!field) return;
  event.preventDefault();
  part.open = true;
  field.focus();
});

// A comment stays in its field after an undo or a reload, until the tab is closed or the user logs in again.
const comment = document.getElementById("comment");
if (comment) {
  const { source, id } = comment.form.elements; // also if the customer changes the text meanwhile
  const name = `comment ${source.value} ${id.value}`;
  comment.value ||= sessionStorage.getItem(name) ?? "";
  comment.addEventListener("input", () => sessionStorage.setItem(name, comment.value));
} else if (document.getElementById("key")) sessionStorage.clear();

// Submit a form once, even if the key is pressed again quickly.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  const copy = event.target.querySelector("input[type=hidden][name=comment]");
  if (copy) copy.value = comment.value;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // back to a page whose form was submitted
});

// Refresh part of the page while it is visible. An error is shown in its place: old figures would look like a
// healthy system.
const live = document.getElementById("live");
if (live)
  setInterval(async () => {
    if (document.hidden) return;
    const response = await fetch(location.href).catch(() => null);
    if (response?.redirected) return location.reload(); // the session has ended
    const page = new DOMParser().parseFromString((await response?.text()) ?? "", "text/html");
    const fresh = page.querySelector("#live, main > section");
    if (live.contains(document.activeElement)) return;
    if (!fresh) return live.replaceChildren(live.dataset.lost);
    live.replaceChildren(...fresh.childNodes);
  }, Number(live.dataset.refresh) * 1000);
