"use strict";
// Gets this page again every two seconds and shows its new content, which the server has escaped.
// While nobody looks, or somebody marks text, it waits.
const state = document.getElementById("state");
const scrolled = ".wide, .graph";
let since = Date.now();
let refreshes = 0;

async function refresh() {
  const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error("the answer is " + answer.status);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  const main = document.querySelector("main");
  const left = Array.from(main.querySelectorAll(scrolled), (element) => element.scrollLeft);
  main.replaceWith(next);
  next.querySelectorAll(scrolled).forEach((element, idx) => { element.scrollLeft = left[idx] || 0; });
}

async function follow() {
  if (!document.hidden && getSelection().isCollapsed) {
    try {
      await refresh();
      since = Date.now();
      document.body.dataset.refreshes = ++refreshes;
      state.hidden = true;
    } catch (error) {
      const seconds = Math.round((Date.now() - since) / 1000);
      state.textContent = "No answer for " + seconds + " s; the figures are old (" + error.message + ").";
      state.hidden = false;
    }
  }
  setTimeout(follow, 2000);
}

setTimeout(follow, 2000);
