// What the pages can do better with a script. Everything else works without one.
"use strict";

// Copy: a button with `data-copy` copies the code beside it. It is hidden where there is no script or no clipboard.
function showCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || button.closest(".snippet").querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed to copy";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// A request of htmx that failed is told in words; what is shown stays as it was.
function tellTrouble(sentence) {
  const trouble = document.getElementById("trouble");
  if (trouble) {
    trouble.textContent = sentence;
    trouble.hidden = sentence === "";
  }
  for (const live of document.querySelectorAll(".live")) live.classList.toggle("stale", sentence !== "");
}

// What was opened stays open, and what was scrolled stays where it is, when a part of the page is replaced by a newer one.
let opened = [];
let scrolled = [];

document.addEventListener("htmx:beforeSwap", () => {
  opened = Array.from(document.querySelectorAll("details[open][id]"), (one) => one.id);
  scrolled = Array.from(document.querySelectorAll("pre[id]"), (one) => [one.id, one.scrollTop, one.scrollLeft]);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of opened) {
    const one = document.getElementById(id);
    if (one) one.open = true;
  }
  for (const [id, top, left] of scrolled) document.getElementById(id)?.scrollTo(left, top);
});

document.addEventListener("htmx:sendError", () => tellTrouble("The server does not answer. What you see is as it was before."));
document.addEventListener("htmx:responseError", (event) =>
  tellTrouble(`The server answered with ${event.detail.xhr.status}. What you see is as it was before; reload the page to try again.`));
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) tellTrouble(""); });
document.addEventListener("htmx:load", (event) => showCopyButtons(event.detail.elt));
document.addEventListener("DOMContentLoaded", () => showCopyButtons(document));
