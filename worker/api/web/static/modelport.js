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

document.addEventListener("htmx:sendError", () => tellTrouble("The server does not answer. What you see is as it was before."));
document.addEventListener("htmx:responseError", (event) =>
  tellTrouble(`The server answered with ${event.detail.xhr.status}. What you see is as it was before; reload the page to try again.`));
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) tellTrouble(""); });
document.addEventListener("htmx:load", (event) => showCopyButtons(event.detail.elt));
document.addEventListener("DOMContentLoaded", () => showCopyButtons(document));
