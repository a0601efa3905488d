"""How Chromium is started, and what is measured on every page that it shows."""

ARGUMENTS = [
    "--no-sandbox",  # as root it runs only so
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
]
TEXT_OF_WEAK_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).map((one) => one / 255).map(
      (one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.getClientRects().length) continue;
    const [one, other] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) weak.push(`${node.textContent.trim()}: ${contrast.toFixed(2)}`);
  }
  return weak;
}"""
FAULTS_OF_STRUCTURE = """() => {
  const faults = [];
  const every = (selector) => [...document.querySelectorAll(selector)];
  for (const one of ["main", "h1", "body > header"])
    if (every(one).length !== 1) faults.push(`${every(one).length} ${one}`);
  const levels = every("h1, h2, h3, h4").map((one) => Number(one.tagName[1]));
  levels.forEach((one, at) => at && one > levels[at - 1] + 1 && faults.push(`h${one} skips`));
  for (const one of every("img")) if (!one.alt) faults.push(`no words: ${one.src}`);
  for (const one of every("input:not([type=hidden]), select"))
    if (!one.labels.length) faults.push(`no label: ${one.name}`);
  for (const one of every("a")) if (!one.innerText && !one.querySelector("img[alt]"))
    faults.push(`no text: ${one.href}`);
  const ids = every("[id]").map((one) => one.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice");
  for (const one of every("[aria-labelledby]"))
    if (!document.getElementById(one.getAttribute("aria-labelledby"))) faults.push("no label");
  return faults;
}"""
