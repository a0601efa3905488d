"use strict";
// Left and right leaf through a series or a document, as the links below the picture do.
document.addEventListener("keydown", (event) => {
  const plain = !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);
  const typing = event.target instanceof HTMLInputElement;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = plain && !typing && rel && document.querySelector(`.steps a[rel=${rel}]`);
  if (link) {
    event.preventDefault();
    location.replace(link.href);
  }
});

// j and k, or the arrows, go from item to item of the worklist; Enter opens the one in focus.
document.addEventListener("keydown", (event) => {
  const plain = !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);
  const typing = event.target instanceof Element && event.target.matches("input, select, textarea");
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  const links = [...document.querySelectorAll(".rows tbody th a")];
  if (!plain || typing || !step || !links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
});
