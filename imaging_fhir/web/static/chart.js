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
